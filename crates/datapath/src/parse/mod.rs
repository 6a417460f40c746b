//! IPv4 with options or IPv6 with extension headers, TCP, UDP and ICMP.

mod transport;
mod v4;
mod v6;

use abi::family::Family;
use abi::flow::FlowKey as _;
use abi::reason::Reason;
use wire::ethernet;
use wire::{Be16, Be32, tcp, udp};

use crate::Packet;

/// What follows the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP of the packet's family; the key has no ports.
    Icmp,
    #[default]
    /// A fragment other than the first: no header, and ports of 0 in the key until they are found.
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

    /// Whether its sender has no more to say on this TCP connection: FIN or RST.
    #[inline(always)]
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.flags & (tcp::RST | tcp::FIN) != 0
    }
}

/// The IP header, as far as a load balancer cares: whole words, for the same reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ip {
    /// Header and payload in bytes.
    pub length: u32,
    /// Hops left.
    pub ttl: u32,
    /// Differentiated services and ECN.
    pub traffic_class: u32,
    /// IPv4: the header's checksum.
    pub checksum: Be16,
    /// Not 0: a fragment, the first or a later one.
    pub is_fragment: u32,
    /// Fragments: identifies the fragments of one packet.
    pub identification: u32,
}

/// What a packet is, and where its headers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed<F: Family> {
    /// Its 5-tuple.
    pub key: F::FlowKey,
    /// Its Ethernet addresses.
    pub ethernet: ethernet::Addresses,
    /// Its IP header.
    pub ip: Ip,
    /// Its transport header.
    pub segment: Segment,
    /// Offset of the IP header in bytes.
    pub ip_offset: usize,
    /// Offset of the transport header in bytes.
    pub transport_offset: usize,
}

/// What differs between the families' headers.
pub trait Header: Family {
    /// Ethertype of the family.
    const ETHERTYPE: Be16;
    /// Length of the header without options or extensions, in bytes.
    const LENGTH: usize;

    /// Offset of the source address in the header; the destination follows.
    const ADDRESSES_OFFSET: usize;

    /// The header at `offset`, options or extensions included. `zero`: [`crate::Tables::zero`].
    fn parse<P: Packet>(
        packet: &P,
        offset: usize,
        zero: impl Fn() -> usize,
    ) -> Result<HeaderFacts<Self>, Reason>;

    /// The header of a packet that an ICMP error quotes: the same, but the packet may be cut
    /// anywhere behind the header.
    fn parse_quoted<P: Packet>(
        packet: &P,
        offset: usize,
        zero: impl Fn() -> usize,
    ) -> Result<HeaderFacts<Self>, Reason>;

    /// Writes addresses and one hop less. `delta`: what the addresses do to a checksum.
    fn write_route<P: Packet>(
        packet: &mut P,
        parsed: &Parsed<Self>,
        addresses: (Self::Address, Self::Address),
        delta: wire::checksum::Delta,
    ) -> Option<()>;
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFacts<F: Family> {
    /// Sender.
    pub source: F::Address,
    /// Receiver.
    pub destination: F::Address,
    /// What the packet carries.
    pub protocol: u8,
    /// Whether this is a fragment other than the first.
    pub is_later_fragment: bool,
    /// Offset of the transport header in bytes.
    pub transport_offset: usize,
    /// Bytes from there to the end of the IP packet.
    pub transport_length: usize,
    /// See there.
    pub ip: Ip,
}

/// Makes one value of several for the kernel's verifier, which would follow each of them through
/// the rest of the program: `offset`, known to be `limit` at most.
#[inline(always)]
pub(crate) fn blur(offset: usize, zero: usize, limit: usize) -> Result<usize, Reason> {
    let offset = offset.wrapping_add(zero);
    if offset > limit {
        return Err(Reason::Inconsistent);
    }
    Ok(offset)
}

/// Reads the headers from `ip_offset` on into a [`Parsed`], or says why the packet is none of
/// ours. `zero`: [`crate::Tables::zero`], asked for where it is needed.
#[inline(always)]
pub fn parse<F: Header, P: Packet>(
    packet: &P,
    ip_offset: usize,
    zero: impl Fn() -> usize,
) -> Result<Parsed<F>, Reason> {
    let ethernet = packet.read(0).ok_or(Reason::Truncated)?;
    let header = F::parse(packet, ip_offset, zero)?;
    let mut segment = Segment::default();
    let ports = if header.is_later_fragment {
        transport::check_protocol::<F>(header.protocol)?;
        udp::Ports::default()
    } else {
        transport::parse::<F, P>(packet, &header, &mut segment)?
    };
    Ok(Parsed {
        key: F::FlowKey::new(
            header.source,
            header.destination,
            ports.source,
            ports.destination,
            header.protocol,
        ),
        ethernet,
        ip: header.ip,
        segment,
        ip_offset,
        transport_offset: header.transport_offset,
    })
}
