//! Contents of all maps but the flows.

use std::net::IpAddr;

use abi::NO_INDEX;
use abi::backend::{self, Address, Backend, Link};
use abi::control::Settings;
use abi::directory::{
    self, Active, BucketV4, BucketV6, DirectoryKey, EntryV4, EntryV6, KeyV4, KeyV6, Target,
};
use abi::prefix::{PrefixKeyV4, PrefixKeyV6};
use abi::quic::ServerKey;
use abi::service::{MODE_DNAT, MODE_NAT, Ring, Service};
use abi::slot::Slot;
use wire::ethernet::Addresses;
use wire::{Be16, Be32, ipv4, ipv6};

/// Of the directories that [`Content::add_service`] fills: wide enough for a few dozen keys.
const DIRECTORY_LOG2: u8 = 8;

/// One family's service directory.
#[derive(Clone, Debug)]
pub struct Directory<B> {
    /// The only copy.
    pub buckets: Vec<B>,
    /// Seed of the hash.
    pub seed: u32,
    /// log2 of the number of buckets.
    pub log2: u8,
}

impl<B: Clone + Default> Default for Directory<B> {
    fn default() -> Self {
        Self {
            buckets: vec![B::default(); 1 << DIRECTORY_LOG2],
            seed: 0,
            log2: DIRECTORY_LOG2,
        }
    }
}

impl<B> Directory<B> {
    /// The word that leads to it.
    #[must_use]
    pub fn active(&self) -> Active {
        Active::new(self.seed, 0, self.log2)
    }
}

/// Contents of all maps but the flows, however they came about.
#[derive(Clone, Debug)]
pub struct Content {
    /// What the loader puts into `.rodata`.
    pub settings: Settings,
    /// The IPv4 service directory.
    pub directory: Directory<BucketV4>,
    /// The IPv6 service directory.
    pub directory_v6: Directory<BucketV6>,
    /// IPv4 prefix services.
    pub prefixes_v4: Vec<(PrefixKeyV4, u32)>,
    /// IPv6 prefix services.
    pub prefixes_v6: Vec<(PrefixKeyV6, u32)>,
    /// QUIC server ids.
    pub quic_servers: Vec<(ServerKey, u32)>,
    /// By service index.
    pub services: Vec<Service>,
    /// The arena of rings.
    pub slots: Vec<Slot>,
    /// By backend index.
    pub backends: Vec<Backend>,
}

/// Adds what a key leads to, on top of what it leads to already.
macro_rules! add_key {
    ($directory:expr, $entry:ident, $key:expr, $kind:expr, $service:expr) => {{
        let key = $key;
        let bucket = key.bucket($directory.seed, $directory.log2) as usize;
        let entry = $directory.buckets[bucket]
            .entries
            .iter_mut()
            .find(|entry| entry.key == key || entry.key == Default::default())
            .expect("a test's directory has room for four keys in each bucket");
        if entry.key != key {
            let target = Target {
                service: NO_INDEX,
                kind: 0,
            };
            *entry = $entry { key, target };
        }
        entry.target.kind |= $kind;
        if $service != NO_INDEX {
            entry.target.service = $service;
        }
    }};
}

impl Content {
    /// No services.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            directory: Directory::default(),
            directory_v6: Directory::default(),
            prefixes_v4: Vec::new(),
            prefixes_v6: Vec::new(),
            quic_servers: Vec::new(),
            services: Vec::new(),
            slots: Vec::new(),
            backends: Vec::new(),
        }
    }

    /// Adds a service in mode `nat`, `port` 0 for every port, `flags` of [`Service::flags`]. Each
    /// backend has one slot, so their number is a power of two, or 0 for no ring.
    pub fn add_service(
        &mut self,
        service: (impl Into<IpAddr>, u16, u8),
        flags: u8,
        backends: &[Backend],
    ) {
        let (address, port, protocol) = service;
        self.add_service_in_mode(MODE_NAT, (address.into(), port, protocol), flags, backends);
    }

    /// The same in any mode. Echo requests to its address are answered.
    pub fn add_service_in_mode(
        &mut self,
        mode: u8,
        (address, port, protocol): (IpAddr, u16, u8),
        flags: u8,
        backends: &[Backend],
    ) {
        assert!(backends.is_empty() || backends.len().is_power_of_two());
        let index = self.services.len() as u32;
        let icmp = icmp_of(address);
        let echo = if backends.is_empty() {
            0
        } else {
            directory::ECHO
        };
        self.add_key((address, 0, protocol), directory::VIP, NO_INDEX);
        self.add_key((address, 0, icmp), directory::VIP | echo, NO_INDEX);
        self.add_key((address, port, protocol), directory::SERVICE, index);
        let ring = match backends.len() {
            0 => Ring::NONE,
            n => Ring::new(self.slots.len() as u32, n.trailing_zeros() as u8),
        };
        for backend in backends {
            self.add_backend_keys(mode, (address, protocol), index, backend);
            self.slots.push(Slot::steady(self.backends.len() as u32));
            self.backends.push(*backend);
        }
        self.services.push(Service {
            ring,
            mode,
            flags,
            port: Be16::new(port),
            address: stored(address),
            ..Service::default()
        });
    }

    fn add_backend_keys(
        &mut self,
        mode: u8,
        (vip, protocol): (IpAddr, u8),
        service: u32,
        backend: &Backend,
    ) {
        let as_ip = |address: &Address| match vip {
            IpAddr::V4(_) => IpAddr::V4(address.as_v4().get().into()),
            IpAddr::V6(_) => IpAddr::V6(address.as_v6().octets().into()),
        };
        if mode == MODE_NAT && backend.flags & backend::RESOLVED != 0 {
            let source = as_ip(&backend.source);
            self.add_key((source, 0, protocol), directory::NAT_SOURCE, NO_INDEX);
            self.add_key((source, 0, icmp_of(vip)), directory::NAT_SOURCE, NO_INDEX);
        }
        if mode == MODE_DNAT {
            let key = (as_ip(&backend.address), backend.port.get(), protocol);
            self.add_key(key, directory::DNAT_BACKEND, service);
        }
    }

    /// Adds what a key of the directory leads to.
    pub fn add_key(
        &mut self,
        (address, port, protocol): (IpAddr, u16, u8),
        kind: u32,
        service: u32,
    ) {
        let port = Be16::new(port);
        match address {
            IpAddr::V4(a) => {
                let key = KeyV4::new(Be32::new(a.to_bits()), port, protocol);
                add_key!(self.directory, EntryV4, key, kind, service);
            }
            IpAddr::V6(a) => {
                let key = KeyV6::new(ipv6::Address::new(a.octets()), port, protocol);
                add_key!(self.directory_v6, EntryV6, key, kind, service);
            }
        }
    }
}

/// Protocol number of an address family's ICMP.
fn icmp_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => ipv4::ICMP,
        IpAddr::V6(_) => ipv6::ICMP,
    }
}

/// An address as services and backends have it.
#[must_use]
pub fn stored(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(a) => Address::v4(Be32::new(a.to_bits())),
        IpAddr::V6(a) => Address::v6(ipv6::Address::new(a.octets())),
    }
}

/// A backend behind `interface` that is reached from `source`; `port` 0: the client's choice.
#[must_use]
pub fn backend(
    (address, port): (impl Into<IpAddr>, u16),
    source: impl Into<IpAddr>,
    addresses: Addresses,
    interface: u32,
) -> Backend {
    let address = address.into();
    let family = if address.is_ipv6() { backend::IPV6 } else { 0 };
    Backend {
        address: stored(address),
        source: stored(source.into()),
        link: Link::new(addresses, interface),
        port: Be16::new(port),
        mtu: 1500,
        flags: backend::RESOLVED | backend::ALIVE | backend::TAKES_NEW | family,
        ..Backend::default()
    }
}
