//! The maps as `datapath` wants them.

use core::arch::asm;
use core::ptr;

use abi::backend::Backend;
use abi::control::{Control, Settings};
use abi::counters::BackendCounters;
use abi::directory::{Active, BucketV4, BucketV6};
use abi::exception::Exception;
use abi::family::{V4, V6};
use abi::flow::{FlowKeyV4, FlowKeyV6, FlowV4, FlowV6, FragmentPorts};
use abi::layout::{self, Layout};
use abi::limits::MAX_SERVICES;
use abi::pace::Pace;
use abi::prefix::{PrefixKey as _, PrefixKeyV4, PrefixKeyV6};
use abi::quic::ServerKey;
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;
use aya_ebpf::btf_maps::lpm_trie::Key as TrieKey;
use aya_ebpf::helpers::bpf_jiffies64;
use datapath::{EstablishError, FamilyTables, FlowTable, InsertError, Tables};
use zerocopy::FromBytes;

use crate::maps;

/// `BPF_NOEXIST`: insert only.
const NO_EXIST: u64 = 1;
/// `BPF_ANY`: insert or replace.
const ANY: u64 = 0;
const EEXIST: i32 = 17;

/// All maps.
#[derive(Clone, Copy)]
pub(crate) struct KernelTables {
    /// Start of [`maps::LEAD`]'s entry.
    lead: *const u8,
}

impl KernelTables {
    /// The maps, as this packet finds them. There is always an entry, which the verifier does not know.
    #[inline(always)]
    pub(crate) fn find() -> Option<Self> {
        let lead = maps::LEAD.get_ptr(0)?.cast();
        Some(Self { lead })
    }

    /// The `index`-th of `count` values that begin at offset `at`.
    #[inline(always)]
    fn entry<V: FromBytes>(&self, at: u64, index: u64, count: u64) -> Option<&V> {
        if index >= count {
            return None;
        }
        let offset = at + index * size_of::<V>() as u64;
        Some(self.value(offset))
    }

    #[inline(always)]
    fn control(&self) -> Control {
        *self.value(layout::CONTROL)
    }

    #[inline(always)]
    fn value<V: FromBytes>(&self, offset: u64) -> &V {
        // SAFETY: inside the map's entry, as the verifier checks.
        let value = unsafe { self.lead.add(offset as usize) };
        // SAFETY: as the loader laid it out, aligned; every bit pattern is a valid `V`, and user space
        // writes whole words.
        unsafe { &*value.cast::<V>() }
    }
}

/// Where a constant of `.rodata` is, which the compiler may not replace by the value it saw at compile
/// time. Loads through it are ordinary ones: what nobody asks for is not loaded.
#[inline(always)]
#[expect(
    clippy::pointers_in_nomem_asm_block,
    reason = "nothing is read through the pointer there, and nothing written"
)]
fn at_load<V>(constant: &'static V) -> &'static V {
    let mut address = ptr::from_ref(constant);
    // SAFETY: does nothing.
    unsafe {
        asm!("/* {0} */", inout(reg) address, options(pure, nomem, nostack, preserves_flags));
    }
    // SAFETY: the address of a static, still.
    unsafe { &*address }
}

#[inline(always)]
fn layout() -> &'static Layout {
    at_load(&maps::LAYOUT)
}

impl Tables for KernelTables {
    #[inline(always)]
    fn settings(&self) -> Settings {
        *at_load(&maps::SETTINGS)
    }

    #[inline(always)]
    fn zero(&self) -> usize {
        self.control().zero as usize
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        // SAFETY: the helper takes nothing and reads a counter.
        unsafe { bpf_jiffies64() as u32 }
    }

    #[inline(always)]
    fn service(&self, index: u32) -> Option<&Service> {
        self.entry(layout::SERVICES, index.into(), MAX_SERVICES.into())
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        let layout = layout();
        self.entry(layout.slots_at, index.into(), layout.slots)
            .copied()
    }

    #[inline(always)]
    fn backend(&self, index: u32) -> Option<&Backend> {
        let layout = layout();
        self.entry(layout.backends_at, index.into(), layout.backends)
    }

    #[inline(always)]
    fn quic_server(&self, key: &ServerKey) -> Option<u32> {
        let key = *key;
        let entry = maps::QUIC_SERVERS.get_ptr(key)?;
        // SAFETY: as in `FamilyTables::flow`; one word is read.
        Some(unsafe { *entry })
    }

    #[inline(always)]
    fn pace<R>(&self, index: u32, visit: impl FnOnce(&mut Pace) -> R) -> Option<R> {
        let pace = maps::PACES.get_ptr_mut(index)?;
        // SAFETY: this CPU's own, and the program does not migrate.
        Some(visit(unsafe { &mut *pace }))
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

/// Implements what has keys of one family with the maps of that family.
///
/// Keys are copied before a helper points at them. A pointer into a larger structure would keep all
/// of that structure on the stack, where the compiler moves it in misaligned blocks, which the
/// verifier refuses.
macro_rules! family_tables {
    (
        $family:ident, $key:ident, $flow:ident, $bucket:ident, $prefix:ident, $words:literal,
        $directory:ident, $buckets:ident, $at:expr, $prefixes:ident, $established:ident, $half_open:ident,
        $exceptions:ident, $fragments:ident, $scratch:ident
    ) => {
        impl FamilyTables<$family> for KernelTables {
            #[inline(always)]
            fn directory(&self) -> Active {
                self.control().$directory
            }

            #[inline(always)]
            fn bucket(&self, index: u32) -> Option<&$bucket> {
                let layout = layout();
                self.entry($at(layout), index.into(), layout.$buckets)
            }

            #[inline(always)]
            fn prefix(&self, key: &$prefix) -> Option<u32> {
                let key = *key;
                if self.control().prefixes & key.presence() == 0 {
                    return None;
                }
                // SAFETY: both are the length in bits and the words to match, without padding.
                let key = unsafe { &*(&raw const key).cast::<TrieKey<[u32; $words]>>() };
                maps::$prefixes.get(key).copied()
            }

            #[inline(always)]
            fn flow<R>(
                &self,
                table: FlowTable,
                key: &$key,
                visit: impl FnOnce(&mut $flow) -> R,
            ) -> Option<R> {
                let key = *key;
                let entry = match table {
                    FlowTable::Established => maps::$established.get_ptr_mut(key),
                    FlowTable::HalfOpen => maps::$half_open.get_ptr_mut(key),
                }?;
                // SAFETY: the entry's memory lives as long as the map. Another CPU may write it at
                // the same time or reuse it for another flow; every bit pattern is a valid flow,
                // and `FamilyTables::flow` tells its callers what to make of that.
                Some(visit(unsafe { &mut *entry }))
            }

            #[inline(always)]
            fn insert_flow(
                &self,
                table: FlowTable,
                key: &$key,
                flow: &$flow,
            ) -> Result<(), InsertError> {
                let key = *key;
                let scratch = maps::$scratch.get_ptr_mut(0).ok_or(InsertError::Full)?;
                // SAFETY: this CPU's own entry, and the program does not migrate.
                let staged = unsafe { &mut *scratch };
                *staged = *flow;
                let inserted = match table {
                    FlowTable::Established => maps::$established.insert(key, staged, NO_EXIST),
                    FlowTable::HalfOpen => maps::$half_open.insert(key, staged, NO_EXIST),
                };
                inserted.map_err(insert_error)
            }

            #[inline(always)]
            fn establish_flow(&self, key: &$key) -> Result<(), EstablishError> {
                let key = *key;
                let entry = maps::$half_open
                    .get_ptr(key)
                    .ok_or(EstablishError::Missing)?;
                // SAFETY: as in `flow`; the kernel copies the value from one map to the other.
                let entry = unsafe { &*entry };
                maps::$established
                    .insert(key, entry, NO_EXIST)
                    .map_err(|error| EstablishError::Insert(insert_error(error)))
            }

            #[inline(always)]
            fn remove_flow(&self, table: FlowTable, key: &$key) {
                let key = *key;
                // An entry that is gone already is what was wanted.
                let _ = match table {
                    FlowTable::Established => maps::$established.remove(key),
                    FlowTable::HalfOpen => maps::$half_open.remove(key),
                };
            }

            #[inline(always)]
            fn exception<R>(
                &self,
                key: &$key,
                visit: impl FnOnce(&mut Exception) -> R,
            ) -> Option<R> {
                let key = *key;
                let entry = maps::$exceptions.get_ptr_mut(key)?;
                // SAFETY: as in `flow`.
                Some(visit(unsafe { &mut *entry }))
            }

            #[inline(always)]
            fn enter_exception(&self, key: &$key, exception: &Exception) -> Option<()> {
                let key = *key;
                maps::$exceptions.insert(key, exception, ANY).ok()
            }

            #[inline(always)]
            fn fragment(&self, key: &$key) -> Option<FragmentPorts> {
                let key = *key;
                let entry = maps::$fragments.get_ptr(key)?;
                // SAFETY: as in `flow`; one word is read.
                Some(unsafe { *entry })
            }

            #[inline(always)]
            fn remember_fragment(&self, key: &$key, ports: FragmentPorts) {
                let key = *key;
                // Without room the later fragments pass to the host, and a reason counts them.
                let _ = maps::$fragments.insert(key, ports, ANY);
            }
        }
    };
}

family_tables!(
    V4,
    FlowKeyV4,
    FlowV4,
    BucketV4,
    PrefixKeyV4,
    3,
    directory_v4,
    buckets_v4,
    |_: &Layout| layout::DIRECTORY_V4,
    PREFIXES_V4,
    ESTABLISHED_V4,
    HALF_OPEN_V4,
    EXCEPTIONS_V4,
    FRAGMENTS_V4,
    SCRATCH_V4
);
family_tables!(
    V6,
    FlowKeyV6,
    FlowV6,
    BucketV6,
    PrefixKeyV6,
    5,
    directory_v6,
    buckets_v6,
    |layout: &Layout| layout.directory_v6_at,
    PREFIXES_V6,
    ESTABLISHED_V6,
    HALF_OPEN_V6,
    EXCEPTIONS_V6,
    FRAGMENTS_V6,
    SCRATCH_V6
);

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
