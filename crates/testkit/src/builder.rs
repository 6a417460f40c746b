//! Puts packets together.

use std::net::SocketAddrV4;

use crate::checksums::sum;

/// A TCP or UDP packet in the making. Checksums are computed in full at the end.
#[derive(Clone, Debug)]
pub struct PacketBuilder {
    macs: ([u8; 6], [u8; 6]),
    tags: Vec<(u16, u16)>,
    source: SocketAddrV4,
    destination: SocketAddrV4,
    ttl: u8,
    identification: u16,
    fragment: u16,
    ipv4_options: Vec<u8>,
    transport: Transport,
    payload: Vec<u8>,
    padding: usize,
    ipv4_error: u16,
    transport_error: u16,
}

#[derive(Clone, Debug)]
enum Transport {
    Tcp {
        flags: u8,
        sequence: u32,
        acknowledgment: u32,
        options: Vec<u8>,
    },
    Udp {
        with_checksum: bool,
    },
}

impl PacketBuilder {
    /// A TCP segment without flags.
    #[must_use]
    pub fn tcp(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        let transport = Transport::Tcp {
            flags: 0,
            sequence: 0,
            acknowledgment: 0,
            options: Vec::new(),
        };
        Self::new(source, destination, transport)
    }

    /// A UDP datagram with a checksum.
    #[must_use]
    pub fn udp(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        let with_checksum = true;
        Self::new(source, destination, Transport::Udp { with_checksum })
    }

    fn new(source: SocketAddrV4, destination: SocketAddrV4, transport: Transport) -> Self {
        Self {
            macs: ([0; 6], [0; 6]),
            tags: Vec::new(),
            source,
            destination,
            ttl: 64,
            identification: 0,
            fragment: 0,
            ipv4_options: Vec::new(),
            transport,
            payload: Vec::new(),
            padding: 0,
            ipv4_error: 0,
            transport_error: 0,
        }
    }

    /// Ethernet addresses.
    #[must_use]
    pub fn macs(mut self, destination: [u8; 6], source: [u8; 6]) -> Self {
        self.macs = (destination, source);
        self
    }

    /// Adds a VLAN tag behind those there are: its ethertype and control word.
    #[must_use]
    pub fn tag(mut self, ethertype: u16, control: u16) -> Self {
        self.tags.push((ethertype, control));
        self
    }

    /// Hops left; 64 if not called.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Identification, and the word of flags and fragment offset.
    #[must_use]
    pub fn fragment(mut self, identification: u16, flags_fragment: u16) -> Self {
        (self.identification, self.fragment) = (identification, flags_fragment);
        self
    }

    /// IPv4 options, a multiple of four bytes, 40 at most.
    #[must_use]
    pub fn ipv4_options(mut self, options: &[u8]) -> Self {
        assert!(options.len() <= 40 && options.len().is_multiple_of(4));
        self.ipv4_options = options.to_vec();
        self
    }

    /// TCP flags, [`wire::tcp::SYN`], ...
    #[must_use]
    pub fn flags(mut self, new: u16) -> Self {
        if let Transport::Tcp { flags, .. } = &mut self.transport {
            *flags = new as u8;
        }
        self
    }

    /// TCP sequence and acknowledgment number.
    #[must_use]
    pub fn numbers(mut self, new_sequence: u32, new_acknowledgment: u32) -> Self {
        if let Transport::Tcp {
            sequence,
            acknowledgment,
            ..
        } = &mut self.transport
        {
            (*sequence, *acknowledgment) = (new_sequence, new_acknowledgment);
        }
        self
    }

    /// TCP options, a multiple of four bytes, 40 at most.
    #[must_use]
    pub fn tcp_options(mut self, new: &[u8]) -> Self {
        assert!(new.len() <= 40 && new.len().is_multiple_of(4));
        if let Transport::Tcp { options, .. } = &mut self.transport {
            *options = new.to_vec();
        }
        self
    }

    /// UDP only: checksum 0.
    #[must_use]
    pub fn without_checksum(mut self) -> Self {
        if let Transport::Udp { with_checksum } = &mut self.transport {
            *with_checksum = false;
        }
        self
    }

    /// What follows the transport header.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Bytes behind the IP packet.
    #[must_use]
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// Makes the checksums wrong by these amounts (one's complement; 0 and 0xffff: not).
    #[must_use]
    pub fn wrong_by(mut self, ipv4: u16, transport: u16) -> Self {
        (self.ipv4_error, self.transport_error) = (ipv4, transport);
        self
    }

    /// The frame.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut frame = [self.macs.0, self.macs.1].concat();
        for (ethertype, control) in &self.tags {
            frame.extend(ethertype.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(0x0800_u16.to_be_bytes());
        let segment = self.segment();
        frame.extend(self.ipv4_header(segment.len()));
        frame.extend(segment);
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Tcp { .. } => wire::ipv4::TCP,
            Transport::Udp { .. } => wire::ipv4::UDP,
        }
    }

    fn ipv4_header(&self, segment_length: usize) -> Vec<u8> {
        let length = 20 + self.ipv4_options.len();
        let mut header = vec![0x40 | (length / 4) as u8, 0];
        header.extend(((length + segment_length) as u16).to_be_bytes());
        header.extend(self.identification.to_be_bytes());
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.ttl, self.protocol(), 0, 0]);
        header.extend(self.source.ip().octets());
        header.extend(self.destination.ip().octets());
        header.extend(&self.ipv4_options);
        let checksum = checksum(sum(&header), self.ipv4_error);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    /// Transport header and payload.
    fn segment(&self) -> Vec<u8> {
        let mut segment = self.source.port().to_be_bytes().to_vec();
        segment.extend(self.destination.port().to_be_bytes());
        let field = match &self.transport {
            Transport::Tcp {
                flags,
                sequence,
                acknowledgment,
                options,
            } => {
                segment.extend(sequence.to_be_bytes());
                segment.extend(acknowledgment.to_be_bytes());
                segment.extend([(((20 + options.len()) / 4) << 4) as u8, *flags]);
                segment.extend([0xff, 0xff, 0, 0, 0, 0]);
                segment.extend(options);
                16
            }
            Transport::Udp { .. } => {
                segment.extend(((8 + self.payload.len()) as u16).to_be_bytes());
                segment.extend([0, 0]);
                6
            }
        };
        segment.extend(&self.payload);
        let checksum = self.transport_checksum(&segment);
        segment[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
        segment
    }

    fn transport_checksum(&self, segment: &[u8]) -> u16 {
        let pseudo = sum(&self.source.ip().octets())
            + sum(&self.destination.ip().octets())
            + u64::from(self.protocol())
            + segment.len() as u64;
        let checksum = checksum(pseudo + sum(segment), self.transport_error);
        match self.transport {
            Transport::Tcp { .. } => checksum,
            Transport::Udp { with_checksum } if !with_checksum => 0,
            // RFC 768: a checksum of zero is sent as all ones.
            Transport::Udp { .. } => match checksum {
                0 => 0xffff,
                checksum => checksum,
            },
        }
    }
}

/// The checksum for `sum`, made wrong by `error`.
fn checksum(sum: u64, error: u16) -> u16 {
    let fold = |n: u64| match n % 0xffff {
        0 if n > 0 => 0xffff,
        folded => folded,
    };
    let right = 0xffff - fold(sum);
    match error {
        0 => right as u16,
        error => fold(right + u64::from(error)) as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksums::{Checksum, check};

    fn addresses() -> (SocketAddrV4, SocketAddrV4) {
        (
            "10.0.0.1:40000".parse().unwrap(),
            "10.0.0.10:8000".parse().unwrap(),
        )
    }

    /// The first packet of fixtures/classify.txt.
    #[test]
    fn a_syn_is_what_it_is_on_the_wire() {
        let (source, destination) = addresses();
        let built = PacketBuilder::tcp(source, destination)
            .macs(
                [0xde, 0xad, 0xbe, 0xef, 0, 0x10],
                [0xde, 0xad, 0xbe, 0xef, 0, 1],
            )
            .fragment(1, 0x4000)
            .flags(wire::tcp::SYN)
            .numbers(1000, 0)
            .build();
        let golden = "deadbeef0010 deadbeef0001 0800
            45000028 00014000 400626c5 0a000001 0a00000a
            9c401f40 000003e8 00000000 5002ffff dc6f0000";
        assert_eq!(built, crate::fixture::parse_hex(golden));
    }

    #[test]
    fn checksums_are_valid_or_wrong_as_asked() {
        let (source, destination) = addresses();
        for length in 0..64 {
            let payload = vec![0xa5; length];
            let tcp = PacketBuilder::tcp(source, destination)
                .tag(0x8100, 5)
                .ipv4_options(&[1, 1, 1, 0])
                .tcp_options(&[2, 4, 5, 0xb4])
                .payload(&payload)
                .padding(3);
            let udp = PacketBuilder::udp(source, destination).payload(&payload);
            for builder in [tcp, udp] {
                assert_eq!(check(&builder.build()).transport, Checksum::Valid);
                assert_eq!(check(&builder.build()).ipv4, Checksum::Valid);
                let wrong = check(&builder.wrong_by(3, 7).build());
                assert_eq!(wrong.ipv4, Checksum::Wrong(3));
                assert_eq!(wrong.transport, Checksum::Wrong(7));
            }
        }
    }
}
