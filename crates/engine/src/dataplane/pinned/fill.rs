//! What maps that are made anew get of the old ones.

use abi::backend::Backend;
use abi::control::Control;
use abi::counters::BackendCounters;
use abi::directory::{BucketV4, BucketV6};
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::layout;
use abi::limits::MAX_SERVICES;
use abi::maps;
use abi::service::Service;
use abi::slot::Slot;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::super::{DataPlane, map_error};
use super::old::Old;
use crate::EngineError;
use crate::bpf::RawMap;

/// Entries read from a map by one system call.
const BATCH: usize = 1024;

impl DataPlane {
    /// Gives maps that were made anew what the old ones hold.
    pub(super) fn fill_from(&mut self, old: &Old) -> Result<(), EngineError> {
        if self.layout != old.meta.layout {
            self.fill_lead(old)?;
        }
        let room = self.layout.backends.min(old.meta.layout.backends) as u32;
        if old.entries(maps::BACKEND_COUNTERS)? != self.layout.backends as u32 {
            copy_counters::<BackendCounters>(
                old,
                (maps::BACKEND_COUNTERS, &self.backend_counters),
                room,
                self.cpus,
            )?;
        }
        Ok(())
    }

    /// Gives tables of flows that have another size now the entries of the old ones.
    pub(super) fn fill_tables(&self, old: &Old, pass: Pass) -> Result<(), EngineError> {
        self.fill_family::<V4>(old, pass)?;
        self.fill_family::<V6>(old, pass)
    }

    fn fill_family<F: Family>(&self, old: &Old, pass: Pass) -> Result<(), EngineError> {
        let family = self.family::<F>();
        let names = &family.names;
        let copy = |name, map| copy_flows::<F::FlowKey, F::Flow>(old, (name, map), pass);
        copy(names.established, &family.established)?;
        copy(names.half_open, &family.half_open)?;
        let exceptions = (names.exceptions, &family.exceptions);
        copy_flows::<F::FlowKey, Exception>(old, exceptions, pass)
    }

    fn fill_lead(&mut self, old: &Old) -> Result<(), EngineError> {
        let (from, to) = (old.meta.layout, self.layout);
        let lead = old.lead()?;
        let copy = |from: u64, to: u64, bytes: u64| {
            self.lead
                .write(to as usize, &lead.read(from as usize, bytes as usize));
        };
        let services = u64::from(MAX_SERVICES) * size_of::<Service>() as u64;
        copy(layout::SERVICES, layout::SERVICES, services);
        copy(
            from.backends_at,
            to.backends_at,
            from.backends * size_of::<Backend>() as u64,
        );
        copy(
            from.slots_at,
            to.slots_at,
            from.slots * size_of::<Slot>() as u64,
        );
        let bytes = lead.read(layout::CONTROL as usize, size_of::<Control>());
        let mut control = Control::read_from_bytes(&bytes).unwrap_or_default();
        // The active copies become the first ones.
        for (active, size, from, to) in [
            (
                &mut control.directory_v4,
                size_of::<BucketV4>() as u64,
                layout::DIRECTORY_V4,
                layout::DIRECTORY_V4,
            ),
            (
                &mut control.directory_v6,
                size_of::<BucketV6>() as u64,
                from.directory_v6_at,
                to.directory_v6_at,
            ),
        ] {
            let first = u64::from(active.first_bucket());
            copy(from + first * size, to, u64::from(active.buckets()) * size);
            *active = active.moved_to(0);
        }
        self.lead.write(layout::CONTROL as usize, &[control]);
        Ok(())
    }
}

fn copy_counters<V>(
    old: &Old,
    (name, new): (&'static str, &RawMap),
    count: u32,
    cpus: usize,
) -> Result<(), EngineError>
where
    V: FromBytes + IntoBytes + Immutable + Clone,
{
    let map = old.raw(name, 4, size_of::<V>())?;
    for index in 0..count {
        let values: Vec<V> = map
            .get_per_cpu(index, cpus)
            .map_err(map_error(name, "read"))?;
        new.set_each_cpu(index, &values)
            .map_err(map_error(name, "write"))?;
    }
    Ok(())
}

/// When entries are copied to a table of another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// While the old program fills the old table.
    Before,
    /// When the new program fills the new one: what came between.
    After,
}

/// Copies a table to one of another size. Flows that begin between the two passes are known again
/// after the second one, some milliseconds later.
fn copy_flows<K, V>(
    old: &Old,
    (name, new): (&'static str, &RawMap),
    pass: Pass,
) -> Result<(), EngineError>
where
    K: FromBytes + IntoBytes + Immutable + Clone,
    V: FromBytes + IntoBytes + Immutable + Clone,
{
    let entries = new.info().map_err(map_error(name, "describe"))?.max_entries;
    if old.entries(name)? == entries {
        return Ok(());
    }
    let map = old.raw(name, size_of::<K>(), size_of::<V>())?;
    let mut held = 0;
    let mut result = Ok(());
    map.for_each(BATCH, |key: &K, value: &V| {
        held += 1;
        if result.is_ok() {
            result = match pass {
                Pass::Before => new.set(key, value),
                Pass::After => new.insert(key, value).map(drop),
            };
        }
    })
    .map_err(map_error(name, "read"))?;
    match result {
        Err(error) if error.raw_os_error() == Some(libc::E2BIG) => {
            Err(EngineError::TableTooSmall {
                table: name,
                entries: held,
                limit: entries,
            })
        }
        result => result.map_err(map_error(name, "fill")),
    }
}
