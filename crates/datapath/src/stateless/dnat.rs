//! Mode `dnat`: the destination becomes the backend, port too; answers come back through the
//! instance and get the service's address as source again. Nothing is remembered.

use abi::NO_INDEX;
use abi::backend::{Backend, Link};
use abi::family::{Address as _, Family};
use abi::flow::FlowKey as _;
use abi::reason::Reason;
use abi::service::Service;
use wire::Be16;
use wire::checksum::{self, Delta};
use wire::{tcp, udp};

use crate::packet::{RouteQuery, Way};
use crate::parse::Header;
use crate::verdict::Findings;
use crate::{Packet, Parsed, Tables, Transport};

/// The addresses and ports that a packet gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Becomes<F: Family> {
    pub(crate) source: F::Address,
    pub(crate) destination: F::Address,
    pub(crate) ports: udp::Ports,
}

impl<F: Family> Becomes<F> {
    /// Another destination.
    #[inline(always)]
    pub(super) fn destination(parsed: &Parsed<F>, address: F::Address, port: Be16) -> Self {
        Self {
            source: parsed.key.source(),
            destination: address,
            ports: udp::Ports {
                source: parsed.key.source_port(),
                destination: port,
            },
        }
    }

    /// Another source.
    #[inline(always)]
    fn source(parsed: &Parsed<F>, address: F::Address, port: Be16) -> Self {
        Self {
            source: address,
            destination: parsed.key.destination(),
            ports: udp::Ports {
                source: port,
                destination: parsed.key.destination_port(),
            },
        }
    }
}

/// Address and port of the backend, for a client that asked for `port`.
#[inline(always)]
pub(crate) fn mapped_address<F: Family>(backend: &Backend, port: Be16) -> (F::Address, Be16) {
    let mapped = if backend.port.raw() == 0 {
        port
    } else {
        backend.port
    };
    (F::Address::from_stored(&backend.address), mapped)
}

/// Writes addresses, ports and checksums, one hop further, and addresses the frame to `link`.
#[inline(always)]
pub(crate) fn rewrite<F: Header, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    becomes: &Becomes<F>,
    link: &Link,
) -> Option<()> {
    let key = &parsed.key;
    let delta = F::Address::delta(Delta::NONE, key.source(), becomes.source);
    let delta = F::Address::delta(delta, key.destination(), becomes.destination);
    packet.refresh();
    packet.write(0, &link.addresses())?;
    F::write_route(packet, parsed, (becomes.source, becomes.destination), delta)?;
    let delta = delta
        .word(key.source_port(), becomes.ports.source)
        .word(key.destination_port(), becomes.ports.destination);
    transport(packet, parsed, becomes.ports, delta)
}

/// Writes ports and the transport's checksum.
#[inline(always)]
pub(crate) fn transport<F: Family, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    ports: udp::Ports,
    delta: Delta,
) -> Option<()> {
    let offset = parsed.transport_offset;
    let checksum = parsed.segment.checksum;
    match parsed.segment.transport {
        Transport::Tcp => {
            packet.write(offset, &ports)?;
            packet.write(
                offset + tcp::CHECKSUM_OFFSET,
                &checksum::update(checksum, delta),
            )
        }
        Transport::Udp => {
            packet.write(offset, &ports)?;
            packet.write(
                offset + udp::CHECKSUM_OFFSET,
                &checksum::update_udp(checksum, delta),
            )
        }
        Transport::Icmp | Transport::LaterFragment => Some(()),
    }
}

/// An answer: its source becomes the service's address, and the host's routes say where it goes.
/// One to the host itself is of a connection of its own, as health checks have, and stays as it is.
#[inline(always)]
pub(crate) fn reply<F: Header, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    index: u32,
    found: &mut Findings,
) -> Reason {
    let Some(service) = tables.service(index) else {
        return Reason::Inconsistent;
    };
    let (address, port) = service_address::<F>(service, parsed.key.source_port());
    let becomes = Becomes::source(parsed, address, port);
    let way = packet.route::<F>(&RouteQuery {
        source: address,
        destination: parsed.key.destination(),
        length: parsed.ip.length,
        protocol: parsed.key.protocol(),
        traffic_class: parsed.ip.traffic_class as u8,
    });
    let link = match way {
        Way::Nowhere => {
            found.service = NO_INDEX;
            return Reason::NotForService;
        }
        _ if parsed.ip.ttl <= 1 => return Reason::TtlExceeded,
        Way::Link(link) => link,
        Way::TooBig(mtu) => return found.too_big(mtu),
        Way::Host => return by_host(packet, parsed, &becomes),
    };
    if rewrite(packet, parsed, &becomes, &link).is_none() {
        return Reason::Inconsistent;
    }
    found.interface = link.interface();
    Reason::Replied
}

/// The service's address and port, for an answer from a backend's `port`.
#[inline(always)]
pub(crate) fn service_address<F: Family>(service: &Service, port: Be16) -> (F::Address, Be16) {
    let port = if service.port.raw() == 0 {
        port
    } else {
        service.port
    };
    (F::Address::from_stored(&service.address), port)
}

/// Leaves the way, and the hop, to the host's stack: everything but the addresses stays.
#[inline(always)]
fn by_host<F: Header, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    becomes: &Becomes<F>,
) -> Reason {
    let (parsed, link) = to_host(parsed);
    match rewrite(packet, &parsed, becomes, &link) {
        Some(()) => Reason::RepliedByHost,
        None => Reason::Inconsistent,
    }
}

/// What to write for the host's stack to see: one hop more than the packet came with, because
/// writing the route takes one and the stack another, and the frame's own addresses.
#[inline(always)]
pub(crate) fn to_host<F: Family>(parsed: &Parsed<F>) -> (Parsed<F>, Link) {
    let mut more = *parsed;
    more.ip.ttl += 1;
    let hop = Delta::NONE.word(Be16::new(0), Be16::new(0x0100));
    more.ip.checksum = checksum::update(parsed.ip.checksum, hop);
    (more, Link::new(parsed.ethernet, 0))
}
