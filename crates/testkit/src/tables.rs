//! The maps in memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use abi::backend::Backend;
use abi::control::{Control, Settings};
use abi::counters::BackendCounters;
use abi::directory::BucketV4;
use abi::flow::{FlowKeyV4, FlowV4};
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;
use datapath::{EstablishError, FlowTable, InsertError, Tables};

use crate::content::Content;
use crate::flow_map::{FlowMap, WhenFull};

/// Most entries of the flow tables: two for each flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Of the table that never evicts.
    pub established: usize,
    /// Of the table in which the oldest give way.
    pub half_open: usize,
}

/// All maps, in memory.
#[derive(Debug)]
pub struct MemoryTables {
    /// Everything but the flows.
    pub content: Content,
    now: Cell<u32>,
    established: RefCell<FlowMap>,
    half_open: RefCell<FlowMap>,
    reasons: RefCell<[u64; Reason::COUNT]>,
    backends: RefCell<Vec<BackendCounters>>,
}

impl MemoryTables {
    /// No flows yet; the clock at 0.
    #[must_use]
    pub fn new(content: Content, capacities: Capacities) -> Self {
        let backends = vec![BackendCounters::default(); content.backends.len()];
        Self {
            content,
            now: Cell::new(0),
            established: FlowMap::new(capacities.established, WhenFull::Refuse).into(),
            half_open: FlowMap::new(capacities.half_open, WhenFull::EvictOldest).into(),
            reasons: RefCell::new([0; Reason::COUNT]),
            backends: backends.into(),
        }
    }

    /// Sets the clock, in jiffies.
    pub fn set_now(&self, jiffies: u32) {
        self.now.set(jiffies);
    }

    /// A copy of a flow table.
    #[must_use]
    pub fn flows(&self, table: FlowTable) -> BTreeMap<FlowKeyV4, FlowV4> {
        self.map(table).borrow().entries()
    }

    /// Packets with this reason.
    #[must_use]
    pub fn reason_count(&self, reason: Reason) -> u64 {
        self.reasons.borrow()[reason as usize]
    }

    /// A backend's counters.
    #[must_use]
    pub fn backend_counters(&self, index: u32) -> BackendCounters {
        self.backends.borrow()[index as usize]
    }

    fn map(&self, table: FlowTable) -> &RefCell<FlowMap> {
        match table {
            FlowTable::Established => &self.established,
            FlowTable::HalfOpen => &self.half_open,
        }
    }

    fn with_counters(&self, backend: u32, change: impl FnOnce(&mut BackendCounters)) {
        if let Some(counters) = self.backends.borrow_mut().get_mut(backend as usize) {
            change(counters);
        }
    }
}

impl Tables for MemoryTables {
    fn settings(&self) -> Settings {
        self.content.settings
    }

    fn control(&self) -> Control {
        self.content.control()
    }

    fn now(&self) -> u32 {
        self.now.get()
    }

    fn bucket_v4(&self, index: u32) -> Option<&BucketV4> {
        self.content.directory.get(index as usize)
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

    fn flow<R>(
        &self,
        table: FlowTable,
        key: &FlowKeyV4,
        visit: impl FnOnce(&mut FlowV4) -> R,
    ) -> Option<R> {
        self.map(table).borrow_mut().get_mut(key).map(visit)
    }

    fn insert_flow(
        &self,
        table: FlowTable,
        key: &FlowKeyV4,
        flow: &FlowV4,
    ) -> Result<(), InsertError> {
        self.map(table).borrow_mut().insert(key, flow)
    }

    fn establish_flow(&self, key: &FlowKeyV4) -> Result<(), EstablishError> {
        let flow = self
            .flow(FlowTable::HalfOpen, key, |flow| *flow)
            .ok_or(EstablishError::Missing)?;
        self.insert_flow(FlowTable::Established, key, &flow)
            .map_err(EstablishError::Insert)
    }

    fn remove_flow(&self, table: FlowTable, key: &FlowKeyV4) {
        self.map(table).borrow_mut().remove(key);
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
