//! What the balancer sends itself: a packet's answer, made of the packet, to its sender and from the
//! address it was sent to.

use abi::family::{V4, V6};
use abi::flow::FlowKey as _;
use wire::checksum::Sum;
use wire::icmp::{self, Icmp};
use wire::ipv4::{self, Ipv4};
use wire::ipv6::{self, Ipv6};
use wire::{Be16, Be32};

use crate::icmp::Messages;
use crate::parse::{self, Header};
use crate::{MAX_IP_OFFSET, Packet, Parsed, Transport, link};

/// Hop limit of what we send ourselves (RFC 1700's recommendation).
pub(crate) const OWN_TTL: u8 = 64;
/// Where a piece of a packet can begin that an error quotes: behind tags, within the quote.
const MAX_PIECE_OFFSET: usize = MAX_IP_OFFSET + V6::MOST_QUOTED;

/// The headers of an answer.
pub trait Answer: Header {
    /// Bytes of a packet that an error quotes at most, a multiple of four.
    const MOST_QUOTED: usize;
    /// Type and code of the error about a packet that is too big.
    const TOO_BIG: (u8, u8);
    /// Type and code of the error about a port that nobody listens on.
    const PORT_UNREACHABLE: (u8, u8);

    /// The sum of the pseudo-header of an answer of `length` bytes behind its IP header.
    fn pseudo_header(parsed: &Parsed<Self>, protocol: u8, length: usize) -> Sum;
    /// Writes the IP header of such an answer where the packet's was.
    fn write_header<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        protocol: u8,
        length: usize,
    ) -> Option<()>;
}

/// Whether there may be an answer: never to a fragment other than the first, never to an address that
/// is no single host's (RFC 1122, section 3.2.2).
#[inline(always)]
pub(crate) fn is_allowed<F: Messages>(parsed: &Parsed<F>) -> bool {
    parsed.segment.transport != Transport::LaterFragment && F::is_unicast(parsed.key.source())
}

/// Turns the packet into an ICMP error about it, which quotes as much of it as fits, in words of four
/// bytes. `zero`: [`crate::Tables::zero`].
#[inline(always)]
pub(crate) fn error<F: Answer, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    (kind, code): (u8, u8),
    mtu: u32,
    zero: usize,
) -> Option<()> {
    let at = parsed.ip_offset;
    let quote = (parsed.ip.length as usize).min(F::MOST_QUOTED) & !3;
    packet.refresh();
    let quoted = sum(packet, at, quote, zero)?;
    let tags = link::tags(packet, at)?;
    packet.truncate(at + quote)?;
    packet.grow_front(F::LENGTH + icmp::HEADER_LENGTH)?;
    let addresses = parsed.ethernet.swapped();
    link::write(packet, &addresses, tags, F::ETHERTYPE, at)?;
    let length = icmp::HEADER_LENGTH + quote;
    F::write_header(packet, parsed, F::ICMP, length)?;
    // ICMPv6 only has a pseudo-header.
    let rest = if F::IS_V6 {
        quoted.and(F::pseudo_header(parsed, F::ICMP, length))
    } else {
        quoted
    };
    let icmp = Icmp {
        kind,
        code,
        checksum: Be16::new(0),
        first: Be16::new(0),
        second: Be16::new(mtu as u16),
    };
    let checksum = icmp.computed_checksum(rest);
    packet.write(at + F::LENGTH, &Icmp { checksum, ..icmp })
}

/// The sum of `length` bytes, a multiple of four below 2,048, in pieces of lengths that are known.
#[inline(always)]
fn sum<P: Packet>(packet: &P, at: usize, length: usize, zero: usize) -> Option<Sum> {
    let so_far = (at, Sum::new());
    let so_far = piece::<1024, P>(packet, so_far, length, zero)?;
    let so_far = piece::<512, P>(packet, so_far, length, zero)?;
    let so_far = piece::<256, P>(packet, so_far, length, zero)?;
    let so_far = piece::<128, P>(packet, so_far, length, zero)?;
    let so_far = piece::<64, P>(packet, so_far, length, zero)?;
    let so_far = piece::<32, P>(packet, so_far, length, zero)?;
    let so_far = piece::<16, P>(packet, so_far, length, zero)?;
    let so_far = piece::<8, P>(packet, so_far, length, zero)?;
    let (_, sum) = piece::<4, P>(packet, so_far, length, zero)?;
    Some(sum)
}

/// Adds a piece if `length` has its bit; the next one begins behind it.
#[inline(always)]
fn piece<const LENGTH: usize, P: Packet>(
    packet: &P,
    (at, sum): (usize, Sum),
    length: usize,
    zero: usize,
) -> Option<(usize, Sum)> {
    if length & LENGTH == 0 {
        return Some((at, sum));
    }
    let at = parse::blur(at, zero, MAX_PIECE_OFFSET).ok()?;
    let sum = sum.and(packet.sum::<LENGTH>(at)?);
    Some((at + LENGTH, sum))
}

impl Answer for V4 {
    /// An error of at most 576 bytes (RFC 1812, section 4.3.2.3).
    const MOST_QUOTED: usize = 576 - ipv4::MIN_HEADER_LENGTH - icmp::HEADER_LENGTH;
    const TOO_BIG: (u8, u8) = (icmp::v4::UNREACHABLE, icmp::v4::FRAGMENTATION_NEEDED);
    const PORT_UNREACHABLE: (u8, u8) = (icmp::v4::UNREACHABLE, icmp::v4::PORT_UNREACHABLE);

    #[inline(always)]
    fn pseudo_header(parsed: &Parsed<Self>, protocol: u8, length: usize) -> Sum {
        Sum::new()
            .word(parsed.key.source())
            .word(parsed.key.destination())
            .half(Be16::new(u16::from(protocol)))
            .half(Be16::new(length as u16))
    }

    #[inline(always)]
    fn write_header<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        protocol: u8,
        length: usize,
    ) -> Option<()> {
        let ip = Ipv4 {
            version_ihl: 0x45,
            traffic_class: 0,
            total_length: Be16::new((Self::LENGTH + length) as u16),
            identification: Be16::new(0),
            flags_fragment: ipv4::DONT_FRAGMENT,
            ttl: OWN_TTL,
            protocol,
            checksum: Be16::new(0),
            source: parsed.key.destination(),
            destination: parsed.key.source(),
        };
        let checksum = ip.computed_checksum();
        packet.write(parsed.ip_offset, &Ipv4 { checksum, ..ip })
    }
}

impl Answer for V6 {
    /// An error of at most the minimum MTU (RFC 4443, section 2.4 (c)).
    const MOST_QUOTED: usize = 1280 - ipv6::HEADER_LENGTH - icmp::HEADER_LENGTH;
    const TOO_BIG: (u8, u8) = (icmp::v6::PACKET_TOO_BIG, 0);
    const PORT_UNREACHABLE: (u8, u8) = (icmp::v6::UNREACHABLE, icmp::v6::PORT_UNREACHABLE);

    #[inline(always)]
    fn pseudo_header(parsed: &Parsed<Self>, protocol: u8, length: usize) -> Sum {
        Sum::new()
            .address(parsed.key.source())
            .address(parsed.key.destination())
            .half(Be16::new(u16::from(protocol)))
            .half(Be16::new(length as u16))
    }

    #[inline(always)]
    fn write_header<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        protocol: u8,
        length: usize,
    ) -> Option<()> {
        let ip = Ipv6 {
            version_class_flow: Be32::new(6 << 28),
            payload_length: Be16::new(length as u16),
            next_header: protocol,
            hop_limit: OWN_TTL,
            source: parsed.key.destination(),
            destination: parsed.key.source(),
        };
        packet.write(parsed.ip_offset, &ip)
    }
}
