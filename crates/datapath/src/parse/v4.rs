//! IPv4 (RFC 791).

use abi::family::V4;
use abi::flow::FlowKey as _;
use abi::reason::Reason;
use wire::checksum::{self, Delta};
use wire::ipv4::{self, Ipv4};
use wire::{Be16, Be32, ethernet};

use super::{Header, HeaderFacts, Ip, Parsed};
use crate::Packet;

impl Header for V4 {
    const ETHERTYPE: Be16 = ethernet::IPV4;
    const LENGTH: usize = ipv4::MIN_HEADER_LENGTH;
    const ADDRESSES_OFFSET: usize = ipv4::SOURCE_OFFSET;

    #[inline(always)]
    fn parse<P: Packet>(
        packet: &P,
        offset: usize,
        zero: impl Fn() -> usize,
    ) -> Result<HeaderFacts<Self>, Reason> {
        let header = Self::parse_quoted(packet, offset, zero)?;
        if !packet.is_at_least(offset + header.ip.length as usize) {
            return Err(Reason::Truncated);
        }
        Ok(header)
    }

    #[inline(always)]
    fn parse_quoted<P: Packet>(
        packet: &P,
        offset: usize,
        _zero: impl Fn() -> usize,
    ) -> Result<HeaderFacts<Self>, Reason> {
        let ipv4: Ipv4 = packet.read(offset).ok_or(Reason::Truncated)?;
        let header_length = ipv4.header_length();
        let total_length = ipv4.total_length.get() as usize;
        if ipv4.version() != 4
            || header_length < ipv4::MIN_HEADER_LENGTH
            || total_length < header_length
        {
            return Err(Reason::BadIpv4Header);
        }
        Ok(HeaderFacts {
            source: ipv4.source,
            destination: ipv4.destination,
            protocol: ipv4.protocol,
            is_later_fragment: ipv4.is_later_fragment(),
            transport_offset: offset + header_length,
            transport_length: total_length - header_length,
            ip: Ip {
                length: total_length as u32,
                ttl: u32::from(ipv4.ttl),
                traffic_class: u32::from(ipv4.traffic_class),
                checksum: ipv4.checksum,
                is_fragment: u32::from(ipv4.is_fragment()),
                identification: u32::from(ipv4.identification.raw()),
            },
        })
    }

    #[inline(always)]
    fn write_route<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        (source, destination): (Be32, Be32),
        delta: Delta,
    ) -> Option<()> {
        packet.write(
            parsed.ip_offset + ipv4::ROUTE_OFFSET,
            &ipv4::Route {
                ttl: (parsed.ip.ttl as u8).wrapping_sub(1),
                protocol: parsed.key.protocol(),
                checksum: checksum::update(parsed.ip.checksum, ipv4::with_ttl_decrement(delta)),
                source,
                destination,
            },
        )
    }
}
