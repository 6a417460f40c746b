//! IPv4 and IPv6 headers.

use std::net::IpAddr;

use super::checksum;
use crate::checksums::sum;

/// An IPv6 extension header (RFC 8200, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options: padding that makes the header this many times 8 bytes, at least 1.
    HopByHop(u8),
    /// Destination options, of the same kind.
    DestinationOptions(u8),
    /// A routing header of type 0 without addresses, and this many segments left.
    Routing {
        /// Segments left.
        segments_left: u8,
    },
    /// A fragment header.
    Fragment {
        /// Offset in bytes, a multiple of 8.
        offset: u16,
        /// Whether more fragments follow.
        more: bool,
        /// Tells packets apart.
        identification: u32,
    },
}

impl Extension {
    /// Its number in the header before it.
    const fn number(self) -> u8 {
        match self {
            Self::HopByHop(_) => 0,
            Self::DestinationOptions(_) => 60,
            Self::Routing { .. } => 43,
            Self::Fragment { .. } => 44,
        }
    }

    /// The header, in front of one with this number.
    pub(super) fn bytes(self, next: u8) -> Vec<u8> {
        match self {
            Self::HopByHop(units) | Self::DestinationOptions(units) => {
                let length = 8 * usize::from(units.max(1));
                let mut bytes = vec![0; length];
                (bytes[0], bytes[1]) = (next, units.max(1) - 1);
                // PadN (RFC 8200, section 4.2) has a length of one byte: several for long headers.
                let mut at = 2;
                while at < length {
                    let option = (length - at).min(250);
                    match option {
                        1 => {}
                        option => (bytes[at], bytes[at + 1]) = (1, option as u8 - 2),
                    }
                    at += option;
                }
                bytes
            }
            Self::Routing { segments_left } => vec![next, 0, 0, segments_left, 0, 0, 0, 0],
            Self::Fragment {
                offset,
                more,
                identification,
            } => {
                let word = (offset & 0xfff8) | u16::from(more);
                let mut bytes = vec![next, 0];
                bytes.extend(word.to_be_bytes());
                bytes.extend(identification.to_be_bytes());
                bytes
            }
        }
    }
}

/// Everything about an IP header but what it carries.
#[derive(Clone, Debug)]
pub(super) struct Header {
    source: IpAddr,
    destination: IpAddr,
    pub(super) hops: u8,
    pub(super) traffic_class: u8,
    pub(super) flow_label: u32,
    pub(super) identification: u16,
    pub(super) flags_fragment: u16,
    pub(super) options: Vec<u8>,
    pub(super) extensions: Vec<Extension>,
    pub(super) error: u16,
}

impl Header {
    pub(super) fn new(source: IpAddr, destination: IpAddr) -> Self {
        assert_eq!(
            source.is_ipv4(),
            destination.is_ipv4(),
            "a packet has one family, not {source} and {destination}"
        );
        Self {
            source,
            destination,
            hops: 64,
            traffic_class: 0,
            flow_label: 0,
            identification: 0,
            flags_fragment: 0,
            options: Vec::new(),
            extensions: Vec::new(),
            error: 0,
        }
    }

    pub(super) fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// The packet of this header and a payload that is a whole packet's, of this protocol.
    pub(super) fn in_front_of(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = match self.is_v6() {
            false => self.ipv4(protocol, payload.len()),
            true => self.ipv6(protocol, payload.len()),
        };
        packet.extend(payload);
        packet
    }

    /// The sum of the pseudo-header (RFC 768, RFC 8200 section 8.1).
    pub(super) fn pseudo_sum(&self, protocol: u8, length: usize) -> u64 {
        octets_sum(self.source) + octets_sum(self.destination) + u64::from(protocol) + length as u64
    }

    fn ipv4(&self, protocol: u8, payload_length: usize) -> Vec<u8> {
        let length = 20 + self.options.len();
        let mut header = vec![0x40 | (length / 4) as u8, self.traffic_class];
        header.extend(((length + payload_length) as u16).to_be_bytes());
        header.extend(self.identification.to_be_bytes());
        header.extend(self.flags_fragment.to_be_bytes());
        header.extend([self.hops, protocol, 0, 0]);
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        header.extend(&self.options);
        let checksum = checksum(sum(&header), self.error);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn ipv6(&self, protocol: u8, payload_length: usize) -> Vec<u8> {
        let mut extensions = Vec::new();
        let mut next = protocol;
        for extension in self.extensions.iter().rev() {
            extensions = [extension.bytes(next), extensions].concat();
            next = extension.number();
        }
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        let mut header = first.to_be_bytes().to_vec();
        header.extend(((extensions.len() + payload_length) as u16).to_be_bytes());
        header.extend([next, self.hops]);
        header.extend(octets(self.source));
        header.extend(octets(self.destination));
        header.extend(extensions);
        header
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn octets_sum(address: IpAddr) -> u64 {
    sum(&octets(address))
}
