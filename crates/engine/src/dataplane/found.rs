//! What the maps hold, whoever filled them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use abi::backend::Backend;
use abi::control::Control;
use abi::directory::{NAT_SOURCE, Target};
use abi::family::{Address as _, Family, V4, V6};
use abi::layout;
use abi::limits::MAX_SERVICES;
use abi::maps;
use abi::prefix::PrefixKey as _;
use abi::quic::ServerKey;
use abi::service::Service;
use zerocopy::FromBytes;

use super::{DataPlane, map_error};
use crate::EngineError;
use crate::desired::Prefix;
use crate::directory::{self, Fill, Key, ip_address};
use crate::live::PrefixKey;

/// Entries read from a map by one system call.
const BATCH: usize = 1024;

/// What maps hold that somebody else has filled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// By index; [`Service::protocol`] is 0 where there is none.
    pub services: Vec<Service>,
    /// By index; all zeros where there is none.
    pub backends: Vec<Backend>,
    /// Prefixes and the services they lead to.
    pub prefixes: BTreeMap<PrefixKey, u32>,
    /// Server ids ([`ServerKey`]'s `service` and `id`) and the backends they lead to.
    pub quic_servers: BTreeMap<(u64, u64), u32>,
    /// Our own addresses that answers to flows of `nat` come to, with their IP protocol numbers,
    /// ICMP's too.
    pub sources: BTreeSet<(IpAddr, u8)>,
}

/// The [`Found::sources`] of keys.
pub(crate) fn sources(
    keys: impl Iterator<Item = (Key, Target)>,
) -> impl Iterator<Item = (IpAddr, u8)> {
    let ours = keys.filter(|(_, target)| target.kind & NAT_SOURCE != 0);
    ours.map(|(key, _)| (key.address, key.protocol))
}

impl DataPlane {
    /// What the maps hold.
    pub fn found(&self) -> Result<Found, EngineError> {
        let mut found = Found {
            services: self.read_all(layout::SERVICES, MAX_SERVICES.into()),
            backends: self.read_all(self.layout.backends_at, self.layout.backends),
            ..Found::default()
        };
        self.read_prefixes::<V4>(&mut found)?;
        self.read_prefixes::<V6>(&mut found)?;
        let keys = self.keys::<V4>().into_iter().chain(self.keys::<V6>());
        found.sources.extend(sources(keys));
        self.quic_servers
            .for_each(BATCH, |key: &ServerKey, backend: &u32| {
                found.quic_servers.insert((key.service, key.id), *backend);
            })
            .map_err(map_error(maps::QUIC_SERVERS, "read"))?;
        Ok(found)
    }

    /// The keys of a family's directory, and what they lead to.
    pub(super) fn keys<F: Fill>(&self) -> Vec<(Key, Target)> {
        let control = self.control();
        let (active, at) = match F::IS_V6 {
            false => (control.directory_v4, layout::DIRECTORY_V4),
            true => (control.directory_v6, self.layout.directory_v6_at),
        };
        let first = u64::from(active.first_bucket()) * size_of::<F::Bucket>() as u64;
        let buckets: Vec<F::Bucket> = self.read_all(at + first, active.buckets().into());
        directory::keys::<F>(&buckets).collect()
    }

    fn read_prefixes<F: Family>(&self, found: &mut Found) -> Result<(), EngineError> {
        let family = self.family::<F>();
        let error = map_error(family.names.prefixes, "read");
        for key in family.prefixes.keys::<F::PrefixKey>().map_err(&error)? {
            let service: Option<u32> = family.prefixes.get(&key).map_err(&error)?;
            let (address, bits, port, protocol) = key.parts();
            let address = ip_address(&address.stored(), F::IS_V6);
            let (Some(service), Some(prefix)) = (service, Prefix::around(address, bits as u8))
            else {
                continue;
            };
            let key = PrefixKey {
                prefix,
                port: port.get(),
                protocol,
            };
            found.prefixes.insert(key, service);
        }
        Ok(())
    }

    pub(super) fn read_all<V: FromBytes>(&self, at: u64, count: u64) -> Vec<V> {
        let bytes = self.lead.read(at as usize, count as usize * size_of::<V>());
        let values = bytes.chunks_exact(size_of::<V>());
        values
            .filter_map(|bytes| V::read_from_bytes(bytes).ok())
            .collect()
    }

    pub(super) fn control(&self) -> Control {
        let bytes = self
            .lead
            .read(layout::CONTROL as usize, size_of::<Control>());
        Control::read_from_bytes(&bytes).unwrap_or_default()
    }
}
