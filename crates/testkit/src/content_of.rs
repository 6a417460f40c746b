//! Contents of the maps for an instance that is described for the model.

use std::net::{IpAddr, SocketAddr};

use abi::NO_INDEX;
use abi::backend::{self, Backend, Link};
use abi::control::{Settings, feature};
use abi::directory::{self, BucketV4, BucketV6};
use abi::family::Address;
use abi::flow::{FlowKey, FlowKeyV4, FlowKeyV6};
use abi::prefix::{PrefixKey, PrefixKeyV4, PrefixKeyV6};
use abi::quic::ServerKey;
use abi::service::{self, Ring};
use abi::slot;
use wire::ethernet::Addresses;
use wire::{Be16, Be32, ipv6};

use crate::content::{Content, Directory, stored};
use crate::model::{Affinity, Flow, FlowHash, Instance, Mode, Service, Slot};

/// Wide enough for any instance that tests describe.
const DIRECTORY_LOG2: u8 = 12;
/// More than any test uses up.
const UNLIMITED: u32 = u32::MAX;

/// What [`Instance::hash`] is for data planes with this seed.
#[must_use]
pub fn flow_hash(seed: u64) -> FlowHash {
    Box::new(
        move |flow, affinity| match (flow.source, flow.destination) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
                let addresses = (address_v4(*source.ip()), address_v4(*destination.ip()));
                hash::<FlowKeyV4>(flow, affinity, seed, addresses)
            }
            (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
                let address = |ip: std::net::Ipv6Addr| ipv6::Address::new(ip.octets());
                let addresses = (address(*source.ip()), address(*destination.ip()));
                hash::<FlowKeyV6>(flow, affinity, seed, addresses)
            }
            _ => unreachable!("a flow has one family"),
        },
    )
}

fn hash<K: FlowKey<Address: Address>>(
    flow: &Flow,
    affinity: Affinity,
    seed: u64,
    (source, destination): (K::Address, K::Address),
) -> u64 {
    let port = |end: SocketAddr| Be16::new(end.port());
    let (from, to) = (port(flow.source), port(flow.destination));
    match affinity {
        Affinity::None => K::new(source, destination, from, to, flow.protocol).hash(seed),
        Affinity::Source => source.mix(seed),
        Affinity::SourceDestination => destination.mix(source.mix(seed)),
    }
}

/// The contents of all maps.
#[must_use]
pub fn content_of(instance: &Instance, seed: u64) -> Content {
    let mut content = Content::new(settings(instance, seed));
    content.directory = Directory {
        buckets: vec![BucketV4::default(); 1 << DIRECTORY_LOG2],
        seed: 0,
        log2: DIRECTORY_LOG2,
    };
    content.directory_v6 = Directory {
        buckets: vec![BucketV6::default(); 1 << DIRECTORY_LOG2],
        seed: 0,
        log2: DIRECTORY_LOG2,
    };
    content.backends = instance.backends.iter().map(plain_backend).collect();
    for (index, service) in instance.services.iter().enumerate() {
        add_keys(&mut content, service, index as u32);
        add_backends(&mut content, instance, index);
        add_service(&mut content, service, index as u64);
    }
    content
}

fn settings(instance: &Instance, seed: u64) -> Settings {
    let mut features = 0;
    let mut set = |bit, wanted: bool| features |= if wanted { bit } else { 0 };
    let any = |wanted: fn(&Service) -> bool| instance.services.iter().any(wanted);
    set(feature::NAT, any(|s| s.mode == Mode::Nat));
    set(feature::DNAT, any(|s| s.mode == Mode::Dnat));
    set(feature::L2_DSR, any(|s| s.mode == Mode::L2Dsr));
    set(feature::IPIP, any(|s| s.mode == Mode::Ipip));
    set(feature::GUE, any(|s| s.mode == Mode::Gue));
    set(feature::IPV4, any(|s| s.address.is_ipv4()));
    set(feature::IPV6, any(|s| s.address.is_ipv6()));
    set(feature::PREFIX, any(|s| !s.is_one_address()));
    set(feature::QUIC, any(|s| s.quic.is_some()));
    set(feature::ECHO, any(|s| s.answers_echo));
    set(feature::REJECT, any(|s| s.rejects));
    set(feature::OUTER_ENTROPY, instance.outer_entropy);
    for service in instance.services.iter().filter(|s| is_tunnel(s.mode)) {
        for backend in &service.backends {
            let is_v6 = instance.backends[*backend].address.is_ipv6();
            set(feature::OUTER_V6, is_v6);
            set(feature::OUTER_V4, !is_v6);
        }
    }
    let ports = &instance.nat_ports;
    Settings {
        flow_seed: seed,
        report: 1,
        any_port: 1,
        first_port: u32::from(*ports.start()),
        port_count: u32::from(*ports.end() - *ports.start()) + 1,
        features,
        outer_ttl: u32::from(instance.outer_ttl),
        exceptions_per_window: UNLIMITED,
        icmp_errors_per_window: UNLIMITED,
        rejections_per_window: UNLIMITED,
        kept_ports: 0,
    }
}

const fn is_tunnel(mode: Mode) -> bool {
    matches!(mode, Mode::Ipip | Mode::Gue)
}

fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 1 } else { 58 }
}

fn address_v4(address: std::net::Ipv4Addr) -> Be32 {
    Be32::new(address.to_bits())
}

/// The keys that lead to a service.
fn add_keys(content: &mut Content, service: &Service, index: u32) {
    let Service {
        address, protocol, ..
    } = *service;
    let port = service.port.unwrap_or(0);
    if service.is_one_address() {
        let echo = match service.answers_echo {
            true => directory::ECHO,
            false => 0,
        };
        content.add_key((address, 0, protocol), directory::VIP, NO_INDEX);
        let icmp = icmp_of(address);
        content.add_key((address, 0, icmp), directory::VIP | echo, NO_INDEX);
        content.add_key((address, port, protocol), directory::SERVICE, index);
        return;
    }
    let (bits, port) = (u32::from(service.prefix), Be16::new(port));
    match address {
        IpAddr::V4(address) => {
            let key = PrefixKeyV4::new(address_v4(address), bits, port, protocol);
            content.prefixes_v4.push((key, index));
        }
        IpAddr::V6(address) => {
            let address = ipv6::Address::new(address.octets());
            let key = PrefixKeyV6::new(address, bits, port, protocol);
            content.prefixes_v6.push((key, index));
        }
    }
}

/// The keys that a service's backends answer by, and what the mode adds to their entries.
fn add_backends(content: &mut Content, instance: &Instance, index: usize) {
    let service = &instance.services[index];
    let protocol = service.protocol;
    for backend_index in &service.backends {
        let backend = &instance.backends[*backend_index];
        match service.mode {
            Mode::Nat => {
                for protocol in [protocol, icmp_of(backend.source)] {
                    let key = (backend.source, 0, protocol);
                    content.add_key(key, directory::NAT_SOURCE, NO_INDEX);
                }
            }
            Mode::Dnat => {
                let key = (backend.address, backend.port.unwrap_or(0), protocol);
                content.add_key(key, directory::DNAT_BACKEND, index as u32);
            }
            Mode::L2Dsr | Mode::Ipip | Mode::Gue => {}
        }
    }
}

fn plain_backend(described: &crate::model::Backend) -> Backend {
    let mut flags = 0;
    let mut set = |bit, wanted: bool| flags |= if wanted { bit } else { 0 };
    set(backend::RESOLVED, described.link.is_some());
    set(backend::ALIVE, described.is_alive);
    set(backend::TAKES_NEW, described.takes_new);
    set(backend::IPV6, described.address.is_ipv6());
    let link = described.link.map_or(Link::default(), |link| {
        Link::new(
            Addresses::new(link.destination, link.source),
            link.interface,
        )
    });
    Backend {
        address: stored(described.address),
        source: stored(described.source),
        link,
        port: Be16::new(described.port.unwrap_or(0)),
        mtu: described.mtu as u16,
        flags,
        ..Backend::default()
    }
}

/// A service's entry, its slots and its server ids.
fn add_service(content: &mut Content, described: &Service, index: u64) {
    let ring = match described.ring.len() {
        0 => Ring::NONE,
        length => Ring::new(content.slots.len() as u32, length.trailing_zeros() as u8),
    };
    content.slots.extend(described.ring.iter().map(plain_slot));
    let mut flags = match described.affinity {
        Affinity::None => 0,
        Affinity::Source => service::AFFINITY_SOURCE,
        Affinity::SourceDestination => service::AFFINITY_SOURCE_DESTINATION,
    };
    if described.is_tracked {
        flags |= service::TRACK_ALWAYS;
    }
    if described.rejects {
        flags |= service::REJECT;
    }
    let mut entry = service::Service {
        ring,
        mode: match described.mode {
            Mode::Nat => service::MODE_NAT,
            Mode::Dnat => service::MODE_DNAT,
            Mode::L2Dsr => service::MODE_L2_DSR,
            Mode::Ipip => service::MODE_IPIP,
            Mode::Gue => service::MODE_GUE,
        },
        flags,
        port: Be16::new(described.port.unwrap_or(0)),
        address: stored(described.address),
        ..service::Service::default()
    };
    if let Some(quic) = &described.quic {
        entry.flags |= service::QUIC;
        entry.quic_config = quic.config;
        entry.quic_server_id_length = quic.server_id_length as u8;
        for (id, backend) in &quic.servers {
            let mut word = [0; 8];
            word[..id.len()].copy_from_slice(id);
            let key = ServerKey {
                id: u64::from_le_bytes(word),
                service: index,
            };
            content.quic_servers.push((key, *backend as u32));
        }
    }
    content.services.push(entry);
}

fn plain_slot(slot: &Slot) -> slot::Slot {
    match *slot {
        Slot::Steady(current) => slot::Slot::steady(current as u32),
        Slot::Settling(current) => slot::Slot::settling(current as u32),
        Slot::Transition(current, previous) => {
            slot::Slot::transition(current as u32, previous as u32)
        }
    }
}
