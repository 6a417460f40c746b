//! Answers a packet that is too large for the way on: ICMP "fragmentation needed" (RFC 792, RFC
//! 1191) or ICMPv6 "packet too big" (RFC 4443, section 3.2), from the address the sender wrote to.
//!
//! IPv4 packets that may be fragmented get the same answer: nobody here can fragment them, and
//! senders that allow it heed the answer, too.

use abi::family::{V4, V6};
use abi::flow::FlowKey as _;
use abi::pace;
use abi::reason::Reason;
use wire::checksum::Sum;
use wire::icmp::{self, Icmp};
use wire::ipv4::{self, Ipv4};
use wire::ipv6::{self, Ipv6};
use wire::{Be16, Be32};

use crate::icmp::Messages;
use crate::parse::{self, Header};
use crate::verdict::Findings;
use crate::{Packet, Parsed, Tables, Transport, link};

/// Hop limit of what we send ourselves (RFC 1700's recommendation).
pub(crate) const OWN_TTL: u8 = 64;
/// Bytes of the packet that are quoted. IPv4: an error of at most 576 bytes (RFC 1812, section
/// 4.3.2.3).
const QUOTE_V4: usize = 576 - ipv4::MIN_HEADER_LENGTH - icmp::HEADER_LENGTH;
/// Of smaller IPv4 packets, where the way on is narrower than 576 bytes: longest header and 8 bytes.
const SHORT_QUOTE_V4: usize = ipv4::MAX_HEADER_LENGTH + 8;
/// IPv6: an error of at most the minimum MTU (RFC 4443, section 2.4 (c)).
const QUOTE_V6: usize = 1280 - ipv6::HEADER_LENGTH - icmp::HEADER_LENGTH;

/// The header of the answer.
pub trait Answer: Header {
    /// Bytes of a packet of `length` bytes to quote: one of few constants, or `None` if it is
    /// shorter than all of them.
    fn quote(length: u32) -> Option<usize>;
    /// The sum of those bytes.
    fn sum<P: Packet>(packet: &P, offset: usize, quote: usize) -> Option<Sum>;
    /// Writes IP and ICMP header in front of the quote.
    fn write<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        mtu: u32,
        quote: usize,
        sum: Sum,
    ) -> Option<()>;
}

/// Turns the packet into an answer to its sender.
#[inline(never)]
pub(crate) fn answer<F: Messages + Answer, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    ip_offset: usize,
    found: &mut Findings,
) -> Reason {
    let packet = &mut packet.local();
    // Asked for at once: otherwise the compiler leaves a pointer to the stack where the verifier
    // looks for what a function returns.
    let zero = tables.zero();
    let Ok(parsed) = parse::parse::<F, _>(packet, ip_offset, || zero) else {
        return Reason::TooBigUnanswered;
    };
    // RFC 1122, section 3.2.2: never about a fragment other than the first, never to an address that
    // is no single host's.
    if parsed.segment.transport == Transport::LaterFragment || !F::is_unicast(parsed.key.source()) {
        return Reason::TooBigUnanswered;
    }
    let limit = tables.settings().icmp_errors_per_window;
    let now = tables.now();
    if tables.pace(pace::ICMP_ERRORS, |pace| pace.allows(now, limit)) != Some(true)
        || try_answer(packet, &parsed, found.mtu).is_none()
    {
        return Reason::TooBigUnanswered;
    }
    found.interface = packet.ingress_interface();
    Reason::TooBig
}

#[inline(always)]
fn try_answer<F: Answer, P: Packet>(packet: &mut P, parsed: &Parsed<F>, mtu: u32) -> Option<()> {
    let at = parsed.ip_offset;
    let quote = F::quote(parsed.ip.length)?;
    packet.refresh();
    let sum = F::sum(packet, at, quote)?;
    let tags = link::tags(packet, at)?;
    packet.truncate(at + quote)?;
    packet.grow_front(F::LENGTH + icmp::HEADER_LENGTH)?;
    let addresses = parsed.ethernet.swapped();
    link::write(packet, &addresses, tags, F::ETHERTYPE, at)?;
    F::write(packet, parsed, mtu, quote, sum)
}

impl Answer for V4 {
    #[inline(always)]
    fn quote(length: u32) -> Option<usize> {
        if length as usize >= QUOTE_V4 {
            Some(QUOTE_V4)
        } else if length as usize >= SHORT_QUOTE_V4 {
            Some(SHORT_QUOTE_V4)
        } else {
            None
        }
    }

    #[inline(always)]
    fn sum<P: Packet>(packet: &P, offset: usize, quote: usize) -> Option<Sum> {
        if quote == QUOTE_V4 {
            packet.sum::<QUOTE_V4>(offset)
        } else {
            packet.sum::<SHORT_QUOTE_V4>(offset)
        }
    }

    #[inline(always)]
    fn write<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        mtu: u32,
        quote: usize,
        sum: Sum,
    ) -> Option<()> {
        let ip = Ipv4 {
            version_ihl: 0x45,
            traffic_class: 0,
            total_length: Be16::new((Self::LENGTH + icmp::HEADER_LENGTH + quote) as u16),
            identification: Be16::new(0),
            flags_fragment: ipv4::DONT_FRAGMENT,
            ttl: OWN_TTL,
            protocol: ipv4::ICMP,
            checksum: Be16::new(0),
            source: parsed.key.destination(),
            destination: parsed.key.source(),
        };
        packet.write(
            parsed.ip_offset,
            &Ipv4 {
                checksum: ip.computed_checksum(),
                ..ip
            },
        )?;
        let icmp = Icmp {
            kind: icmp::v4::UNREACHABLE,
            code: icmp::v4::FRAGMENTATION_NEEDED,
            checksum: Be16::new(0),
            first: Be16::new(0),
            second: Be16::new(mtu as u16),
        };
        let checksum = icmp.computed_checksum(sum);
        packet.write(parsed.ip_offset + Self::LENGTH, &Icmp { checksum, ..icmp })
    }
}

impl Answer for V6 {
    #[inline(always)]
    fn quote(length: u32) -> Option<usize> {
        (length as usize >= QUOTE_V6).then_some(QUOTE_V6)
    }

    #[inline(always)]
    fn sum<P: Packet>(packet: &P, offset: usize, _quote: usize) -> Option<Sum> {
        packet.sum::<QUOTE_V6>(offset)
    }

    #[inline(always)]
    fn write<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        mtu: u32,
        quote: usize,
        sum: Sum,
    ) -> Option<()> {
        let length = Be16::new((icmp::HEADER_LENGTH + quote) as u16);
        let ip = Ipv6 {
            version_class_flow: Be32::new(6 << 28),
            payload_length: length,
            next_header: ipv6::ICMP,
            hop_limit: OWN_TTL,
            source: parsed.key.destination(),
            destination: parsed.key.source(),
        };
        packet.write(parsed.ip_offset, &ip)?;
        let icmp = Icmp {
            kind: icmp::v6::PACKET_TOO_BIG,
            code: 0,
            checksum: Be16::new(0),
            first: Be16::new(0),
            second: Be16::new(mtu as u16),
        };
        let sum = sum
            .address(ip.source)
            .address(ip.destination)
            .half(length)
            .half(Be16::new(u16::from(ipv6::ICMP)));
        let checksum = icmp.computed_checksum(sum);
        packet.write(parsed.ip_offset + Self::LENGTH, &Icmp { checksum, ..icmp })
    }
}
