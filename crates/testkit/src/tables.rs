//! The maps in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use abi::backend::Backend;
use abi::control::Settings;
use abi::counters::BackendCounters;
use abi::directory::{Active, BucketV4, BucketV6};
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::flow::{FlowKeyV4, FlowKeyV6, FlowV4, FlowV6, FragmentPorts};
use abi::limits::MAX_FRAGMENTS;
use abi::pace::{self, Pace};
use abi::prefix::{PrefixKeyV4, PrefixKeyV6};
use abi::quic::ServerKey;
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;
use datapath::{EstablishError, FamilyTables, FlowTable, InsertError, Tables};

use crate::content::Content;
use crate::flow_map::{FlowMap, WhenFull};

/// Most entries of the tables of each family; two for each `nat` flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Of the flow table that never evicts.
    pub established: usize,
    /// Of the flow table in which the oldest give way.
    pub half_open: usize,
    /// Of the exception table.
    pub exceptions: usize,
}

/// The tables of one family.
#[derive(Debug)]
struct Flows<F: Family> {
    established: RefCell<FlowMap<F::FlowKey, F::Flow>>,
    half_open: RefCell<FlowMap<F::FlowKey, F::Flow>>,
    exceptions: RefCell<FlowMap<F::FlowKey, Exception>>,
    fragments: RefCell<FlowMap<F::FlowKey, FragmentPorts>>,
}

impl<F: Family> Flows<F> {
    fn new(capacities: Capacities) -> Self {
        Self {
            established: FlowMap::new(capacities.established, WhenFull::Refuse).into(),
            half_open: FlowMap::new(capacities.half_open, WhenFull::EvictOldest).into(),
            exceptions: FlowMap::new(capacities.exceptions, WhenFull::Refuse).into(),
            fragments: FlowMap::new(MAX_FRAGMENTS as usize, WhenFull::EvictOldest).into(),
        }
    }

    fn map(&self, table: FlowTable) -> &RefCell<FlowMap<F::FlowKey, F::Flow>> {
        match table {
            FlowTable::Established => &self.established,
            FlowTable::HalfOpen => &self.half_open,
        }
    }
}

/// All maps, in memory.
#[derive(Debug)]
pub struct MemoryTables {
    /// Everything but the flows.
    pub content: Content,
    now: Cell<u32>,
    v4: Flows<V4>,
    v6: Flows<V6>,
    paces: RefCell<[Pace; pace::COUNT as usize]>,
    reasons: RefCell<[u64; Reason::COUNT]>,
    backends: RefCell<HashMap<u32, BackendCounters>>,
}

impl MemoryTables {
    /// No flows yet; the clock at 0.
    #[must_use]
    pub fn new(content: Content, capacities: Capacities) -> Self {
        Self {
            content,
            now: Cell::new(0),
            v4: Flows::new(capacities),
            v6: Flows::new(capacities),
            paces: RefCell::default(),
            reasons: RefCell::new([0; Reason::COUNT]),
            backends: RefCell::default(),
        }
    }

    /// Sets the clock, in jiffies.
    pub fn set_now(&self, jiffies: u32) {
        self.now.set(jiffies);
    }

    /// A copy of an IPv4 flow table.
    #[must_use]
    pub fn flows(&self, table: FlowTable) -> BTreeMap<FlowKeyV4, FlowV4> {
        self.v4.map(table).borrow().entries()
    }

    /// A copy of an IPv6 flow table.
    #[must_use]
    pub fn flows_v6(&self, table: FlowTable) -> BTreeMap<FlowKeyV6, FlowV6> {
        self.v6.map(table).borrow().entries()
    }

    /// A copy of the IPv4 exception table.
    #[must_use]
    pub fn exceptions(&self) -> BTreeMap<FlowKeyV4, Exception> {
        self.v4.exceptions.borrow().entries()
    }

    /// A copy of the IPv6 exception table.
    #[must_use]
    pub fn exceptions_v6(&self) -> BTreeMap<FlowKeyV6, Exception> {
        self.v6.exceptions.borrow().entries()
    }

    /// Deletes an entry of the IPv4 exception table, as user space does.
    pub fn remove_exception(&self, key: &FlowKeyV4) {
        self.v4.exceptions.borrow_mut().remove(key);
    }

    /// A pace ([`abi::pace`]).
    #[must_use]
    pub fn pace_now(&self, index: u32) -> Pace {
        self.paces.borrow()[index as usize]
    }

    /// Packets with this reason.
    #[must_use]
    pub fn reason_count(&self, reason: Reason) -> u64 {
        self.reasons.borrow()[reason as usize]
    }

    /// A backend's counters.
    #[must_use]
    pub fn backend_counters(&self, index: u32) -> BackendCounters {
        self.backends
            .borrow()
            .get(&index)
            .copied()
            .unwrap_or_default()
    }

    fn with_counters(&self, backend: u32, change: impl FnOnce(&mut BackendCounters)) {
        if (backend as usize) < self.content.backends.len() {
            change(self.backends.borrow_mut().entry(backend).or_default());
        }
    }
}

impl Tables for MemoryTables {
    fn settings(&self) -> Settings {
        self.content.settings
    }

    fn zero(&self) -> usize {
        0
    }

    fn now(&self) -> u32 {
        self.now.get()
    }

    fn service(&self, index: u32) -> Option<&Service> {
        self.content.services.get(index as usize)
    }

    fn slot(&self, index: u32) -> Option<Slot> {
        self.content.slots.get(index as usize).copied()
    }

    fn backend(&self, index: u32) -> Option<&Backend> {
        self.content.backends.get(index as usize)
    }

    fn quic_server(&self, key: &ServerKey) -> Option<u32> {
        let servers = &self.content.quic_servers;
        let (_, backend) = servers.iter().find(|(server, _)| server == key)?;
        Some(*backend)
    }

    fn pace<R>(&self, index: u32, visit: impl FnOnce(&mut Pace) -> R) -> Option<R> {
        self.paces.borrow_mut().get_mut(index as usize).map(visit)
    }

    fn count_reason(&self, reason: Reason) {
        self.reasons.borrow_mut()[reason as usize] += 1;
    }

    fn count_forwarded(&self, backend: u32, bytes: u64, new_flow: bool) {
        self.with_counters(backend, |counters| {
            counters.packets += 1;
            counters.bytes += bytes;
            counters.new_flows += u64::from(new_flow);
        });
    }

    fn count_replied(&self, backend: u32, bytes: u64) {
        self.with_counters(backend, |counters| {
            counters.reply_packets += 1;
            counters.reply_bytes += bytes;
        });
    }
}

/// Implements what has keys of one family with the tables of that family.
macro_rules! family_tables {
    ($family:ident, $field:ident, $bucket:ident, $prefix:ident, $directory:ident, $prefixes:ident) => {
        impl FamilyTables<$family> for MemoryTables {
            fn directory(&self) -> Active {
                self.content.$directory.active()
            }

            fn bucket(&self, index: u32) -> Option<&$bucket> {
                self.content.$directory.buckets.get(index as usize)
            }

            fn prefix(&self, key: &$prefix) -> Option<u32> {
                longest_prefix(&self.content.$prefixes, key)
            }

            fn flow<R>(
                &self,
                table: FlowTable,
                key: &<$family as Family>::FlowKey,
                visit: impl FnOnce(&mut <$family as Family>::Flow) -> R,
            ) -> Option<R> {
                self.$field.map(table).borrow_mut().get_mut(key).map(visit)
            }

            fn insert_flow(
                &self,
                table: FlowTable,
                key: &<$family as Family>::FlowKey,
                flow: &<$family as Family>::Flow,
            ) -> Result<(), InsertError> {
                self.$field.map(table).borrow_mut().insert(key, flow)
            }

            fn establish_flow(
                &self,
                key: &<$family as Family>::FlowKey,
            ) -> Result<(), EstablishError> {
                let half_open = self.$field.map(FlowTable::HalfOpen);
                let flow = half_open.borrow_mut().get_mut(key).copied();
                let flow = flow.ok_or(EstablishError::Missing)?;
                let established = self.$field.map(FlowTable::Established);
                let entered = established.borrow_mut().insert(key, &flow);
                entered.map_err(EstablishError::Insert)
            }

            fn remove_flow(&self, table: FlowTable, key: &<$family as Family>::FlowKey) {
                self.$field.map(table).borrow_mut().remove(key);
            }

            fn exception<R>(
                &self,
                key: &<$family as Family>::FlowKey,
                visit: impl FnOnce(&mut Exception) -> R,
            ) -> Option<R> {
                self.$field.exceptions.borrow_mut().get_mut(key).map(visit)
            }

            fn enter_exception(
                &self,
                key: &<$family as Family>::FlowKey,
                exception: &Exception,
            ) -> Option<()> {
                let mut exceptions = self.$field.exceptions.borrow_mut();
                exceptions.replace(key, exception).ok()
            }

            fn fragment(&self, key: &<$family as Family>::FlowKey) -> Option<FragmentPorts> {
                self.$field.fragments.borrow_mut().get_mut(key).copied()
            }

            fn remember_fragment(&self, key: &<$family as Family>::FlowKey, ports: FragmentPorts) {
                // The oldest give way, so there is always room.
                let _ = self.$field.fragments.borrow_mut().replace(key, &ports);
            }
        }
    };
}

family_tables!(V4, v4, BucketV4, PrefixKeyV4, directory, prefixes_v4);
family_tables!(V6, v6, BucketV6, PrefixKeyV6, directory_v6, prefixes_v6);

/// What the kernel's trie does: a key's first four bytes are its length in bits, host byte order.
fn longest_prefix<K: zerocopy::IntoBytes + zerocopy::Immutable>(
    prefixes: &[(K, u32)],
    key: &K,
) -> Option<u32> {
    let parts = |key: &K| {
        let bytes = key.as_bytes();
        let (length, data) = bytes.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        (length, data.to_vec())
    };
    let bit = |data: &[u8], i: u32| data[i as usize / 8] >> (7 - i % 8) & 1;
    let (_, wanted) = parts(key);
    prefixes
        .iter()
        .filter_map(|(prefix, service)| {
            let (length, data) = parts(prefix);
            let matches = (0..length).all(|i| bit(&data, i) == bit(&wanted, i));
            matches.then_some((length, *service))
        })
        .max_by_key(|(length, _)| *length)
        .map(|(_, service)| service)
}
