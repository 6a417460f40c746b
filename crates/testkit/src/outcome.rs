//! What became of a packet, natively or in the kernel.

use abi::counters::Report;
use abi::reason::Reason;

use crate::frame::{Frame, Routes};
use crate::tables::MemoryTables;

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub reason: Reason,
    /// Index of the service or [`abi::NO_INDEX`].
    pub service: u32,
    /// Index of the backend or [`abi::NO_INDEX`].
    pub backend: u32,
    /// Index of the interface it leaves by, or 0.
    pub interface: u32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
}

impl Outcome {
    /// From what the program reports.
    #[must_use]
    pub fn of_report(report: &Report, frame: Vec<u8>) -> Self {
        Self {
            reason: Reason::from_number(report.reason).expect("the program reports known reasons"),
            service: report.service,
            backend: report.backend,
            interface: report.interface,
            frame,
        }
    }
}

/// Sends a frame through the native data path.
#[must_use]
pub fn process(tables: &MemoryTables, bytes: &[u8], ingress_interface: u32) -> Outcome {
    process_with(tables, bytes, ingress_interface, Routes::Back)
}

/// The same on a host with other routes.
#[must_use]
pub fn process_with(
    tables: &MemoryTables,
    bytes: &[u8],
    ingress_interface: u32,
    routes: Routes,
) -> Outcome {
    let mut frame = Frame {
        bytes: bytes.to_vec(),
        ingress_interface,
        routes,
    };
    let verdict = datapath::process(&mut frame, tables);
    Outcome {
        reason: verdict.reason,
        service: verdict.service,
        backend: verdict.backend,
        interface: verdict.interface,
        frame: frame.bytes,
    }
}
