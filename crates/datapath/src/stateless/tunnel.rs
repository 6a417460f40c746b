//! Modes `ipip` (RFC 2003, RFC 2473, RFC 4213) and `gue`: an outer header in front of the packet,
//! which itself stays as it is.

use abi::backend::{Backend, IPV6};
use abi::control::{Settings, feature};
use abi::reason::Reason;
use abi::service::{MODE_GUE, MODE_IPIP};
use wire::ipv4::{self, Ipv4};
use wire::ipv6::{self, Ipv6};
use wire::udp::{self, Udp};
use wire::{Be16, Be32, ethernet, gue};

use crate::parse::Header;
use crate::{Packet, Parsed, link};

/// First of the dynamic ports (RFC 6335), which GUE's source port is one of.
const FIRST_DYNAMIC_PORT: u16 = 0xc000;
/// UDP and GUE headers in bytes.
const GUE_OVERHEAD: usize = udp::HEADER_LENGTH + gue::HEADER_LENGTH;

/// What a mode adds to a packet, in bytes.
#[inline(always)]
pub(crate) fn overhead(features: u32, mode: u8, backend: &Backend) -> u32 {
    if features & (feature::IPIP | feature::GUE) == 0 || mode != MODE_IPIP && mode != MODE_GUE {
        return 0;
    }
    let outer = if is_v6(features, backend) {
        ipv6::HEADER_LENGTH
    } else {
        ipv4::MIN_HEADER_LENGTH
    };
    let inner = if mode == MODE_GUE { GUE_OVERHEAD } else { 0 };
    (outer + inner) as u32
}

/// Whether the outer header is IPv6. What the settings rule out is not looked at.
#[inline(always)]
fn is_v6(features: u32, backend: &Backend) -> bool {
    if features & feature::OUTER_V6 == 0 {
        return false;
    }
    features & feature::OUTER_V4 == 0 || backend.flags & IPV6 != 0
}

/// Puts an outer header in front of the packet and addresses the frame to the backend's next hop.
#[inline(always)]
pub(crate) fn encapsulate<F: Header, P: Packet>(
    packet: &mut P,
    settings: &Settings,
    parsed: &Parsed<F>,
    backend: &Backend,
    is_gue: bool,
    hash: u64,
) -> Result<(), Reason> {
    let extra = if is_gue { GUE_OVERHEAD } else { 0 };
    let length = parsed.ip.length as u16 + extra as u16;
    let outer = Outer {
        protocol: match (is_gue, F::IS_V6) {
            (true, _) => ipv4::UDP,
            (false, false) => ipv4::IPV4,
            (false, true) => ipv6::IPV6,
        },
        ttl: settings.outer_ttl as u8,
        traffic_class: parsed.ip.traffic_class as u8,
        // The slot takes the top bits: the low ones say nothing about the backend.
        entropy: if settings.features & feature::OUTER_ENTROPY != 0 {
            hash as u32
        } else {
            0
        },
    };
    let tags = link::tags(packet, parsed.ip_offset).ok_or(Reason::Inconsistent)?;
    let at = parsed.ip_offset;
    if is_v6(settings.features, backend) {
        frame(
            packet,
            backend,
            tags,
            at,
            (ipv6::HEADER_LENGTH + extra, ethernet::IPV6),
        )?;
        outer.write_v6(packet, backend, at, length)?;
        udp(
            packet,
            F::IS_V6,
            backend,
            is_gue,
            at + ipv6::HEADER_LENGTH,
            (length, hash),
        )
    } else {
        frame(
            packet,
            backend,
            tags,
            at,
            (ipv4::MIN_HEADER_LENGTH + extra, ethernet::IPV4),
        )?;
        outer.write_v4(packet, backend, at, length)?;
        udp(
            packet,
            F::IS_V6,
            backend,
            is_gue,
            at + ipv4::MIN_HEADER_LENGTH,
            (length, hash),
        )
    }
}

/// Makes room for `growth` bytes and writes the Ethernet header in front of them.
#[inline(always)]
fn frame<P: Packet>(
    packet: &mut P,
    backend: &Backend,
    tags: (u32, u32),
    ip_offset: usize,
    (growth, ethertype): (usize, Be16),
) -> Result<(), Reason> {
    packet.grow_front(growth).ok_or(Reason::NoHeadroom)?;
    let addresses = backend.link.addresses();
    link::write(packet, &addresses, tags, ethertype, ip_offset).ok_or(Reason::Inconsistent)
}

/// What an outer header has besides addresses and length.
struct Outer {
    protocol: u8,
    ttl: u8,
    traffic_class: u8,
    /// For the lowest bits of the source address: 16 of IPv4's, 32 of IPv6's.
    entropy: u32,
}

impl Outer {
    /// `length`: bytes behind the header.
    #[inline(always)]
    fn write_v4<P: Packet>(
        &self,
        packet: &mut P,
        backend: &Backend,
        offset: usize,
        length: u16,
    ) -> Result<(), Reason> {
        let total_length = Be16::new(length + ipv4::MIN_HEADER_LENGTH as u16);
        let source = backend.source.as_v4();
        let varied = if self.entropy == 0 {
            source
        } else {
            let bits = Be32::new(self.entropy & 0xffff);
            Be32::from_raw(source.raw() & Be32::new(0xffff_0000).raw() | bits.raw())
        };
        let header = Ipv4 {
            version_ihl: 0x45,
            traffic_class: self.traffic_class,
            total_length,
            identification: Be16::new(0),
            flags_fragment: ipv4::DONT_FRAGMENT,
            ttl: self.ttl,
            protocol: self.protocol,
            checksum: Be16::new(0),
            source: varied,
            destination: backend.address.as_v4(),
        };
        let header = Ipv4 {
            checksum: header.computed_checksum(),
            ..header
        };
        packet.write(offset, &header).ok_or(Reason::Inconsistent)
    }

    /// `length`: bytes behind the header.
    #[inline(always)]
    fn write_v6<P: Packet>(
        &self,
        packet: &mut P,
        backend: &Backend,
        offset: usize,
        length: u16,
    ) -> Result<(), Reason> {
        let (first, second) = backend.source.as_v6().raw();
        let varied = if self.entropy == 0 {
            second
        } else {
            second & 0xffff_ffff | u64::from(Be32::new(self.entropy).raw()) << 32
        };
        let header = Ipv6 {
            version_class_flow: Be32::new(6 << 28 | u32::from(self.traffic_class) << 20),
            payload_length: Be16::new(length),
            next_header: self.protocol,
            hop_limit: self.ttl,
            source: ipv6::Address::from_raw(first, varied),
            destination: backend.address.as_v6(),
        };
        packet.write(offset, &header).ok_or(Reason::Inconsistent)
    }
}

/// UDP and GUE in front of the inner packet. No UDP checksum: the inner packet has its own
/// (RFC 6935 allows that over IPv6, too).
#[inline(always)]
fn udp<P: Packet>(
    packet: &mut P,
    inner_is_v6: bool,
    backend: &Backend,
    is_gue: bool,
    offset: usize,
    (length, hash): (u16, u64),
) -> Result<(), Reason> {
    if !is_gue {
        return Ok(());
    }
    let udp = Udp {
        source_port: Be16::new(FIRST_DYNAMIC_PORT | hash as u16 & !FIRST_DYNAMIC_PORT),
        destination_port: backend.port,
        length: Be16::new(length),
        checksum: Be16::new(0),
    };
    packet.write(offset, &udp).ok_or(Reason::Inconsistent)?;
    let protocol = if inner_is_v6 { ipv6::IPV6 } else { ipv4::IPV4 };
    packet
        .write(offset + udp::HEADER_LENGTH, &gue::Gue::data(protocol))
        .ok_or(Reason::Inconsistent)
}
