//! Map contents in memory: what a plane holds that was filled once and has not changed since.

use std::collections::BTreeMap;
use std::time::Duration;

use abi::backend::Backend;
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::prefix::{PrefixKeyV4, PrefixKeyV6};
use abi::quic::ServerKey;
use abi::service::Service;
use abi::slot::Slot;

use crate::EngineError;
use crate::desired::{self, Desired, NextHop};
use crate::directory::Directory;
use crate::live::Live;
use crate::maps::{FlowTable, Maps, Room};
use crate::settings;

/// Contents of all maps but the flows and counters.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The IPv4 service directory.
    pub directory: Directory<V4>,
    /// The IPv6 service directory.
    pub directory_v6: Directory<V6>,
    /// IPv4 prefix services.
    pub prefixes: Vec<(PrefixKeyV4, u32)>,
    /// IPv6 prefix services.
    pub prefixes_v6: Vec<(PrefixKeyV6, u32)>,
    /// Backends by QUIC server id.
    pub quic_servers: Vec<(ServerKey, u32)>,
    /// By service index: the order of [`Desired::services`].
    pub services: Vec<Service>,
    /// By backend index: the services' backends that are not down, one after the other.
    pub backends: Vec<Backend>,
    /// All rings.
    pub slots: Vec<Slot>,
}

impl Image {
    /// Builds everything. `next_hop` says how to reach a backend, if that is known.
    pub fn build(
        desired: &Desired,
        next_hop: impl Fn(&desired::Service, &desired::Backend) -> Option<NextHop>,
    ) -> Result<Self, EngineError> {
        let nothing = BTreeMap::new();
        let mut image = Self {
            directory: Directory::build(&nothing)?,
            directory_v6: Directory::build(&nothing)?,
            prefixes: Vec::new(),
            prefixes_v6: Vec::new(),
            quic_servers: Vec::new(),
            services: Vec::new(),
            backends: Vec::new(),
            slots: Vec::new(),
        };
        // No time passes in it.
        let tick = Duration::from_millis(1);
        let mut live = Live::new(settings(desired, false), image.room(), tick);
        live.apply(&mut image, desired, &next_hop)?;
        Ok(image)
    }
}

/// Sets an entry of an array that grows as it is needed.
fn set<V: Clone + Default>(array: &mut Vec<V>, index: u32, value: &V) {
    let index = index as usize;
    if array.len() <= index {
        array.resize(index + 1, V::default());
    }
    if let Some(entry) = array.get_mut(index) {
        entry.clone_from(value);
    }
}

/// Sets or removes an entry of a list.
fn enter<K: PartialEq>(list: &mut Vec<(K, u32)>, key: K, value: Option<u32>) {
    list.retain(|(present, _)| *present != key);
    list.extend(value.map(|value| (key, value)));
}

/// A key or bucket of one family as that of another with the same layout: both are the same
/// family, which the compiler cannot know.
fn same<A: zerocopy::IntoBytes + zerocopy::Immutable, B: zerocopy::FromBytes>(
    value: &A,
) -> Option<B> {
    B::read_from_bytes(value.as_bytes()).ok()
}

fn copy<F: Family, G: Family>(directory: &Directory<F>) -> Directory<G> {
    Directory {
        buckets: directory.buckets.iter().filter_map(same).collect(),
        seed: directory.seed,
        log2: directory.log2,
    }
}

/// No packet ever sees it, so there are no flows and no time passes.
impl Maps for Image {
    fn room(&self) -> Room {
        Room::MOST
    }

    fn now(&mut self) -> Result<u32, EngineError> {
        Ok(0)
    }

    fn slot(&self, index: u32) -> Slot {
        self.slots.get(index as usize).copied().unwrap_or_default()
    }

    fn write_slots(&mut self, first: u32, slots: &[Slot]) {
        for (index, slot) in (first..).zip(slots) {
            set(&mut self.slots, index, slot);
        }
    }

    fn write_service(&mut self, index: u32, service: &Service) -> Result<(), EngineError> {
        set(&mut self.services, index, service);
        Ok(())
    }

    fn write_backend(&mut self, index: u32, backend: &Backend) -> Result<(), EngineError> {
        set(&mut self.backends, index, backend);
        Ok(())
    }

    fn clear_counters(&mut self, _: u32) -> Result<(), EngineError> {
        Ok(())
    }

    fn write_directory<F: Family>(&mut self, directory: &Directory<F>) -> Result<(), EngineError> {
        if F::IS_V6 {
            self.directory_v6 = copy(directory);
        } else {
            self.directory = copy(directory);
        }
        Ok(())
    }

    fn write_prefix<F: Family>(
        &mut self,
        key: &F::PrefixKey,
        service: Option<u32>,
    ) -> Result<(), EngineError> {
        if let Some(key) = same(key).filter(|_| F::IS_V6) {
            enter(&mut self.prefixes_v6, key, service);
        } else if let Some(key) = same(key) {
            enter(&mut self.prefixes, key, service);
        }
        Ok(())
    }

    fn write_quic_server(
        &mut self,
        key: &ServerKey,
        backend: Option<u32>,
    ) -> Result<(), EngineError> {
        enter(&mut self.quic_servers, *key, backend);
        Ok(())
    }

    fn refusals(&self) -> Result<u64, EngineError> {
        Ok(0)
    }

    fn for_each_exception<F: Family>(
        &self,
        _: &mut dyn FnMut(&F::FlowKey, &Exception),
    ) -> Result<(), EngineError> {
        Ok(())
    }

    fn exception<F: Family>(&self, _: &F::FlowKey) -> Result<Option<Exception>, EngineError> {
        Ok(None)
    }

    fn remove_exception<F: Family>(&mut self, _: &F::FlowKey) -> Result<bool, EngineError> {
        Ok(false)
    }

    fn for_each_flow<F: Family>(
        &self,
        _: FlowTable,
        _: &mut dyn FnMut(&F::FlowKey, &F::Flow),
    ) -> Result<(), EngineError> {
        Ok(())
    }

    fn flow<F: Family>(
        &self,
        _: FlowTable,
        _: &F::FlowKey,
    ) -> Result<Option<F::Flow>, EngineError> {
        Ok(None)
    }

    fn remove_flow<F: Family>(
        &mut self,
        _: FlowTable,
        _: &F::FlowKey,
    ) -> Result<bool, EngineError> {
        Ok(false)
    }
}
