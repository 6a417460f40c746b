//! Into the maps that lead packets to backends, while they flow.

use abi::backend::Backend;
use abi::control::Control;
use abi::counters::BackendCounters;
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::layout;
use abi::limits::MAX_SERVICES;
use abi::maps;
use abi::pace::{self, Pace};
use abi::prefix::PrefixKey as _;
use abi::quic::ServerKey;
use abi::service::Service;
use abi::slot::Slot;
use zerocopy::{FromBytes as _, Immutable, IntoBytes};

use super::{DataPlane, Half, map_error};
use crate::EngineError;
use crate::bpf::{RawMap, wait_for_packets};
use crate::directory::Directory;
use crate::image::Image;
use crate::maps::{FlowTable, Maps, Room};

/// Entries read from a table by one system call.
const BATCH: usize = 4096;

impl DataPlane {
    /// Writes everything: backends first, the directories that lead to them last.
    pub fn write(&mut self, image: &Image) -> Result<(), EngineError> {
        let limit = self.layout.slots as usize;
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

impl DataPlane {
    /// Buckets of one copy of a directory, and the offset of the first one.
    fn directory<F: Family>(&self) -> (usize, usize) {
        let layout = &self.layout;
        let (buckets, at) = if F::IS_V6 {
            (layout.buckets_v6, layout.directory_v6_at)
        } else {
            (layout.buckets_v4, layout::DIRECTORY_V4)
        };
        (buckets as usize / 2, at as usize)
    }

    /// Writes the `index`-th of `count` values that begin at offset `at`.
    fn write_entry<V: IntoBytes + Immutable>(
        &self,
        what: &'static str,
        (at, index, count): (u64, u32, u64),
        value: &V,
    ) -> Result<(), EngineError> {
        if u64::from(index) >= count {
            return Err(EngineError::TooMany {
                what,
                found: index as usize + 1,
                limit: count as usize,
            });
        }
        let offset = at as usize + index as usize * size_of::<V>();
        self.lead.write(offset, std::slice::from_ref(value));
        Ok(())
    }
}

/// Sets or removes an entry of a map to indices.
fn lead<K: IntoBytes + Immutable>(
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
            backends: self.layout.backends as u32,
            slots: self.layout.slots as u32,
            buckets_v4: self.directory::<V4>().0 as u32,
            buckets_v6: self.directory::<V6>().0 as u32,
        }
    }

    fn now(&mut self) -> Result<u32, EngineError> {
        Self::now(self)
    }

    fn slot(&self, index: u32) -> Slot {
        let offset = self.layout.slots_at as usize + index as usize * size_of::<Slot>();
        let word = self.lead.word(offset).unwrap_or(0);
        Slot::read_from_bytes(word.as_bytes()).unwrap_or_default()
    }

    fn write_slots(&mut self, first: u32, slots: &[Slot]) {
        let offset = self.layout.slots_at as usize + first as usize * size_of::<Slot>();
        self.lead.write(offset, slots);
    }

    fn write_service(&mut self, index: u32, service: &Service) -> Result<(), EngineError> {
        let place = (layout::SERVICES, index, MAX_SERVICES.into());
        self.write_entry("services", place, service)
    }

    fn write_backend(&mut self, index: u32, backend: &Backend) -> Result<(), EngineError> {
        let place = (self.layout.backends_at, index, self.layout.backends);
        self.write_entry("backends", place, backend)
    }

    fn clear_counters(&mut self, backend: u32) -> Result<(), EngineError> {
        let nothing = BackendCounters::default();
        self.backend_counters
            .set_per_cpu(backend, self.cpus, &nothing)
            .map_err(map_error(maps::BACKEND_COUNTERS, "write"))
    }

    fn write_directory<F: Family>(&mut self, directory: &Directory<F>) -> Result<(), EngineError> {
        let (copy, at) = self.directory::<F>();
        if directory.buckets.len() > copy {
            return Err(EngineError::TooMany {
                what: "directory buckets",
                found: directory.buckets.len(),
                limit: copy,
            });
        }
        let family = self.family_mut::<F>();
        if family.active.is_some() {
            // Packets may still be reading the other copy, which was active before the last change.
            wait_for_packets();
        }
        let (half, first) = match family.active {
            Some(Half::First) => (Half::Second, copy),
            _ => (Half::First, 0),
        };
        family.active = Some(half);
        let offset = at + first * size_of::<F::Bucket>();
        self.lead.write(offset, &directory.buckets);
        let active = directory.active(first as u32);
        // The other family's word is left alone.
        let at = if F::IS_V6 {
            std::mem::offset_of!(Control, directory_v6)
        } else {
            std::mem::offset_of!(Control, directory_v4)
        };
        self.lead.write(layout::CONTROL as usize + at, &[active]);
        Ok(())
    }

    fn write_prefix<F: Family>(
        &mut self,
        key: &F::PrefixKey,
        service: Option<u32>,
    ) -> Result<(), EngineError> {
        let family = self.family::<F>();
        if service.is_some() {
            // It stays set: a lookup in vain is only slower.
            let at = layout::CONTROL as usize + std::mem::offset_of!(Control, prefixes);
            let present = self.lead.word(at).unwrap_or(0);
            self.lead.write(at, &[present | key.presence()]);
        }
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
