//! ICMP and ICMPv6 (DESIGN: 3.5): echo requests to VIPs are answered, errors that quote a flow go
//! to whoever sent the quoted packet. Everything else, neighbour discovery included, is the host's.

mod echo;
mod error;
mod quoted;

use abi::control::feature;
use abi::directory::{ANY_PORT, ECHO, NAT_SOURCE, VIP};
use abi::family::{Family, V4, V6};
use abi::flow::FlowKey as _;
use abi::reason::Reason;
use wire::checksum::Delta;
use wire::icmp::{self, Icmp};

use crate::parse::{self, Header};
use crate::verdict::Findings;
use crate::{FamilyTables, Packet, Parsed, Tables, Transport, classify};

/// Where a message can begin at most: nobody sends errors behind kilobytes of extensions.
const MAX_OFFSET: usize = 1024;

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An echo request.
    EchoRequest,
    /// An error that quotes a packet.
    Error,
    /// Anything else.
    Other,
}

/// What differs between ICMP and ICMPv6.
pub trait Messages: Header {
    /// Type of an echo reply.
    const ECHO_REPLY: u8;
    /// Which kind a type is.
    fn kind(message_type: u8) -> Kind;
    /// What a change of the packet's own addresses does to the message's checksum.
    fn pseudo_header(delta: Delta) -> Delta;
    /// Whether only one host has this address.
    fn is_unicast(address: Self::Address) -> bool;
}

impl Messages for V4 {
    const ECHO_REPLY: u8 = icmp::v4::ECHO_REPLY;

    #[inline(always)]
    fn kind(message_type: u8) -> Kind {
        match message_type {
            icmp::v4::ECHO_REQUEST => Kind::EchoRequest,
            icmp::v4::UNREACHABLE | icmp::v4::TIME_EXCEEDED | icmp::v4::PARAMETER_PROBLEM => {
                Kind::Error
            }
            _ => Kind::Other,
        }
    }

    #[inline(always)]
    fn pseudo_header(_delta: Delta) -> Delta {
        Delta::NONE
    }

    #[inline(always)]
    fn is_unicast(address: wire::Be32) -> bool {
        let first = address.raw() as u8;
        first != 0 && first < 224
    }
}

impl Messages for V6 {
    const ECHO_REPLY: u8 = icmp::v6::ECHO_REPLY;

    #[inline(always)]
    fn kind(message_type: u8) -> Kind {
        match message_type {
            icmp::v6::ECHO_REQUEST => Kind::EchoRequest,
            icmp::v6::UNREACHABLE
            | icmp::v6::PACKET_TOO_BIG
            | icmp::v6::TIME_EXCEEDED
            | icmp::v6::PARAMETER_PROBLEM => Kind::Error,
            _ => Kind::Other,
        }
    }

    #[inline(always)]
    fn pseudo_header(delta: Delta) -> Delta {
        delta
    }

    #[inline(always)]
    fn is_unicast(address: wire::ipv6::Address) -> bool {
        !address.is_multicast() && address != wire::ipv6::Address::default()
    }
}

/// An ICMP message.
#[inline(never)]
pub(crate) fn walk<F: Messages, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    ip_offset: usize,
    found: &mut Findings,
) -> Reason {
    let packet = &mut packet.local();
    let for_host = Reason::IcmpForHost;
    let zero = tables.zero();
    let Ok(mut parsed) = parse::parse::<F, _>(packet, ip_offset, || zero) else {
        return for_host;
    };
    let Ok(transport_offset) = parse::blur(parsed.transport_offset, zero, MAX_OFFSET) else {
        return for_host;
    };
    parsed.transport_offset = transport_offset;
    packet.refresh();
    let Some(icmp) = packet.read::<Icmp>(parsed.transport_offset) else {
        return for_host;
    };
    if parsed.segment.transport != Transport::Icmp || parsed.ip.is_fragment != 0 {
        return for_host;
    }
    let kind = addressee(tables, &parsed);
    match F::kind(icmp.kind) {
        Kind::EchoRequest if kind & ECHO != 0 && F::is_unicast(parsed.key.source()) => {
            echo::answer(packet, &parsed, &icmp, found)
        }
        Kind::Error if is_ours(tables, kind) => {
            error::forward(packet, tables, &parsed, &icmp, found).unwrap_or(for_host)
        }
        _ => for_host,
    }
}

/// What the directory says about the address this is sent to.
#[inline(always)]
fn addressee<F: Family, T: FamilyTables<F>>(tables: &T, parsed: &Parsed<F>) -> u32 {
    classify::lookup(tables, parsed.key.destination(), ANY_PORT, F::ICMP)
        .map_or(0, |target| target.kind)
}

/// Whether an error may be about a flow of ours: to a VIP or a source address, to any address of a
/// prefix, or from a backend of `dnat` to any client.
#[inline(always)]
fn is_ours<T: Tables>(tables: &T, kind: u32) -> bool {
    kind & (VIP | NAT_SOURCE) != 0
        || tables.settings().features & (feature::DNAT | feature::PREFIX) != 0
}
