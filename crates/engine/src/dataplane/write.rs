//! Into the maps that lead packets to backends, while they flow.

use abi::backend::Backend;
use abi::control::Control;
use abi::counters::BackendCounters;
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::limits::MAX_SERVICES;
use abi::maps;
use abi::pace::{self, Pace};
use abi::quic::ServerKey;
use abi::service::Service;
use abi::slot::Slot;
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::{DataPlane, FamilyMaps, map_error};
use crate::EngineError;
use crate::bpf::RawMap;
use crate::directory::Directory;
use crate::image::Image;
use crate::maps::{FlowTable, Maps, Room};

/// Entries read from a table by one system call.
const BATCH: usize = 4096;

impl DataPlane {
    /// Writes everything: backends first, the directories that lead to them last.
    pub fn write(&mut self, image: &Image) -> Result<(), EngineError> {
        let limit = self.slots.capacity::<Slot>();
        if image.slots.len() > limit {
            return Err(EngineError::TooMany {
                what: "ring slots",
                found: image.slots.len(),
                limit,
            });
        }
        for (index, backend) in (0..).zip(&image.backends) {
            self.write_backend(index, backend)?;
        }
        self.write_slots(0, &image.slots);
        for (index, service) in (0..).zip(&image.services) {
            self.write_service(index, service)?;
        }
        for (key, backend) in &image.quic_servers {
            self.write_quic_server(key, Some(*backend))?;
        }
        for (key, service) in &image.prefixes {
            self.write_prefix::<V4>(key, Some(*service))?;
        }
        for (key, service) in &image.prefixes_v6 {
            self.write_prefix::<V6>(key, Some(*service))?;
        }
        self.write_directory(&image.directory)?;
        self.write_directory(&image.directory_v6)
    }
}

impl FamilyMaps {
    /// Buckets of one copy.
    fn copy<F: Family>(&self) -> usize {
        self.directory.capacity::<F::Bucket>() / 2
    }
}

/// Sets or removes an entry of a map to indices.
fn lead<K: zerocopy::IntoBytes + zerocopy::Immutable>(
    map: &RawMap,
    name: &'static str,
    key: &K,
    index: Option<u32>,
) -> Result<(), EngineError> {
    match index {
        Some(index) => map.set(key, &index).map_err(map_error(name, "write")),
        None => map.remove(key).map(drop).map_err(map_error(name, "delete")),
    }
}

impl Maps for DataPlane {
    fn room(&self) -> Room {
        Room {
            services: MAX_SERVICES,
            backends: self.backend_limit,
            slots: self.slots.capacity::<Slot>() as u32,
            buckets_v4: self.v4.copy::<V4>() as u32,
            buckets_v6: self.v6.copy::<V6>() as u32,
        }
    }

    fn now(&mut self) -> Result<u32, EngineError> {
        Self::now(self)
    }

    fn slot(&self, index: u32) -> Slot {
        let word = self.slots.word(index as usize).unwrap_or(0);
        Slot::read_from_bytes(word.as_bytes()).unwrap_or_default()
    }

    fn write_slots(&mut self, first: u32, slots: &[Slot]) {
        self.slots.write(first as usize, slots);
    }

    fn write_service(&mut self, index: u32, service: &Service) -> Result<(), EngineError> {
        self.services
            .set(&index, service)
            .map_err(map_error(maps::SERVICES, "write"))
    }

    fn write_backend(&mut self, index: u32, backend: &Backend) -> Result<(), EngineError> {
        self.backends
            .set(&index, backend)
            .map_err(map_error(maps::BACKENDS, "write"))
    }

    fn clear_counters(&mut self, backend: u32) -> Result<(), EngineError> {
        let nothing = BackendCounters::default();
        self.backend_counters
            .set_per_cpu(backend, self.cpus, &nothing)
            .map_err(map_error(maps::BACKEND_COUNTERS, "write"))
    }

    fn write_directory<F: Family>(&mut self, directory: &Directory<F>) -> Result<(), EngineError> {
        let family = self.family_mut::<F>();
        let copy = family.copy::<F>();
        if directory.buckets.len() > copy {
            return Err(EngineError::TooMany {
                what: "directory buckets",
                found: directory.buckets.len(),
                limit: copy,
            });
        }
        family.second_copy = !family.second_copy;
        let first = if family.second_copy { copy } else { 0 };
        family.directory.write(first, &directory.buckets);
        let active = directory.active(first as u32);
        // The other family's word is left alone.
        let at = if F::IS_V6 {
            std::mem::offset_of!(Control, directory_v6)
        } else {
            std::mem::offset_of!(Control, directory_v4)
        };
        self.control.write(at / size_of::<u64>(), &[active]);
        Ok(())
    }

    fn write_prefix<F: Family>(
        &mut self,
        key: &F::PrefixKey,
        service: Option<u32>,
    ) -> Result<(), EngineError> {
        let family = self.family::<F>();
        lead(&family.prefixes, family.names.prefixes, key, service)
    }

    fn write_quic_server(
        &mut self,
        key: &ServerKey,
        backend: Option<u32>,
    ) -> Result<(), EngineError> {
        lead(&self.quic_servers, maps::QUIC_SERVERS, key, backend)
    }

    fn refusals(&self) -> Result<u64, EngineError> {
        let paces: Vec<Pace> = self
            .paces
            .get_per_cpu(pace::EXCEPTIONS, self.cpus)
            .map_err(map_error(maps::PACES, "read"))?;
        Ok(paces.iter().map(|pace| u64::from(pace.refused)).sum())
    }

    fn for_each_exception<F: Family>(
        &self,
        visit: &mut dyn FnMut(&F::FlowKey, &Exception),
    ) -> Result<(), EngineError> {
        let family = self.family::<F>();
        family
            .exceptions
            .for_each(BATCH, visit)
            .map_err(map_error(family.names.exceptions, "read"))
    }

    fn exception<F: Family>(&self, key: &F::FlowKey) -> Result<Option<Exception>, EngineError> {
        let family = self.family::<F>();
        family
            .exceptions
            .get(key)
            .map_err(map_error(family.names.exceptions, "read"))
    }

    fn remove_exception<F: Family>(&mut self, key: &F::FlowKey) -> Result<bool, EngineError> {
        let family = self.family::<F>();
        family
            .exceptions
            .remove(key)
            .map_err(map_error(family.names.exceptions, "delete"))
    }

    fn for_each_flow<F: Family>(
        &self,
        table: FlowTable,
        visit: &mut dyn FnMut(&F::FlowKey, &F::Flow),
    ) -> Result<(), EngineError> {
        let (map, name) = self.family::<F>().flows(table);
        map.for_each(BATCH, visit).map_err(map_error(name, "read"))
    }

    fn flow<F: Family>(
        &self,
        table: FlowTable,
        key: &F::FlowKey,
    ) -> Result<Option<F::Flow>, EngineError> {
        let (map, name) = self.family::<F>().flows(table);
        map.get(key).map_err(map_error(name, "read"))
    }

    fn remove_flow<F: Family>(
        &mut self,
        table: FlowTable,
        key: &F::FlowKey,
    ) -> Result<bool, EngineError> {
        let (map, name) = self.family::<F>().flows(table);
        map.remove(key).map_err(map_error(name, "delete"))
    }
}
