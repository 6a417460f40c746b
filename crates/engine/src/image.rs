//! Desired state as map contents. Pure: the same input gives the same bytes on every machine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use abi::NO_INDEX;
use abi::backend::{self, Address, Link};
use abi::control::{Settings, feature};
use abi::directory::{self, EntryV4, Target};
use abi::limits::{MAX_BACKENDS, MAX_SERVICES, MAX_SLOTS};
use abi::service::{self, Ring};
use abi::slot::Slot;
use ring::{Length, Member};
use wire::ethernet::Addresses;
use wire::{Be16, Be32};

use crate::EngineError;
use crate::desired::{
    Affinity, Backend, Desired, ForwardingMode, NextHop, Protocol, Service, ServicePort,
};
use crate::directory::{Directory, KeyOrder};

/// Contents of all maps but the flows and counters.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The service directory.
    pub directory: Directory,
    /// By service index: the order of [`Desired::services`].
    pub services: Vec<service::Service>,
    /// By backend index: the services' backends one after the other.
    pub backends: Vec<backend::Backend>,
    /// All rings, one after the other.
    pub slots: Vec<Slot>,
}

/// The index of each service's first backend, with the total at the end.
#[must_use]
pub fn first_backends(services: &[Service]) -> Vec<u32> {
    let mut next = 0;
    let mut first = vec![0];
    for service in services {
        next += service.backends.len() as u32;
        first.push(next);
    }
    first
}

/// What goes to `.rodata`.
#[must_use]
pub fn settings(desired: &Desired, report: bool) -> Settings {
    Settings {
        flow_seed: desired.seed,
        report: u32::from(report),
        any_port: u32::from(desired.services.iter().any(|service| {
            service.mode == ForwardingMode::Nat || service.id.port == ServicePort::Any
        })),
        first_port: u32::from(desired.nat.first_port),
        port_count: u32::from(desired.nat.last_port)
            .saturating_sub(u32::from(desired.nat.first_port))
            + 1,
        features: feature::ALL & !feature::OUTER_ENTROPY,
        outer_ttl: desired.tunnel.ttl.into(),
        exceptions_per_window: desired.limits.exceptions_per_second,
        icmp_errors_per_window: desired.limits.icmp_errors_per_second,
    }
}

impl Image {
    /// Builds everything. `next_hop` says how to reach a backend, if that is known.
    pub fn build(
        desired: &Desired,
        next_hop: impl Fn(&Service, &Backend) -> Option<NextHop>,
    ) -> Result<Self, EngineError> {
        desired.services.iter().try_for_each(supported)?;
        let (services, slots) = rings(desired)?;
        let backends = backend_entries(desired, next_hop);
        let directory = Directory::build(&directory_entries(desired, &backends))?;
        Ok(Self {
            directory,
            services,
            backends,
            slots,
        })
    }

    /// How many slots of a service's ring belong to each of its `count` backends, whose indices
    /// start at `first_backend`.
    #[must_use]
    pub fn shares(&self, service: usize, first_backend: u32, count: usize) -> Vec<u32> {
        let mut shares = vec![0; count];
        let ring = self
            .services
            .get(service)
            .map_or(Ring::NONE, |service| service.ring);
        let slots = self.slots.iter().skip(ring.first_slot() as usize);
        for slot in slots.take(ring.length() as usize) {
            let backend = slot.current().wrapping_sub(first_backend);
            if let Some(share) = shares.get_mut(backend as usize) {
                *share += 1;
            }
        }
        shares
    }

    /// The same image with next hops as they are now. Rings do not depend on them.
    pub fn set_next_hops(
        &mut self,
        desired: &Desired,
        next_hop: impl Fn(&Service, &Backend) -> Option<NextHop>,
    ) -> Result<(), EngineError> {
        let backends = backend_entries(desired, next_hop);
        self.directory = Directory::build(&directory_entries(desired, &backends))?;
        self.backends = backends;
        Ok(())
    }
}

fn backend_entries(
    desired: &Desired,
    next_hop: impl Fn(&Service, &Backend) -> Option<NextHop>,
) -> Vec<backend::Backend> {
    let mut entries = Vec::new();
    for service in &desired.services {
        for backend in &service.backends {
            let hop = next_hop(service, backend);
            entries.push(backend_entry(desired, service, backend, hop));
        }
    }
    entries
}

/// Services with the places of their rings, and the rings.
fn rings(desired: &Desired) -> Result<(Vec<service::Service>, Vec<Slot>), EngineError> {
    let backends = desired.services.iter().map(|s| s.backends.len()).sum();
    check("services", desired.services.len(), MAX_SERVICES)?;
    check("backends", backends, MAX_BACKENDS)?;
    let mut services = Vec::with_capacity(desired.services.len());
    let mut slots = Vec::new();
    let first_backends = first_backends(&desired.services);
    for (service, first_backend) in desired.services.iter().zip(first_backends) {
        let failed = |source| EngineError::Ring {
            service: service.id.to_string(),
            source,
        };
        let length = match service.ring_log2 {
            Some(log2) => Length::new(1 << log2.min(31)).map_err(failed)?,
            None => Length::for_backends(service.backends.len()),
        };
        let members: Vec<Member> = service
            .backends
            .iter()
            .map(|b| member(service, b))
            .collect();
        let ring = ring::build(&members, length, desired.seed).map_err(failed)?;
        services.push(service::Service {
            ring: Ring::new(slots.len() as u32, length.log2() as u8),
            // `supported` has refused the others.
            mode: service::MODE_NAT,
            flags: match service.affinity {
                Affinity::None => 0,
                _ => service::AFFINITY_SOURCE,
            },
            ..service::Service::default()
        });
        slots.extend(
            ring.owners()
                .iter()
                .map(|owner| Slot::steady(first_backend + owner)),
        );
    }
    check("ring slots", slots.len(), MAX_SLOTS)?;
    Ok((services, slots))
}

/// What the data plane can carry so far.
fn supported(service: &Service) -> Result<(), EngineError> {
    let refuse = |feature| {
        Err(EngineError::NotYet {
            service: service.id.to_string(),
            feature,
        })
    };
    if service.mode != ForwardingMode::Nat {
        return refuse("another mode than nat");
    }
    if service.affinity == Affinity::SourceAndDestination {
        return refuse("affinity source-destination");
    }
    match service.id.address.single() {
        Some(IpAddr::V4(_)) => Ok(()),
        Some(IpAddr::V6(_)) => refuse("IPv6"),
        None => refuse("a prefix"),
    }
}

fn check(what: &'static str, found: usize, limit: u32) -> Result<(), EngineError> {
    if found > limit as usize {
        let limit = limit as usize;
        return Err(EngineError::TooMany { what, found, limit });
    }
    Ok(())
}

/// A backend's identity in the ring: its address and port, whatever its place in the file.
fn member(service: &Service, backend: &Backend) -> Member {
    let address = match backend.address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let port = service.backend_port(backend).unwrap_or(0);
    // FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923).
    let key = address
        .octets()
        .into_iter()
        .chain(port.to_be_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Member {
        key,
        weight: backend.weight,
    }
}

/// A backend with its next hop, or without one and marked so.
fn backend_entry(
    desired: &Desired,
    service: &Service,
    backend: &Backend,
    next_hop: Option<NextHop>,
) -> backend::Backend {
    let port = service.backend_port(backend).unwrap_or(0);
    let mut entry = backend::Backend {
        address: address(backend.address),
        port: Be16::new(port),
        flags: backend::ALIVE | backend::TAKES_NEW,
        ..backend::Backend::default()
    };
    let Some(hop) = next_hop else {
        return entry;
    };
    let source = desired
        .source(service.mode, backend.address)
        .unwrap_or(hop.source_address);
    entry.source = address(source);
    entry.link = Link::new(
        Addresses::new(hop.destination_mac.0, hop.source_mac.0),
        hop.interface_index,
    );
    entry.mtu = u16::try_from(hop.mtu).unwrap_or(u16::MAX);
    entry.flags |= backend::RESOLVED;
    entry
}

fn address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => Address::v4(Be32::new(v4.to_bits())),
        IpAddr::V6(v6) => Address::v6(wire::ipv6::Address::new(v6.octets())),
    }
}

/// Every key of the directory: services, the addresses that have some, and `nat`'s sources.
fn directory_entries(
    desired: &Desired,
    backends: &[backend::Backend],
) -> BTreeMap<KeyOrder, EntryV4> {
    let mut entries = BTreeMap::new();
    let mut backends = backends.iter();
    for (index, service) in desired.services.iter().enumerate() {
        let protocol = protocol_number(service.id.protocol);
        if let Some(IpAddr::V4(vip)) = service.id.address.single() {
            let key = |port| KeyOrder {
                address: vip.to_bits(),
                port,
                protocol,
            };
            let port = match service.id.port {
                ServicePort::Exact(port) => port,
                ServicePort::Any => 0,
            };
            add(&mut entries, key(0), directory::VIP, NO_INDEX);
            let icmp = KeyOrder {
                protocol: wire::ipv4::ICMP,
                ..key(0)
            };
            add(
                &mut entries,
                icmp,
                directory::VIP | directory::ECHO,
                NO_INDEX,
            );
            add(&mut entries, key(port), directory::SERVICE, index as u32);
        }
        for backend in backends.by_ref().take(service.backends.len()) {
            let key = KeyOrder {
                address: backend.source.as_v4().get(),
                port: 0,
                protocol,
            };
            if backend.flags & backend::RESOLVED != 0 {
                add(&mut entries, key, directory::NAT_SOURCE, NO_INDEX);
                let icmp = KeyOrder {
                    protocol: wire::ipv4::ICMP,
                    ..key
                };
                add(&mut entries, icmp, directory::NAT_SOURCE, NO_INDEX);
            }
        }
    }
    entries
}

fn add(entries: &mut BTreeMap<KeyOrder, EntryV4>, order: KeyOrder, kind: u32, service: u32) {
    let entry = entries.entry(order).or_insert(EntryV4 {
        key: order.key(),
        target: Target {
            service: NO_INDEX,
            kind: 0,
        },
    });
    entry.target.kind |= kind;
    if service != NO_INDEX {
        entry.target.service = service;
    }
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => wire::ipv4::TCP,
        Protocol::Udp => wire::ipv4::UDP,
    }
}
