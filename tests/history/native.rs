//! The native data path.

use abi::backend::Backend;
use abi::control::Settings;
use abi::exception::Exception;
use abi::family::{Family, V4};
use abi::pace;
use abi::quic::ServerKey;
use abi::service::Service;
use abi::slot::Slot;
use datapath::FamilyTables;
use engine::EngineError;
use engine::dataplane::Found;
use engine::directory::Directory;
use engine::maps::{FlowTable, Maps, Room};
use testkit::content::{self, Content};
use testkit::history::Terms;
use testkit::outcome::{self, Outcome};
use testkit::tables::{Capacities, MemoryTables};
use testkit::world::INTERFACE;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Instance, World, loaded};

/// Four ticks are a window of [`abi::pace`].
const JIFFIES_PER_TICK: u32 = 1 << (pace::WINDOW_LOG2 - 2);
const BACKENDS: usize = 512;
const SLOTS: usize = 1 << 13;

/// The maps in memory. IPv4 only.
#[derive(Debug)]
pub struct Native {
    tables: MemoryTables,
}

/// An instance whose packets go through the native data path.
#[must_use]
pub fn native(terms: &Terms) -> Instance<Native> {
    let mut content = Content::new(engine::settings(&loaded(terms), false));
    content.settings.exceptions_per_window = terms.pace;
    content.services = vec![Service::default(); 16];
    content.backends = vec![Backend::default(); BACKENDS];
    content.slots = vec![Slot::default(); SLOTS];
    let capacities = Capacities {
        established: 1,
        half_open: 1,
        exceptions: terms.table as usize,
    };
    let tables = MemoryTables::new(content, capacities);
    Instance::new(Native { tables }, terms)
}

impl World for Native {
    fn settings(&self) -> Settings {
        self.tables.content.settings
    }

    fn found(&self) -> Found {
        Found {
            services: self.tables.content.services.clone(),
            backends: self.tables.content.backends.clone(),
            ..Found::default()
        }
    }

    fn jiffies_per_tick(&self) -> u32 {
        JIFFIES_PER_TICK
    }

    fn allowance(&self) -> u32 {
        0
    }

    fn set_time(&mut self, tick: u32) {
        self.tables.set_now(tick * JIFFIES_PER_TICK);
    }

    fn process(&mut self, frame: &[u8]) -> Outcome {
        outcome::process(&self.tables, frame, INTERFACE)
    }
}

/// A value of one family as that of another with the same layout: both are IPv4.
fn same<A: IntoBytes + Immutable, B: FromBytes>(value: &A) -> B {
    B::read_from_bytes(value.as_bytes()).unwrap_or_else(|_| panic!("both are IPv4"))
}

impl Maps for Native {
    fn room(&self) -> Room {
        Room {
            services: self.tables.content.services.len() as u32,
            backends: self.tables.content.backends.len() as u32,
            slots: self.tables.content.slots.len() as u32,
            buckets_v4: 64,
            buckets_v6: 64,
        }
    }

    fn now(&mut self) -> Result<u32, EngineError> {
        Ok(datapath::Tables::now(&self.tables))
    }

    fn slot(&self, index: u32) -> Slot {
        self.tables.content.slots[index as usize]
    }

    fn write_slots(&mut self, first: u32, slots: &[Slot]) {
        let first = first as usize;
        self.tables.content.slots[first..first + slots.len()].copy_from_slice(slots);
    }

    fn write_service(&mut self, index: u32, service: &Service) -> Result<(), EngineError> {
        self.tables.content.services[index as usize] = *service;
        Ok(())
    }

    fn write_backend(&mut self, index: u32, backend: &Backend) -> Result<(), EngineError> {
        self.tables.content.backends[index as usize] = *backend;
        Ok(())
    }

    fn clear_counters(&mut self, _: u32) -> Result<(), EngineError> {
        Ok(())
    }

    fn write_directory<F: Family>(&mut self, directory: &Directory<F>) -> Result<(), EngineError> {
        if !F::IS_V6 {
            self.tables.content.directory = content::Directory {
                buckets: directory.buckets.iter().map(same).collect(),
                seed: directory.seed,
                log2: directory.log2,
            };
        }
        Ok(())
    }

    fn write_prefix<F: Family>(
        &mut self,
        _: &F::PrefixKey,
        _: Option<u32>,
    ) -> Result<(), EngineError> {
        unreachable!("there are no prefixes")
    }

    fn write_quic_server(&mut self, _: &ServerKey, _: Option<u32>) -> Result<(), EngineError> {
        unreachable!("there are no server ids")
    }

    fn refusals(&self) -> Result<u64, EngineError> {
        Ok(self.tables.pace_now(pace::EXCEPTIONS).refused.into())
    }

    fn for_each_exception<F: Family>(
        &self,
        visit: &mut dyn FnMut(&F::FlowKey, &Exception),
    ) -> Result<(), EngineError> {
        if !F::IS_V6 {
            for (key, exception) in self.tables.exceptions() {
                visit(&same(&key), &exception);
            }
        }
        Ok(())
    }

    fn exception<F: Family>(&self, key: &F::FlowKey) -> Result<Option<Exception>, EngineError> {
        if F::IS_V6 {
            return Ok(None);
        }
        Ok(FamilyTables::<V4>::exception(
            &self.tables,
            &same(key),
            |entry| *entry,
        ))
    }

    fn remove_exception<F: Family>(&mut self, key: &F::FlowKey) -> Result<bool, EngineError> {
        self.tables.remove_exception(&same(key));
        Ok(true)
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
