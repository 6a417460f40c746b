//! IPv6 (RFC 8200), up to [`MAX_EXTENSIONS`] extension headers deep.

use abi::family::V6;
use abi::limits::MAX_EXTENSIONS;
use abi::reason::Reason;
use wire::checksum::Delta;
use wire::ipv6::{self, Address, Extension, Fragment, Ipv6};
use wire::{Be16, ethernet};

use super::{Header, HeaderFacts, Ip, Parsed, blur};
use crate::Packet;

impl Header for V6 {
    const ETHERTYPE: Be16 = ethernet::IPV6;
    const LENGTH: usize = ipv6::HEADER_LENGTH;
    const ADDRESSES_OFFSET: usize = ipv6::SOURCE_OFFSET;

    #[inline(always)]
    fn parse<P: Packet>(
        packet: &P,
        offset: usize,
        zero: impl Fn() -> usize,
    ) -> Result<HeaderFacts<Self>, Reason> {
        let (ipv6, facts) = fixed(packet, offset)?;
        if !packet.is_at_least(offset + facts.ip.length as usize) {
            return Err(Reason::Truncated);
        }
        extensions(packet, &ipv6, facts, zero)
    }

    #[inline(always)]
    fn parse_quoted<P: Packet>(
        packet: &P,
        offset: usize,
        zero: impl Fn() -> usize,
    ) -> Result<HeaderFacts<Self>, Reason> {
        let (ipv6, facts) = fixed(packet, offset)?;
        extensions(packet, &ipv6, facts, zero)
    }

    #[inline(always)]
    fn write_route<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        (source, destination): (Address, Address),
        _delta: Delta,
    ) -> Option<()> {
        let hop_limit = (parsed.ip.ttl as u8).wrapping_sub(1);
        packet.write(parsed.ip_offset + ipv6::HOP_LIMIT_OFFSET, &hop_limit)?;
        let offset = parsed.ip_offset + ipv6::SOURCE_OFFSET;
        packet.write(offset, &source)?;
        packet.write(offset + size_of::<Address>(), &destination)
    }
}

/// Where a transport header can be at most: behind a tagged Ethernet header, an ICMP error's headers
/// with all extensions, and a quoted header with all of its own.
const MAX_OFFSET: usize =
    22 + 2 * (ipv6::HEADER_LENGTH + MAX_EXTENSIONS as usize * ipv6::MAX_EXTENSION_LENGTH) + 8;

/// The fixed header, and what is known by it.
#[inline(always)]
fn fixed<P: Packet>(packet: &P, offset: usize) -> Result<(Ipv6, HeaderFacts<V6>), Reason> {
    let ipv6: Ipv6 = packet.read(offset).ok_or(Reason::Truncated)?;
    if ipv6.version() != 6 {
        return Err(Reason::BadIpv6Header);
    }
    let payload = usize::from(ipv6.payload_length.get());
    let facts = HeaderFacts {
        source: ipv6.source,
        destination: ipv6.destination,
        protocol: ipv6.next_header,
        is_later_fragment: false,
        transport_offset: offset + ipv6::HEADER_LENGTH,
        transport_length: payload,
        ip: Ip {
            length: (ipv6::HEADER_LENGTH + payload) as u32,
            ttl: u32::from(ipv6.hop_limit),
            traffic_class: u32::from(ipv6.traffic_class()),
            ..Ip::default()
        },
    };
    Ok((ipv6, facts))
}

/// Walks over the extension headers. Behind the fragment header of a later fragment there is
/// nothing to be read.
#[inline(always)]
fn extensions<P: Packet>(
    packet: &P,
    ipv6: &Ipv6,
    facts: HeaderFacts<V6>,
    zero: impl Fn() -> usize,
) -> Result<HeaderFacts<V6>, Reason> {
    let mut facts = facts;
    facts.protocol = ipv6.next_header;
    if !is_extension(facts.protocol) {
        return Ok(facts);
    }
    for _ in 0..MAX_EXTENSIONS {
        if facts.is_later_fragment || !is_extension(facts.protocol) {
            break;
        }
        let length = one_extension(packet, &mut facts)?;
        if facts.transport_length < length {
            return Err(Reason::Truncated);
        }
        facts.transport_length -= length;
        facts.transport_offset = blur(facts.transport_offset + length, zero(), MAX_OFFSET)?;
    }
    if !facts.is_later_fragment && is_extension(facts.protocol) {
        return Err(Reason::TooManyExtensions);
    }
    Ok(facts)
}

#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    protocol == ipv6::HOP_BY_HOP
        || protocol == ipv6::ROUTING
        || protocol == ipv6::DESTINATION_OPTIONS
        || protocol == ipv6::FRAGMENT
}

/// Notes what the extension header at `facts.transport_offset` says and returns its length.
#[inline(always)]
fn one_extension<P: Packet>(packet: &P, facts: &mut HeaderFacts<V6>) -> Result<usize, Reason> {
    if facts.protocol == ipv6::FRAGMENT {
        let fragment: Fragment = packet
            .read(facts.transport_offset)
            .ok_or(Reason::Truncated)?;
        facts.protocol = fragment.next_header;
        facts.is_later_fragment = fragment.is_later();
        facts.ip.is_fragment = u32::from(fragment.is_fragment());
        facts.ip.identification = fragment.identification.raw();
        return Ok(ipv6::FRAGMENT_LENGTH);
    }
    let extension: Extension = packet
        .read(facts.transport_offset)
        .ok_or(Reason::Truncated)?;
    facts.protocol = extension.next_header;
    Ok(extension.header_length())
}
