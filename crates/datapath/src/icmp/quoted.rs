//! The packet that an ICMP error quotes: its headers, and giving them other addresses.

use abi::family::{Address as _, Family};
use abi::flow::FlowKey as _;
use wire::checksum::{self, Delta};
use wire::{Be16, icmp, ipv4, tcp, udp};

use crate::parse::{self, Header, HeaderFacts};
use crate::{Packet, Parsed};

/// Where a quoted transport header can begin at most.
const MAX_OFFSET: usize = 2048;

/// What the quoted packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted<F: Family> {
    /// Its 5-tuple.
    pub(super) key: F::FlowKey,
    /// Offset of its IP header in bytes.
    ip_offset: usize,
    /// Offset of its transport header in bytes.
    transport_offset: usize,
    /// Offset of the message's end: what follows is padding.
    end: usize,
    /// IPv4: its header's checksum.
    checksum: Be16,
}

/// Addresses and ports that a quoted packet gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuotedBecomes<F: Family> {
    pub(super) source: F::Address,
    pub(super) destination: F::Address,
    pub(super) ports: udp::Ports,
}

/// Reads the quoted packet's headers: TCP or UDP, of which at least the ports are there.
#[inline(always)]
pub(super) fn read<F: Header, P: Packet>(
    packet: &P,
    parsed: &Parsed<F>,
    zero: usize,
) -> Option<Quoted<F>> {
    let ip_offset = parsed.transport_offset + icmp::HEADER_LENGTH;
    let header: HeaderFacts<F> = F::parse_quoted(packet, ip_offset, || zero).ok()?;
    let is_flow = header.protocol == ipv4::TCP || header.protocol == ipv4::UDP;
    if !is_flow || header.is_later_fragment {
        return None;
    }
    let end = parsed.ip_offset + parsed.ip.length as usize;
    if header.transport_offset + size_of::<udp::Ports>() > end {
        return None;
    }
    let transport_offset = parse::blur(header.transport_offset, zero, MAX_OFFSET).ok()?;
    let ports: udp::Ports = packet.read(transport_offset)?;
    Some(Quoted {
        key: F::FlowKey::new(
            header.source,
            header.destination,
            ports.source,
            ports.destination,
            header.protocol,
        ),
        ip_offset,
        transport_offset,
        end,
        checksum: header.ip.checksum,
    })
}

/// Gives the quoted packet other addresses and ports, and returns what that does to the checksum of
/// the message around it.
#[inline(always)]
pub(super) fn rewrite<F: Header, P: Packet>(
    packet: &mut P,
    quoted: &Quoted<F>,
    becomes: &QuotedBecomes<F>,
) -> Option<Delta> {
    let key = &quoted.key;
    let addresses = F::Address::delta(Delta::NONE, key.source(), becomes.source);
    let addresses = F::Address::delta(addresses, key.destination(), becomes.destination);
    let ports = Delta::NONE
        .word(key.source_port(), becomes.ports.source)
        .word(key.destination_port(), becomes.ports.destination);
    let mut around = addresses.and(ports);
    if !F::IS_V6 {
        let updated = checksum::update(quoted.checksum, addresses);
        packet.write(quoted.ip_offset + ipv4::CHECKSUM_OFFSET, &updated)?;
        around = around.word(quoted.checksum, updated);
    }
    packet.write(quoted.ip_offset + F::ADDRESSES_OFFSET, &becomes.source)?;
    let second = F::ADDRESSES_OFFSET + size_of::<F::Address>();
    packet.write(quoted.ip_offset + second, &becomes.destination)?;
    packet.write(quoted.transport_offset, &becomes.ports)?;
    let around = Delta::from_folded(around.fold());
    Some(transport(packet, quoted, addresses.and(ports), around))
}

/// Updates the transport's checksum where the quote reaches that far.
#[inline(always)]
fn transport<F: Family, P: Packet>(
    packet: &mut P,
    quoted: &Quoted<F>,
    delta: Delta,
    around: Delta,
) -> Delta {
    let is_tcp = quoted.key.protocol() == ipv4::TCP;
    let offset = if is_tcp {
        tcp::CHECKSUM_OFFSET
    } else {
        udp::CHECKSUM_OFFSET
    };
    let place = quoted.transport_offset + offset;
    if place + size_of::<Be16>() > quoted.end {
        return around;
    }
    let Some(old) = packet.read::<Be16>(place) else {
        return around;
    };
    let new = if is_tcp {
        checksum::update(old, delta)
    } else {
        checksum::update_udp(old, delta)
    };
    match packet.write(place, &new) {
        Some(()) => around.word(old, new),
        None => around,
    }
}
