//! Checks every checksum of a frame by full recomputation, with code of its own: nothing here is
//! shared with what it checks.

/// What a checksum field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The right value.
    Valid,
    /// Another value; the difference to the right one, 1 to 0xfffe, in one's complement.
    Wrong(u16),
    /// Nothing: UDP's 0.
    Absent,
    /// There is no such field, or not everything that it covers is in this frame.
    Unknown,
}

/// Of one IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// What is behind the IP headers: an IP protocol number.
    pub protocol: Option<u8>,
    /// Part of a packet in fragments.
    pub is_fragment: bool,
    /// Of the IPv4 header.
    pub ipv4: Checksum,
    /// Of TCP, UDP or ICMP.
    pub transport: Checksum,
    /// Of the packet in a tunnel (IP in IP, GUE), or of the one that an ICMP error quotes.
    pub inner: Option<Box<Self>>,
}

impl Checksums {
    const UNKNOWN: Self = Self {
        protocol: None,
        is_fragment: false,
        ipv4: Checksum::Unknown,
        transport: Checksum::Unknown,
        inner: None,
    };

    /// Whether nothing is wrong.
    #[must_use]
    pub fn are_fine(&self) -> bool {
        let fine = |checksum| !matches!(checksum, Checksum::Wrong(_));
        let is_inner_fine = self.inner.as_ref().is_none_or(|inner| inner.are_fine());
        fine(self.ipv4) && fine(self.transport) && is_inner_fine
    }
}

/// UDP port at which GUE is looked for.
const GUE_PORT: u16 = 6080;
/// Packets in packets that are looked at.
const DEEPEST: usize = 4;

/// What an IP header says about the payload behind it.
struct Layer<'f> {
    ipv4: Checksum,
    addresses: &'f [u8],
    protocol: u8,
    /// What there is of it.
    payload: &'f [u8],
    /// Nothing of the payload is missing: neither in other fragments nor in what was not quoted.
    is_whole: bool,
    /// The payload starts with the transport header.
    is_first: bool,
    /// A fragment, the first or another.
    is_fragment: bool,
}

/// Looks at a frame's checksums.
#[must_use]
pub fn check(frame: &[u8]) -> Checksums {
    ip_packet(frame).map_or(Checksums::UNKNOWN, check_packet)
}

/// Looks at the checksums of an IP packet without Ethernet header.
#[must_use]
pub fn check_packet(packet: &[u8]) -> Checksums {
    check_layer(packet, DEEPEST).unwrap_or(Checksums::UNKNOWN)
}

fn ip_packet(frame: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    while matches!(word(frame, at)?, 0x8100 | 0x88a8) {
        at += 4;
    }
    match word(frame, at)? {
        0x0800 | 0x86dd => frame.get(at + 2..),
        _ => None,
    }
}

fn check_layer(packet: &[u8], depth: usize) -> Option<Checksums> {
    let layer = match packet.first()? >> 4 {
        4 => ipv4_layer(packet)?,
        6 => ipv6_layer(packet)?,
        _ => return None,
    };
    let transport = match layer.is_whole && layer.is_first {
        true => check_transport(&layer).unwrap_or(Checksum::Unknown),
        false => Checksum::Unknown,
    };
    let inner = match depth {
        0 => None,
        depth => inner_packet(&layer).and_then(|inner| check_layer(inner, depth - 1)),
    };
    Some(Checksums {
        protocol: Some(layer.protocol),
        is_fragment: layer.is_fragment,
        ipv4: layer.ipv4,
        transport,
        inner: inner.map(Box::new),
    })
}

fn ipv4_layer(packet: &[u8]) -> Option<Layer<'_>> {
    let header = packet.get(..usize::from(packet.first()? & 0xf) * 4)?;
    let length = usize::from(word(packet, 2)?).checked_sub(header.len())?;
    let rest = packet.get(header.len()..)?;
    let fragment = word(header, 6)?;
    Some(Layer {
        ipv4: verdict(sum(header)),
        addresses: header.get(12..20)?,
        protocol: *header.get(9)?,
        payload: rest.get(..length).unwrap_or(rest),
        is_whole: rest.len() >= length && fragment & 0x3fff == 0,
        is_first: fragment & 0x1fff == 0,
        is_fragment: fragment & 0x3fff != 0,
    })
}

fn ipv6_layer(packet: &[u8]) -> Option<Layer<'_>> {
    let header = packet.get(..40)?;
    let length = usize::from(word(header, 4)?);
    let rest = packet.get(40..)?;
    let mut layer = Layer {
        ipv4: Checksum::Unknown,
        addresses: header.get(8..40)?,
        protocol: *header.get(6)?,
        payload: rest.get(..length).unwrap_or(rest),
        is_whole: rest.len() >= length,
        is_first: true,
        is_fragment: false,
    };
    while layer.is_first {
        let extension = layer.payload;
        let length = match layer.protocol {
            0 | 60 => usize::from(*extension.get(1)?) * 8 + 8,
            43 => {
                // With segments left, the checksum is about an address that is in here.
                layer.is_whole &= *extension.get(3)? == 0;
                usize::from(*extension.get(1)?) * 8 + 8
            }
            44 => {
                let fragment = word(extension, 2)?;
                layer.is_fragment |= fragment & 0xfff9 != 0;
                layer.is_whole &= !layer.is_fragment;
                layer.is_first = fragment & 0xfff8 == 0;
                8
            }
            _ => break,
        };
        layer.protocol = *extension.first()?;
        layer.payload = extension.get(length..)?;
    }
    Some(layer)
}

fn check_transport(layer: &Layer<'_>) -> Option<Checksum> {
    let is_v4 = layer.addresses.len() == 8;
    let field = match (layer.protocol, is_v4) {
        (6, _) => 16,
        (17, _) => 6,
        (1, true) | (58, false) => 2,
        _ => return None,
    };
    let checksum = word(layer.payload, field)?;
    if checksum == 0 && layer.protocol == 17 {
        return Some(Checksum::Absent);
    }
    let mut total = sum(layer.payload);
    if layer.protocol != 1 {
        // RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1: both addresses, protocol, length.
        total += sum(layer.addresses) + u64::from(layer.protocol) + layer.payload.len() as u64;
    }
    Some(verdict(total))
}

/// The packet that this one carries or quotes.
fn inner_packet<'f>(layer: &Layer<'f>) -> Option<&'f [u8]> {
    let is_v4 = layer.addresses.len() == 8;
    let payload = layer.payload;
    if !layer.is_first {
        return None;
    }
    match layer.protocol {
        4 | 41 => Some(payload),
        17 if word(payload, 2)? == GUE_PORT => match payload.get(8..12)? {
            [0, 4 | 41, 0, 0] => payload.get(12..),
            _ => None,
        },
        1 if is_v4 && matches!(payload.first()?, 3 | 4 | 5 | 11 | 12) => payload.get(8..),
        58 if !is_v4 && matches!(payload.first()?, 1..=4) => payload.get(8..),
        _ => None,
    }
}

/// Right is a sum that is a multiple of 0xffff.
fn verdict(sum: u64) -> Checksum {
    match (sum % 0xffff) as u16 {
        0 => Checksum::Valid,
        difference => Checksum::Wrong(difference),
    }
}

/// The 16-bit number at `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// The sum of the 16-bit words in network byte order, an odd last byte padded with zero.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let high: u64 = bytes.iter().step_by(2).map(|b| u64::from(*b) << 8).sum();
    let low: u64 = bytes.iter().skip(1).step_by(2).map(|b| u64::from(*b)).sum();
    high + low
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::builder::{Extension, Message, PacketBuilder, fragments, quote};

    /// The first packet of fixtures/nat_udp.txt.
    const QUESTION: &str = "
        deadbeef0010 deadbeef0001 0800
        45000024 00014000 401126be 0a000001 0a00000a
        9c400035 0010948d
        7175657374696f6e";

    fn bytes() -> Vec<u8> {
        crate::fixture::parse_hex(QUESTION)
    }

    fn udp(version: u8) -> PacketBuilder {
        let (source, destination): (SocketAddr, SocketAddr) = match version {
            4 => (
                "10.0.0.1:40000".parse().unwrap(),
                "10.0.0.10:53".parse().unwrap(),
            ),
            _ => (
                "[fd00::1]:40000".parse().unwrap(),
                "[fd00::10]:53".parse().unwrap(),
            ),
        };
        PacketBuilder::udp(source, destination).payload(&[7; 99])
    }

    #[test]
    fn valid_checksums_are_valid_and_a_flipped_bit_is_noticed() {
        let fine = check(&bytes());
        assert_eq!(
            (fine.ipv4, fine.transport),
            (Checksum::Valid, Checksum::Valid)
        );
        for bit in 8 * 34..8 * bytes().len() {
            let mut damaged = bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(check(&damaged).transport, Checksum::Valid, "bit {bit}");
        }
    }

    #[test]
    fn udp_may_go_without() {
        let mut without = bytes();
        without[40..42].fill(0);
        assert_eq!(check(&without).transport, Checksum::Absent);
    }

    #[test]
    fn the_difference_is_told() {
        let mut wrong = bytes();
        wrong[25] = wrong[25].wrapping_add(2);
        assert_eq!(check(&wrong).ipv4, Checksum::Wrong(2));
    }

    #[test]
    fn a_flipped_bit_in_a_tunnel_is_noticed() {
        for (outer, inner) in [(4, 4), (4, 6), (6, 4), (6, 6)] {
            let packet = udp(inner).ip_packet();
            let tunnel = match outer {
                4 => PacketBuilder::ipip([10, 0, 0, 1], [10, 0, 0, 2], &packet),
                _ => PacketBuilder::ipip([9_u16; 8], [8_u16; 8], &packet),
            };
            let frame = tunnel.build();
            let all = check(&frame);
            assert!(all.are_fine(), "{all:?}");
            assert_eq!(all.inner.unwrap().transport, Checksum::Valid);
            let mut damaged = frame.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(!check(&damaged).are_fine());
        }
    }

    #[test]
    fn a_packet_that_an_error_quotes_is_looked_at_as_far_as_it_goes() {
        let packet = udp(6).ip_packet();
        let error = |quoted: &[u8]| {
            let from = [9_u16; 8];
            PacketBuilder::icmp_error(from, [8_u16; 8], Message::TooBig(1400), quoted).build()
        };
        let whole = check(&error(&packet));
        assert_eq!(whole.transport, Checksum::Valid);
        assert_eq!(whole.inner.unwrap().transport, Checksum::Valid);
        let cut = check(&error(&quote(&packet, 8)));
        assert_eq!(cut.transport, Checksum::Valid);
        assert_eq!(cut.inner.unwrap().transport, Checksum::Unknown);
    }

    #[test]
    fn fragments_have_a_header_to_check_and_no_more() {
        for version in [4, 6] {
            let frame = udp(version).payload(&[1; 3000]).build();
            let pieces = fragments(&frame, 1280, 7);
            assert_eq!(pieces.len(), 3);
            for piece in pieces {
                let found = check(&piece);
                assert!(found.are_fine());
                assert_eq!(found.transport, Checksum::Unknown);
            }
        }
    }

    #[test]
    fn extension_headers_are_walked_over() {
        let frame = udp(6)
            .extension(Extension::HopByHop(1))
            .extension(Extension::DestinationOptions(3))
            .build();
        assert_eq!(check(&frame).transport, Checksum::Valid);
    }
}
