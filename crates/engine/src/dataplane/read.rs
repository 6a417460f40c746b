//! Counters and the last report; and what tests put into the tables of flows.

use abi::counters::{BackendCounters, Report};
use abi::exception::Exception;
use abi::family::Family;
use abi::maps;
use abi::pace::{self, Pace};
use abi::reason::Reason;

use super::{DataPlane, FlowTable, map_error};
use crate::EngineError;

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

    /// Packets by the CPU that met them, whatever became of them.
    pub fn packets_by_cpu(&self) -> Result<Vec<u64>, EngineError> {
        let mut packets = vec![0; self.cpus];
        for reason in 0..Reason::COUNT as u32 {
            let counts: Vec<u64> = self
                .reason_counters
                .get_per_cpu(reason, self.cpus)
                .map_err(map_error(maps::REASON_COUNTERS, "read"))?;
            for (sum, count) in packets.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        Ok(packets)
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

    /// Enters or replaces an entry of a table of `nat` flows.
    pub fn set_flow<F: Family>(
        &self,
        table: FlowTable,
        key: &F::FlowKey,
        flow: &F::Flow,
    ) -> Result<(), EngineError> {
        let (map, name) = self.family::<F>().flows(table);
        map.set(key, flow).map_err(map_error(name, "write"))
    }

    /// Enters or replaces an entry of the exception table.
    pub fn set_exception<F: Family>(
        &self,
        key: &F::FlowKey,
        exception: &Exception,
    ) -> Result<(), EngineError> {
        let family = self.family::<F>();
        family
            .exceptions
            .set(key, exception)
            .map_err(map_error(family.names.exceptions, "write"))
    }

    /// Sets every CPU's pace of entering exceptions.
    pub fn set_exception_pace(&self, pace: &Pace) -> Result<(), EngineError> {
        self.paces
            .set_per_cpu(pace::EXCEPTIONS, self.cpus, pace)
            .map_err(map_error(maps::PACES, "write"))
    }
}
