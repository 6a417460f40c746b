//! Counters, the last report, and the flow tables.

use abi::counters::{BackendCounters, Report};
use abi::flow::{FlowKeyV4, FlowV4};
use abi::maps;
use abi::reason::Reason;

use super::{DataPlane, map_error};
use crate::EngineError;
use crate::bpf::RawMap;

/// Entries read from a flow table by one system call.
const SWEEP_BATCH: usize = 4096;

/// Which table of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowTable {
    /// Handshake complete.
    Established,
    /// The others.
    HalfOpen,
}

impl DataPlane {
    /// What became of the last packet, if the program was loaded to report.
    pub fn last_report(&self) -> Result<Report, EngineError> {
        self.report
            .get(&0_u32)
            .map(Option::unwrap_or_default)
            .map_err(map_error(maps::REPORT, "read"))
    }

    /// Packets by reason number, over all CPUs.
    pub fn reason_counters(&self) -> Result<Vec<u64>, EngineError> {
        (0..Reason::COUNT as u32)
            .map(|reason| {
                let counts: Vec<u64> = self
                    .reason_counters
                    .get_per_cpu(reason, self.cpus)
                    .map_err(map_error(maps::REASON_COUNTERS, "read"))?;
                Ok(counts.iter().sum())
            })
            .collect()
    }

    /// A backend's counters, over all CPUs.
    pub fn backend_counters(&self, index: u32) -> Result<BackendCounters, EngineError> {
        let counts: Vec<BackendCounters> = self
            .backend_counters
            .get_per_cpu(index, self.cpus)
            .map_err(map_error(maps::BACKEND_COUNTERS, "read"))?;
        Ok(counts
            .iter()
            .fold(BackendCounters::default(), |sum, one| BackendCounters {
                packets: sum.packets + one.packets,
                bytes: sum.bytes + one.bytes,
                reply_packets: sum.reply_packets + one.reply_packets,
                reply_bytes: sum.reply_bytes + one.reply_bytes,
                new_flows: sum.new_flows + one.new_flows,
                reserved: [0; 3],
            }))
    }

    /// Calls `visit` with every entry of a flow table.
    pub fn for_each_flow(
        &self,
        table: FlowTable,
        visit: impl FnMut(&FlowKeyV4, &FlowV4),
    ) -> Result<(), EngineError> {
        let (map, name) = self.flows(table);
        map.for_each(SWEEP_BATCH, visit)
            .map_err(map_error(name, "read"))
    }

    /// An entry of a flow table.
    pub fn flow(&self, table: FlowTable, key: &FlowKeyV4) -> Result<Option<FlowV4>, EngineError> {
        let (map, name) = self.flows(table);
        map.get(key).map_err(map_error(name, "read"))
    }

    /// Enters or replaces an entry of a flow table.
    pub fn set_flow(
        &self,
        table: FlowTable,
        key: &FlowKeyV4,
        flow: &FlowV4,
    ) -> Result<(), EngineError> {
        let (map, name) = self.flows(table);
        map.set(key, flow).map_err(map_error(name, "write"))
    }

    /// Removes an entry of a flow table; says whether it was there.
    pub fn remove_flow(&self, table: FlowTable, key: &FlowKeyV4) -> Result<bool, EngineError> {
        let (map, name) = self.flows(table);
        map.remove(key).map_err(map_error(name, "delete"))
    }

    fn flows(&self, table: FlowTable) -> (&RawMap, &'static str) {
        match table {
            FlowTable::Established => (&self.established, maps::ESTABLISHED_V4),
            FlowTable::HalfOpen => (&self.half_open, maps::HALF_OPEN_V4),
        }
    }
}
