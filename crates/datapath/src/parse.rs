//! Ethernet, up to two VLAN tags, IPv4 with options, TCP and UDP.

use abi::flow::FlowKeyV4;
use abi::reason::Reason;
use wire::ethernet::{self, VlanTag};
use wire::ipv4::{self, Ipv4};
use wire::tcp::{self, Tcp};
use wire::udp::{self, Udp};
use wire::{Be16, Be32};

use crate::Packet;

/// What follows the IPv4 header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    #[default]
    /// A fragment other than the first: no header, and ports of 0 in the key.
    LaterFragment,
}

/// The transport header, as far as a load balancer cares. Flat, with zeros for what UDP lacks, and
/// made of aligned words: the compiler clears and copies it in blocks, which may overlap when
/// lengths are odd, and the kernel refuses misaligned access to its stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Which header this was.
    pub transport: Transport,
    /// TCP: [`tcp::SYN`], ...
    pub flags: u16,
    /// TCP: sequence number.
    pub sequence: Be32,
    /// TCP: acknowledgment number.
    pub acknowledgment: Be32,
    /// Checksum as received; UDP: 0 for none.
    pub checksum: Be16,
}

impl Segment {
    /// Whether this asks for a new TCP connection: SYN, and nothing that contradicts it.
    #[inline(always)]
    #[must_use]
    pub const fn is_opening(&self) -> bool {
        self.flags & (tcp::SYN | tcp::ACK | tcp::RST | tcp::FIN) == tcp::SYN
    }
}

/// What a packet is, and where its headers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Its 5-tuple.
    pub key: FlowKeyV4,
    /// Its Ethernet addresses.
    pub ethernet: ethernet::Addresses,
    /// Its IPv4 header without options.
    pub ipv4: Ipv4,
    /// Its transport header.
    pub segment: Segment,
    /// Offset of the IPv4 header in bytes.
    pub ip_offset: usize,
    /// Offset of the transport header in bytes.
    pub transport_offset: usize,
}

/// Reads the headers into `parsed`, or says why the packet is none of ours.
///
/// Not `Result<Parsed, Reason>`: that would be moved through the kernel's stack as a block.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P, parsed: &mut Parsed) -> Result<(), Reason> {
    parsed.ethernet = packet.read(0).ok_or(Reason::Truncated)?;
    let ethertype = packet
        .read(ethernet::ETHERTYPE_OFFSET)
        .ok_or(Reason::Truncated)?;
    let ip_offset = skip_tags(packet, ethertype)?;
    let ipv4: Ipv4 = packet.read(ip_offset).ok_or(Reason::Truncated)?;
    let header_length = ipv4.header_length();
    let total_length = ipv4.total_length.get() as usize;
    if ipv4.version() != 4
        || header_length < ipv4::MIN_HEADER_LENGTH
        || total_length < header_length
    {
        return Err(Reason::BadIpv4Header);
    }
    if !packet.is_at_least(ip_offset + total_length) {
        return Err(Reason::Truncated);
    }
    let transport_offset = ip_offset + header_length;
    let payload_length = total_length - header_length;
    let ports = parse_segment(
        packet,
        &ipv4,
        transport_offset,
        payload_length,
        &mut parsed.segment,
    )?;
    parsed.key = FlowKeyV4::new(
        ipv4.source,
        ipv4.destination,
        ports.source,
        ports.destination,
        ipv4.protocol,
    );
    parsed.ipv4 = ipv4;
    parsed.ip_offset = ip_offset;
    parsed.transport_offset = transport_offset;
    Ok(())
}

/// The offset of the IPv4 header behind at most two tags.
#[inline(always)]
fn skip_tags<P: Packet>(packet: &P, ethertype: Be16) -> Result<usize, Reason> {
    if ethertype == ethernet::IPV4 {
        return Ok(ethernet::HEADER_LENGTH);
    }
    let mut ethertype = ethertype;
    let mut offset = ethernet::HEADER_LENGTH;
    for _ in 0..ethernet::MAX_TAGS {
        if !ethernet::is_tag(ethertype) {
            return Err(Reason::NotIpv4);
        }
        let tag: VlanTag = packet.read(offset).ok_or(Reason::Truncated)?;
        ethertype = tag.ethertype;
        offset += ethernet::TAG_LENGTH;
        if ethertype == ethernet::IPV4 {
            return Ok(offset);
        }
    }
    Err(if ethernet::is_tag(ethertype) {
        Reason::TooManyTags
    } else {
        Reason::NotIpv4
    })
}

/// Ports and transport header at `offset`, which must lie inside the IP packet: bytes behind it
/// are Ethernet padding.
#[inline(always)]
fn parse_segment<P: Packet>(
    packet: &P,
    ipv4: &Ipv4,
    offset: usize,
    payload_length: usize,
    segment: &mut Segment,
) -> Result<udp::Ports, Reason> {
    let is_tcp = ipv4.protocol == ipv4::TCP;
    if !is_tcp && ipv4.protocol != ipv4::UDP {
        return Err(Reason::OtherProtocol);
    }
    if ipv4.is_later_fragment() {
        return Ok(udp::Ports::default());
    }
    let least = if is_tcp {
        tcp::MIN_HEADER_LENGTH
    } else {
        udp::HEADER_LENGTH
    };
    if payload_length < least {
        return Err(Reason::Truncated);
    }
    if is_tcp {
        let header: Tcp = packet.read(offset).ok_or(Reason::Truncated)?;
        segment.transport = Transport::Tcp;
        segment.flags = u16::from(header.flags);
        segment.sequence = header.sequence;
        segment.acknowledgment = header.acknowledgment;
        segment.checksum = header.checksum;
    } else {
        let header: Udp = packet.read(offset).ok_or(Reason::Truncated)?;
        segment.transport = Transport::Udp;
        segment.checksum = header.checksum;
    }
    packet.read(offset).ok_or(Reason::Truncated)
}
