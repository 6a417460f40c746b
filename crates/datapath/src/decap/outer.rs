//! The headers that the load balancer has put in front.

use abi::backend::Address;
use abi::decap::{AddressKey, DecapReason};
use wire::ipv4::{self, Ipv4};
use wire::ipv6::{self, Ipv6};
use wire::udp::{self, Udp};
use wire::{ethernet, gue};

use crate::{Carried, Packet};

/// The outer IP header of a tunnel's packet.
pub(super) struct Outer {
    pub(super) source: AddressKey,
    pub(super) destination: AddressKey,
    /// Why it is refused, if it is for this host.
    pub(super) defect: Option<DecapReason>,
    pub(super) traffic_class: u8,
    pub(super) is_gue: bool,
    /// What it carries: 4 or 41, if it is not GUE.
    protocol: u8,
    /// Offset of what follows the header without options.
    offset: usize,
    /// Where the IP packet ends.
    end: usize,
}

/// The inner packet's place.
pub(super) struct Payload {
    pub(super) is_v6: bool,
    /// Where it begins.
    pub(super) offset: usize,
    /// Where what carries it ends.
    pub(super) end: usize,
}

impl Outer {
    /// An error says why the packet is from no tunnel; what is wrong with one that is, is its
    /// [`Self::defect`].
    #[inline(always)]
    pub(super) fn parse<P: Packet>(
        packet: &P,
        carried: &Carried,
        gue_port: u32,
    ) -> Result<Self, DecapReason> {
        match carried.ethertype {
            ethernet::IPV4 => Self::parse_v4(packet, carried.offset, gue_port),
            ethernet::IPV6 => Self::parse_v6(packet, carried.offset, gue_port),
            _ => Err(DecapReason::NotIp),
        }
    }

    #[inline(always)]
    fn parse_v4<P: Packet>(packet: &P, at: usize, gue_port: u32) -> Result<Self, DecapReason> {
        let ip: Ipv4 = packet.read(at).ok_or(DecapReason::Truncated)?;
        let has_options = ip.header_length() > ipv4::MIN_HEADER_LENGTH;
        let offset = at + ipv4::MIN_HEADER_LENGTH;
        let is_gue = if ip.protocol == ipv4::UDP {
            // Later fragments have no ports, and behind options nobody looks for them.
            if ip.is_later_fragment() || has_options {
                return Err(DecapReason::NotTunnel);
            }
            is_to_port(packet, offset, gue_port)?
        } else {
            false
        };
        if !is_gue && !is_ip(ip.protocol) {
            return Err(DecapReason::NotTunnel);
        }
        let end = at + usize::from(ip.total_length.get());
        let defect = if ip.version() != 4 || ip.header_length() < ipv4::MIN_HEADER_LENGTH {
            Some(DecapReason::OuterMalformed)
        } else if has_options {
            Some(DecapReason::OuterOptions)
        } else if end < offset || !packet.is_at_least(end) || ip.computed_checksum().raw() != 0 {
            Some(DecapReason::OuterMalformed)
        } else if ip.is_fragment() {
            Some(DecapReason::OuterFragment)
        } else {
            None
        };
        Ok(Self {
            source: AddressKey::new(Address::v4(ip.source), false),
            destination: AddressKey::new(Address::v4(ip.destination), false),
            defect,
            traffic_class: ip.traffic_class,
            is_gue,
            protocol: ip.protocol,
            offset,
            end,
        })
    }

    /// Extension headers are looked behind by nobody: the load balancer writes none.
    #[inline(always)]
    fn parse_v6<P: Packet>(packet: &P, at: usize, gue_port: u32) -> Result<Self, DecapReason> {
        let ip: Ipv6 = packet.read(at).ok_or(DecapReason::Truncated)?;
        let offset = at + ipv6::HEADER_LENGTH;
        let is_gue = ip.next_header == ipv4::UDP && is_to_port(packet, offset, gue_port)?;
        let (is_fragment, protocol) = if ip.next_header == ipv6::FRAGMENT {
            (true, fragmented(packet, offset, gue_port)?)
        } else {
            (false, ip.next_header)
        };
        if !is_gue && !is_fragment && !is_ip(protocol) {
            return Err(DecapReason::NotTunnel);
        }
        let end = offset + usize::from(ip.payload_length.get());
        let defect = if ip.version() != 6 || !packet.is_at_least(end) {
            Some(DecapReason::OuterMalformed)
        } else if is_fragment {
            Some(DecapReason::OuterFragment)
        } else {
            None
        };
        Ok(Self {
            source: AddressKey::new(Address::v6(ip.source), true),
            destination: AddressKey::new(Address::v6(ip.destination), true),
            defect,
            traffic_class: ip.traffic_class(),
            is_gue,
            protocol,
            offset,
            end,
        })
    }

    /// Looks behind UDP and GUE, if they are there.
    #[inline(always)]
    pub(super) fn payload<P: Packet>(&self, packet: &P) -> Result<Payload, DecapReason> {
        if !self.is_gue {
            return Ok(Payload {
                is_v6: self.protocol == ipv6::IPV6,
                offset: self.offset,
                end: self.end,
            });
        }
        const HEADERS: usize = udp::HEADER_LENGTH + gue::HEADER_LENGTH;
        let udp: Udp = packet
            .read(self.offset)
            .ok_or(DecapReason::OuterMalformed)?;
        let length = usize::from(udp.length.get());
        if length < HEADERS || self.offset + length > self.end {
            return Err(DecapReason::OuterMalformed);
        }
        let gue: gue::Gue = packet
            .read(self.offset + udp::HEADER_LENGTH)
            .ok_or(DecapReason::OuterMalformed)?;
        if !gue.is_plain() || !is_ip(gue.protocol) {
            return Err(DecapReason::GueUnsupported);
        }
        Ok(Payload {
            is_v6: gue.protocol == ipv6::IPV6,
            offset: self.offset + HEADERS,
            end: self.offset + length,
        })
    }
}

/// Whether a protocol number is that of an IP packet.
#[inline(always)]
const fn is_ip(protocol: u8) -> bool {
    protocol == ipv4::IPV4 || protocol == ipv6::IPV6
}

/// Whether the datagram at `offset` is addressed to the port of GUE.
#[inline(always)]
fn is_to_port<P: Packet>(packet: &P, offset: usize, port: u32) -> Result<bool, DecapReason> {
    let udp: Udp = packet.read(offset).ok_or(DecapReason::Truncated)?;
    Ok(u32::from(udp.destination_port.get()) == port)
}

/// The protocol behind an IPv6 fragment header, if it is that of a tunnel.
#[inline(always)]
fn fragmented<P: Packet>(packet: &P, offset: usize, gue_port: u32) -> Result<u8, DecapReason> {
    let fragment: ipv6::Fragment = packet.read(offset).ok_or(DecapReason::Truncated)?;
    let is_gue = fragment.next_header == ipv4::UDP
        && !fragment.is_later()
        && is_to_port(packet, offset + ipv6::FRAGMENT_LENGTH, gue_port)?;
    if is_gue || is_ip(fragment.next_header) {
        Ok(fragment.next_header)
    } else {
        Err(DecapReason::NotTunnel)
    }
}
