//! The maps as `datapath` wants them.

use abi::backend::Backend;
use abi::control::{Control, Settings};
use abi::counters::BackendCounters;
use abi::directory::BucketV4;
use abi::flow::{FlowKeyV4, FlowV4};
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;
use aya_ebpf::helpers::bpf_jiffies64;
use datapath::{EstablishError, FlowTable, InsertError, Tables};

use crate::maps;

/// `BPF_NOEXIST`: insert only.
const NO_EXIST: u64 = 1;
const EEXIST: i32 = 17;

/// All maps.
pub(crate) struct KernelTables;

/// Reads one field of [`maps::SETTINGS`], as a load that the compiler may not replace by the
/// value it saw at compile time.
macro_rules! setting {
    ($field:ident) => {
        // SAFETY: a valid, aligned address of a static.
        unsafe { (&raw const maps::SETTINGS.$field).read_volatile() }
    };
}

impl Tables for KernelTables {
    #[inline(always)]
    fn settings(&self) -> Settings {
        Settings {
            flow_seed: setting!(flow_seed),
            report: setting!(report),
            any_port: setting!(any_port),
            first_port: setting!(first_port),
            port_count: setting!(port_count),
        }
    }

    #[inline(always)]
    fn control(&self) -> Control {
        maps::CONTROL.get(0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: the helper takes nothing and reads a counter.
        unsafe { bpf_jiffies64() as u32 }
    }

    #[inline(always)]
    fn bucket_v4(&self, index: u32) -> Option<&BucketV4> {
        maps::DIRECTORY_V4.get(index)
    }

    #[inline(always)]
    fn service(&self, index: u32) -> Option<&Service> {
        maps::SERVICES.get(index)
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        maps::SLOTS.get(index).copied()
    }

    #[inline(always)]
    fn backend(&self, index: u32) -> Option<&Backend> {
        maps::BACKENDS.get(index)
    }

    #[inline(always)]
    fn flow<R>(
        &self,
        table: FlowTable,
        key: &FlowKeyV4,
        visit: impl FnOnce(&mut FlowV4) -> R,
    ) -> Option<R> {
        let key = own(key);
        let entry = match table {
            FlowTable::Established => maps::ESTABLISHED_V4.get_ptr_mut(key),
            FlowTable::HalfOpen => maps::HALF_OPEN_V4.get_ptr_mut(key),
        }?;
        // SAFETY: the entry's memory lives as long as the map. Another CPU may write it at the
        // same time or reuse it for another flow; every bit pattern is a valid flow, and
        // `Tables::flow` tells its callers what to make of that.
        Some(visit(unsafe { &mut *entry }))
    }

    #[inline(always)]
    fn insert_flow(
        &self,
        table: FlowTable,
        key: &FlowKeyV4,
        flow: &FlowV4,
    ) -> Result<(), InsertError> {
        let key = own(key);
        let scratch = maps::SCRATCH.get_ptr_mut(0).ok_or(InsertError::Full)?;
        // SAFETY: this CPU's own entry, and the program does not migrate.
        let staged = unsafe { &mut *scratch };
        *staged = *flow;
        let inserted = match table {
            FlowTable::Established => maps::ESTABLISHED_V4.insert(key, staged, NO_EXIST),
            FlowTable::HalfOpen => maps::HALF_OPEN_V4.insert(key, staged, NO_EXIST),
        };
        inserted.map_err(insert_error)
    }

    #[inline(always)]
    fn establish_flow(&self, key: &FlowKeyV4) -> Result<(), EstablishError> {
        let key = own(key);
        let entry = maps::HALF_OPEN_V4
            .get_ptr(key)
            .ok_or(EstablishError::Missing)?;
        // SAFETY: as in `flow`; the kernel copies the value from one map's memory to the other's.
        let entry = unsafe { &*entry };
        maps::ESTABLISHED_V4
            .insert(key, entry, NO_EXIST)
            .map_err(|error| EstablishError::Insert(insert_error(error)))
    }

    #[inline(always)]
    fn remove_flow(&self, table: FlowTable, key: &FlowKeyV4) {
        let key = own(key);
        // An entry that is gone already is what was wanted.
        let _ = match table {
            FlowTable::Established => maps::ESTABLISHED_V4.remove(key),
            FlowTable::HalfOpen => maps::HALF_OPEN_V4.remove(key),
        };
    }

    #[inline(always)]
    fn count_reason(&self, reason: Reason) {
        if let Some(counter) = maps::REASON_COUNTERS.get_ptr_mut(reason as u32) {
            // SAFETY: this CPU's own counter, and the program does not migrate.
            unsafe { *counter += 1 };
        }
    }

    #[inline(always)]
    fn count_forwarded(&self, backend: u32, bytes: u64, new_flow: bool) {
        with_counters(backend, |counters| {
            counters.packets += 1;
            counters.bytes += bytes;
            counters.new_flows += u64::from(new_flow);
        });
    }

    #[inline(always)]
    fn count_replied(&self, backend: u32, bytes: u64) {
        with_counters(backend, |counters| {
            counters.reply_packets += 1;
            counters.reply_bytes += bytes;
        });
    }
}

/// A copy of a key for a helper to point at. A pointer into a larger structure would keep all of
/// that structure on the stack, where the compiler moves it in misaligned blocks, which the
/// verifier refuses.
#[inline(always)]
fn own(key: &FlowKeyV4) -> FlowKeyV4 {
    *key
}

#[inline(always)]
fn insert_error(error: i32) -> InsertError {
    if error == -EEXIST {
        InsertError::Exists
    } else {
        InsertError::Full
    }
}

#[inline(always)]
fn with_counters(backend: u32, change: impl FnOnce(&mut BackendCounters)) {
    if let Some(counters) = maps::BACKEND_COUNTERS.get_ptr_mut(backend) {
        // SAFETY: this CPU's own counters, and the program does not migrate.
        change(unsafe { &mut *counters });
    }
}
