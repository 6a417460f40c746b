//! What nobody can avoid: the floors that the product's packet path is compared with.

use abi::backend::Link;
use abi::family::{V4, V6};
use abi::flow::{FlowKey as _, Rewrite as _};
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::programs::XdpContext;
use datapath::{Header, Packet as _, Parsed, Transport};
use wire::checksum::Sum;
use wire::ethernet::{self, Addresses};
use wire::ipv4::{self, Ipv4};
use wire::ipv6::{self, Ipv6};
use wire::{Be16, Be32};

use crate::packet::Frame;
use crate::restore::restore;

const IP: usize = ethernet::HEADER_LENGTH;
const LINK: Link = Link::new(Addresses::from_words(0x0200_0000_2222_2222, 0x1111_1111), 1);
const TTL: u8 = 64;

/// A family with what the floors write into its packets.
pub(crate) trait Constants: Header {
    /// Addresses for documentation (RFC 5737, RFC 3849): no packet has them.
    fn address(last: u8) -> Self::Address;

    /// Writes an outer header of this family in front of `length` bytes of `protocol`.
    fn write_outer(frame: &mut Frame, protocol: u8, class: u8, length: u16) -> Option<()>;

    /// Protocol number of a packet of this family in another.
    const PROTOCOL: u8;
}

impl Constants for V4 {
    const PROTOCOL: u8 = ipv4::IPV4;

    #[inline(always)]
    fn address(last: u8) -> Be32 {
        Be32::new(0xc000_0200 | u32::from(last))
    }

    #[inline(always)]
    fn write_outer(frame: &mut Frame, protocol: u8, class: u8, length: u16) -> Option<()> {
        let total_length = Be16::new(length + ipv4::MIN_HEADER_LENGTH as u16);
        let (source, destination) = (Self::address(3), Self::address(4));
        let sum = Sum::new()
            .half(Be16::new(0x4500))
            .half(ipv4::DONT_FRAGMENT)
            .half(Be16::new(u16::from(TTL) << 8 | u16::from(protocol)))
            .word(source)
            .word(destination)
            .half(Be16::new(u16::from(class)))
            .half(total_length);
        let header = Ipv4 {
            version_ihl: 0x45,
            traffic_class: class,
            total_length,
            identification: Be16::new(0),
            flags_fragment: ipv4::DONT_FRAGMENT,
            ttl: TTL,
            protocol,
            checksum: sum.checksum(),
            source,
            destination,
        };
        frame.write(IP, &header)
    }
}

impl Constants for V6 {
    const PROTOCOL: u8 = ipv6::IPV6;

    #[inline(always)]
    fn address(last: u8) -> ipv6::Address {
        ipv6::Address::from_raw(0xb80d_0120, u64::from(last) << 56)
    }

    #[inline(always)]
    fn write_outer(frame: &mut Frame, protocol: u8, class: u8, length: u16) -> Option<()> {
        let header = Ipv6 {
            version_class_flow: Be32::new(6 << 28 | u32::from(class) << 20),
            payload_length: Be16::new(length),
            next_header: protocol,
            hop_limit: TTL,
            source: Self::address(3),
            destination: Self::address(4),
        };
        frame.write(IP, &header)
    }
}

/// The next packet, parsed. `None` if it is of another family.
#[inline(always)]
fn next<F: Header>(context: &XdpContext) -> Option<(Frame, Parsed<F>)> {
    if restore(context.ctx) == xdp_action::XDP_ABORTED {
        return None;
    }
    let frame = Frame::new(context.ctx);
    let carried = datapath::carried(&frame).ok()?;
    if carried.ethertype != F::ETHERTYPE {
        return None;
    }
    let parsed = datapath::parse(&frame, carried.offset, || 0).ok()?;
    Some((frame, parsed))
}

/// Parses and passes.
#[inline(always)]
pub(crate) fn parse<F: Constants>(context: &XdpContext) -> u32 {
    let Some((_, parsed)) = next::<F>(context) else {
        return xdp_action::XDP_ABORTED;
    };
    // Some use of the result, or the compiler would drop most of the parsing.
    let one = Be16::new(1);
    let nobody = F::FlowKey::new(F::address(1), F::address(2), one, one, ipv4::TCP);
    if parsed.key == nobody {
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
}

/// Rewrites to constants and sends.
#[inline(always)]
pub(crate) fn rewrite<F: Constants>(context: &XdpContext) -> u32 {
    let Some((mut frame, parsed)) = next::<F>(context) else {
        return xdp_action::XDP_ABORTED;
    };
    if parsed.segment.transport == Transport::LaterFragment {
        return xdp_action::XDP_PASS;
    }
    let becomes = F::Rewrite::new(
        (F::address(3), F::address(4)),
        (Be16::new(40_000), Be16::new(8000)),
        0x1234,
        0x5678,
    );
    match datapath::rewrite(&mut frame, &parsed, &becomes, &LINK) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_DROP,
    }
}

/// Puts the packet into an outer header of constants, and sends it.
#[inline(always)]
pub(crate) fn encapsulate<F: Constants, Outer: Constants>(context: &XdpContext) -> u32 {
    let Some((mut frame, parsed)) = next::<F>(context) else {
        return xdp_action::XDP_ABORTED;
    };
    match try_encapsulate::<F, Outer>(&mut frame, &parsed) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn try_encapsulate<F: Constants, Outer: Constants>(
    frame: &mut Frame,
    parsed: &Parsed<F>,
) -> Option<()> {
    frame.grow_front(Outer::LENGTH)?;
    frame.write(0, &LINK.addresses())?;
    frame.write(ethernet::ETHERTYPE_OFFSET, &Outer::ETHERTYPE)?;
    let (class, length) = (parsed.ip.traffic_class as u8, parsed.ip.length as u16);
    Outer::write_outer(frame, F::PROTOCOL, class, length)
}
