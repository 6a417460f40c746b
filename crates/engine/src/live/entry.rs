//! Services and backends as entries of maps.

use std::net::IpAddr;

use abi::backend::{self, Address, Link};
use abi::service::{self, Ring};
use wire::checksum::Delta;
use wire::ethernet::Addresses;
use wire::{Be16, Be32, ipv4, ipv6};

use crate::desired::{
    Affinity, Backend, BackendState, Desired, ForwardingMode, NextHop, NoBackend, Service,
    ServicePort, Track,
};
use crate::directory::address;

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
    let vip = service.id.address.single();
    service::Service {
        ring,
        mode: mode(service.mode),
        flags: affinity | track | reject | service.quic.map_or(0, |_| service::QUIC),
        port: Be16::new(port),
        quic_server_id_length: service.quic.map_or(0, |quic| quic.server_id_length),
        quic_config: service.quic.map_or(0, |quic| quic.config),
        reserved: 0,
        address: vip.map_or(Address::default(), address),
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
    if let (true, IpAddr::V4(_)) = (service.mode.encapsulates(), backend.address) {
        entry.outer_sum = outer_sum(service, desired.tunnel.ttl, &entry);
    }
    entry
}

/// Whether a backend owns slots.
pub(crate) fn takes_new(backend: &Backend) -> bool {
    backend.state == BackendState::Up && backend.weight > 0
}

/// The words of an outer IPv4 header that every packet has in common.
fn outer_sum(service: &Service, ttl: u8, entry: &backend::Backend) -> u16 {
    let protocol = match (service.mode, service.id.address.is_ipv6()) {
        (ForwardingMode::Gue, _) => ipv4::UDP,
        (_, false) => ipv4::IPV4,
        (_, true) => ipv6::IPV6,
    };
    // In place of all ones, which is 0 in one's complement.
    let nothing = Be16::from_raw(0xffff);
    let no_address = Be32::from_raw(0xffff_ffff);
    Delta::NONE
        .word(nothing, Be16::new(0x4500))
        .word(nothing, ipv4::DONT_FRAGMENT)
        .word(
            nothing,
            Be16::new(u16::from(ttl) << 8 | u16::from(protocol)),
        )
        .double_word(no_address, entry.source.as_v4())
        .double_word(no_address, entry.address.as_v4())
        .fold()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Mac, Prefix, Protocol, ServiceId};

    #[test]
    fn the_outer_sum_is_what_a_checksum_over_the_header_leaves_open() {
        let id = ServiceId {
            protocol: Protocol::Tcp,
            address: Prefix::from([192, 0, 2, 1]),
            port: ServicePort::Exact(80),
        };
        let mut one = Service::new(id, vec![Backend::new([10, 0, 0, 2])]);
        one.mode = ForwardingMode::Ipip;
        let hop = NextHop {
            interface_index: 1,
            source_mac: Mac([2; 6]),
            destination_mac: Mac([4; 6]),
            source_address: [10, 0, 0, 1].into(),
            mtu: 1500,
        };
        let desired = Desired::default();
        let entry = backend(&desired, &one, &one.backends[0], Some(hop));
        // RFC 791: version and length, class, total length, id, DF, TTL 64, protocol 4, checksum,
        // source, destination; in one's complement, so summed bytes first to last.
        let header: [u16; 10] = [0x4500, 0, 0, 0, 0x4000, 0x4004, 0, 0x0a00, 0x0001, 0x0a00];
        let sum: u32 = header.iter().map(|word| u32::from(*word)).sum::<u32>() + 2;
        let folded = (sum & 0xffff) + (sum >> 16);
        assert_eq!(u32::from(u16::from_be(entry.outer_sum)), folded);
    }
}
