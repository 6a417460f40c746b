//! Transport headers and their checksums.

use super::checksum;
use super::header::Header;
use super::icmp::Message;
use crate::checksums::sum;

/// What follows the IP header.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    Tcp {
        ports: (u16, u16),
        flags: u8,
        sequence: u32,
        acknowledgment: u32,
        options: Vec<u8>,
    },
    Udp {
        ports: (u16, u16),
        with_checksum: bool,
    },
    Icmp(Message),
    Other {
        protocol: u8,
    },
}

impl Transport {
    pub(super) fn tcp(source_port: u16, destination_port: u16) -> Self {
        Self::Tcp {
            ports: (source_port, destination_port),
            flags: 0,
            sequence: 0,
            acknowledgment: 0,
            options: Vec::new(),
        }
    }

    pub(super) fn udp(source_port: u16, destination_port: u16) -> Self {
        Self::Udp {
            ports: (source_port, destination_port),
            with_checksum: true,
        }
    }

    pub(super) fn icmp(message: Message) -> Self {
        Self::Icmp(message)
    }

    pub(super) fn protocol(&self, is_v6: bool) -> u8 {
        match self {
            Self::Tcp { .. } => 6,
            Self::Udp { .. } => 17,
            Self::Icmp(_) if is_v6 => 58,
            Self::Icmp(_) => 1,
            Self::Other { protocol } => *protocol,
        }
    }

    /// Transport header and payload, with a checksum that is wrong by `error`.
    pub(super) fn segment(&self, header: &Header, payload: &[u8], error: u16) -> Vec<u8> {
        let mut segment = self.header(header.is_v6(), payload.len());
        segment.extend(payload);
        let Some(field) = self.checksum_field() else {
            return segment;
        };
        let mut total = sum(&segment);
        if !matches!(self, Self::Icmp(_)) || header.is_v6() {
            total += header.pseudo_sum(self.protocol(header.is_v6()), segment.len());
        }
        let checksum = match (self, checksum(total, error)) {
            (
                Self::Udp {
                    with_checksum: false,
                    ..
                },
                _,
            ) => 0,
            // RFC 768: a checksum of zero is sent as all ones.
            (Self::Udp { .. }, 0) => 0xffff,
            (_, checksum) => checksum,
        };
        segment[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
        segment
    }

    /// The header, its checksum 0.
    fn header(&self, is_v6: bool, payload_length: usize) -> Vec<u8> {
        match self {
            Self::Tcp {
                ports,
                flags,
                sequence,
                acknowledgment,
                options,
            } => {
                let mut header = port_bytes(*ports);
                header.extend(sequence.to_be_bytes());
                header.extend(acknowledgment.to_be_bytes());
                header.extend([(((20 + options.len()) / 4) << 4) as u8, *flags]);
                header.extend([0xff, 0xff, 0, 0, 0, 0]);
                header.extend(options);
                header
            }
            Self::Udp { ports, .. } => {
                let mut header = port_bytes(*ports);
                header.extend(((8 + payload_length) as u16).to_be_bytes());
                header.extend([0, 0]);
                header
            }
            Self::Icmp(message) => message.header(is_v6).to_vec(),
            Self::Other { .. } => Vec::new(),
        }
    }

    /// Offset of the checksum.
    fn checksum_field(&self) -> Option<usize> {
        match self {
            Self::Tcp { .. } => Some(16),
            Self::Udp { .. } => Some(6),
            Self::Icmp(_) => Some(2),
            Self::Other { .. } => None,
        }
    }
}

fn port_bytes((source, destination): (u16, u16)) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}
