//! Contents of all maps but the flows.

use std::net::Ipv4Addr;

use abi::NO_INDEX;
use abi::backend::{self, Address, Backend, Link};
use abi::control::{Control, Settings};
use abi::directory::{self, Active, BucketV4, EntryV4, KeyV4};
use abi::service::{MODE_NAT, Ring, Service};
use abi::slot::Slot;
use wire::ethernet::Addresses;
use wire::{Be16, Be32};

/// Of the directories that [`Content::add_service`] fills: wide enough for a few dozen keys.
const DIRECTORY_LOG2: u8 = 6;

/// Contents of all maps but the flows, however they came about.
#[derive(Clone, Debug)]
pub struct Content {
    /// What the loader puts into `.rodata`.
    pub settings: Settings,
    /// The service directory's only copy.
    pub directory: Vec<BucketV4>,
    /// Seed of the directory.
    pub directory_seed: u32,
    /// log2 of the directory's length.
    pub directory_log2: u8,
    /// By service index.
    pub services: Vec<Service>,
    /// The arena of rings.
    pub slots: Vec<Slot>,
    /// By backend index.
    pub backends: Vec<Backend>,
}

impl Content {
    /// No services.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            directory: vec![BucketV4::default(); 1 << DIRECTORY_LOG2],
            directory_seed: 0,
            directory_log2: DIRECTORY_LOG2,
            services: Vec::new(),
            slots: Vec::new(),
            backends: Vec::new(),
        }
    }

    /// Adds a service in mode `nat`, `port` 0 for every port, `flags` of [`Service::flags`]. Each
    /// backend has one slot, so their number is a power of two, or 0 for no ring.
    pub fn add_service(
        &mut self,
        (address, port, protocol): (Ipv4Addr, u16, u8),
        flags: u8,
        backends: &[Backend],
    ) {
        assert!(backends.is_empty() || backends.len().is_power_of_two());
        let index = self.services.len() as u32;
        let vip = Be32::new(address.to_bits());
        self.add_key(
            KeyV4::new(vip, directory::ANY_PORT, protocol),
            directory::VIP,
            NO_INDEX,
        );
        self.add_key(
            KeyV4::new(vip, Be16::new(port), protocol),
            directory::SERVICE,
            index,
        );
        let ring = match backends.len() {
            0 => Ring::NONE,
            n => Ring::new(self.slots.len() as u32, n.trailing_zeros() as u8),
        };
        for backend in backends {
            let nat_source = backend.nat_source.as_v4();
            if backend.flags & backend::RESOLVED != 0 {
                self.add_key(
                    KeyV4::new(nat_source, directory::ANY_PORT, protocol),
                    directory::NAT_SOURCE,
                    NO_INDEX,
                );
            }
            self.slots.push(Slot::steady(self.backends.len() as u32));
            self.backends.push(*backend);
        }
        self.services.push(Service {
            ring,
            mode: MODE_NAT,
            flags,
            reserved: [0; 6],
        });
    }

    fn add_key(&mut self, key: KeyV4, kind: u32, service: u32) {
        let bucket = key.bucket(self.directory_seed, self.directory_log2) as usize;
        let entries = &mut self.directory[bucket].entries;
        let entry = entries
            .iter_mut()
            .find(|entry| entry.key == key || entry.key == KeyV4::default())
            .expect("a test's directory has room for four keys in each bucket");
        if entry.key != key {
            *entry = EntryV4 {
                key,
                service: NO_INDEX,
                kind: 0,
            };
        }
        entry.kind |= kind;
        if service != NO_INDEX {
            entry.service = service;
        }
    }

    /// The words that lead to these contents.
    #[must_use]
    pub fn control(&self) -> Control {
        Control {
            directory_v4: Active::new(self.directory_seed, 0, self.directory_log2),
        }
    }
}

/// A backend behind `interface` that is reached from `nat_source`; `port` 0: the client's choice.
#[must_use]
pub fn backend(
    (address, port): (Ipv4Addr, u16),
    nat_source: Ipv4Addr,
    addresses: Addresses,
    interface: u32,
) -> Backend {
    Backend {
        address: Address::v4(Be32::new(address.to_bits())),
        nat_source: Address::v4(Be32::new(nat_source.to_bits())),
        link: Link::new(addresses, interface),
        port: Be16::new(port),
        mtu: 1500,
        flags: backend::RESOLVED,
        reserved: [0; 11],
    }
}
