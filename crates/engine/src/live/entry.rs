//! Services and backends as entries of maps.

use std::net::IpAddr;

use abi::backend::{self, Link};
use abi::service::{self, Ring};
use wire::ethernet::Addresses;
use wire::{Be16, ipv4};

use super::keys::protocol_number;
use crate::desired::{
    Affinity, Backend, BackendState, Desired, ForwardingMode, NextHop, NoBackend, Prefix, Protocol,
    Quic, QuicServerId, Service, ServiceId, ServicePort, Track,
};
use crate::directory::{address, ip_address};

/// A service with its ring.
pub(crate) fn service(service: &Service, ring: Ring) -> service::Service {
    let affinity = match service.affinity {
        Affinity::None => 0,
        Affinity::SourceAddress => service::AFFINITY_SOURCE,
        Affinity::SourceAndDestination => service::AFFINITY_SOURCE_DESTINATION,
    };
    let track = match service.track {
        Track::Always => service::TRACK_ALWAYS,
        Track::Auto | Track::Never => 0,
    };
    let reject = match service.no_backend {
        NoBackend::Reject => service::REJECT,
        NoBackend::Drop => 0,
    };
    let port = match service.id.port {
        ServicePort::Exact(port) => port,
        ServicePort::Any => 0,
    };
    let prefix = service.id.address;
    let family = if prefix.is_ipv6() { service::IPV6 } else { 0 };
    service::Service {
        ring,
        mode: mode(service.mode),
        flags: affinity | track | reject | family | service.quic.map_or(0, |_| service::QUIC),
        port: Be16::new(port),
        quic_server_id_length: service.quic.map_or(0, |quic| quic.server_id_length),
        quic_config: service.quic.map_or(0, |quic| quic.config),
        protocol: protocol_number(service.id.protocol),
        prefix_length: prefix.length(),
        address: address(prefix.address()),
    }
}

fn mode(mode: ForwardingMode) -> u8 {
    match mode {
        ForwardingMode::Nat => service::MODE_NAT,
        ForwardingMode::Dnat => service::MODE_DNAT,
        ForwardingMode::L2Dsr => service::MODE_L2_DSR,
        ForwardingMode::Ipip => service::MODE_IPIP,
        ForwardingMode::Gue => service::MODE_GUE,
    }
}

/// A backend that lives, with its next hop, or without one and marked so.
pub(crate) fn backend(
    desired: &Desired,
    service: &Service,
    backend: &Backend,
    next_hop: Option<NextHop>,
) -> backend::Backend {
    let port = match service.mode {
        ForwardingMode::Gue => backend.gue_port,
        _ => service.backend_port(backend).unwrap_or(0),
    };
    let mut entry = backend::Backend {
        address: address(backend.address),
        port: Be16::new(port),
        flags: backend::ALIVE,
        ..backend::Backend::default()
    };
    if backend.address.is_ipv6() {
        entry.flags |= backend::IPV6;
    }
    if takes_new(backend) {
        entry.flags |= backend::TAKES_NEW;
    }
    let Some(hop) = next_hop else {
        return entry;
    };
    let configured = desired.source(service.mode, backend.address);
    let source = configured.unwrap_or(hop.source_address);
    entry.source = address(source);
    entry.link = Link::new(
        Addresses::new(hop.destination_mac.0, hop.source_mac.0),
        hop.interface_index,
    );
    entry.mtu = u16::try_from(hop.mtu).unwrap_or(u16::MAX);
    entry.flags |= backend::RESOLVED;
    entry
}

/// The service that an entry is of, without backends; `None` if there is none. What only user space
/// knows of a service has its defaults.
pub(crate) fn read_service(entry: &service::Service) -> Option<Service> {
    let protocol = match entry.protocol {
        ipv4::TCP => Protocol::Tcp,
        ipv4::UDP => Protocol::Udp,
        _ => return None,
    };
    let address = ip_address(&entry.address, entry.flags & service::IPV6 != 0);
    let id = ServiceId {
        protocol,
        address: Prefix::around(address, entry.prefix_length)?,
        port: match entry.port.get() {
            0 => ServicePort::Any,
            port => ServicePort::Exact(port),
        },
    };
    let has = |flag| entry.flags & flag != 0;
    Some(Service {
        mode: ForwardingMode::ALL
            .into_iter()
            .map(|(_, each)| each)
            .find(|each| mode(*each) == entry.mode)?,
        affinity: match () {
            () if has(service::AFFINITY_SOURCE) => Affinity::SourceAddress,
            () if has(service::AFFINITY_SOURCE_DESTINATION) => Affinity::SourceAndDestination,
            () => Affinity::None,
        },
        track: match has(service::TRACK_ALWAYS) {
            true => Track::Always,
            false => Track::Auto,
        },
        no_backend: match has(service::REJECT) {
            true => NoBackend::Reject,
            false => NoBackend::Drop,
        },
        quic: has(service::QUIC).then_some(Quic {
            server_id_length: entry.quic_server_id_length,
            config: entry.quic_config,
        }),
        ..Service::new(id, Vec::new())
    })
}

/// What a backend's own service is called once it is gone.
pub(crate) fn no_service() -> Service {
    let id = ServiceId {
        protocol: Protocol::Tcp,
        address: Prefix::from(IpAddr::from([0, 0, 0, 0])),
        port: ServicePort::Any,
    };
    Service::new(id, Vec::new())
}

/// The backend that an entry is of. Its weight is not in it.
pub(crate) fn read_backend(entry: &backend::Backend, service: &Service) -> Backend {
    let port = entry.port.get();
    let mut backend = Backend::new(ip_address(&entry.address, entry.flags & backend::IPV6 != 0));
    if service.mode == ForwardingMode::Gue {
        backend.gue_port = port;
    } else if service.mode.rewrites_destination() {
        backend.port = (port != 0).then_some(port);
    }
    if entry.flags & backend::TAKES_NEW == 0 {
        backend.state = BackendState::Drain;
    }
    backend
}

/// The source of packets to a backend whose next hop is known.
pub(crate) fn read_source(entry: &backend::Backend) -> Option<IpAddr> {
    let is_v6 = entry.flags & backend::IPV6 != 0;
    (entry.flags & backend::RESOLVED != 0).then(|| ip_address(&entry.source, is_v6))
}

/// The server id of a key.
pub(crate) fn read_server_id(id: u64, length: u8) -> Option<QuicServerId> {
    QuicServerId::new(id.to_le_bytes().get(..length.into())?)
}

/// Whether a backend owns slots.
pub(crate) fn takes_new(backend: &Backend) -> bool {
    backend.state == BackendState::Up && backend.weight > 0
}
