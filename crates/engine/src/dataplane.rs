//! The loaded program and its maps.
//!
//! - `load`: into the kernel, with maps of the right sizes.
//! - `pinned`: with maps that outlive the process, or that an earlier one left.
//! - `migrate`: an earlier version's maps.
//! - `found`: what the maps hold, whoever filled them.
//! - `write`: into the maps that lead packets to backends, while they flow.
//! - `attach`: onto interfaces and off again.
//! - `run`: on single frames, without an interface.
//! - `read`: counters, reports, flows.

mod attach;
#[cfg(feature = "bench")]
mod bench;
mod found;
mod load;
mod migrate;
mod pinned;
mod read;
mod run;
mod write;

use abi::control::Settings;
use abi::family::Family;
use abi::layout::Layout;
use aya::Ebpf;
use aya::programs::Xdp;

pub use crate::maps::FlowTable;
pub use attach::{AttachMode, AttachedMode, Attachment, program_name};
pub(crate) use attach::{attach, detach};
#[cfg(feature = "bench")]
pub use bench::ProgramFacts;
pub use found::Found;
#[cfg(test)]
pub(crate) use found::sources;
pub(crate) use run::run;
pub use run::{TestOutcome, action};

use crate::EngineError;
use crate::bpf::{MappedArray, RawMap};
use crate::capabilities;
use crate::pins::Pins;
use attach::Attached;

/// The program, loaded, with its maps.
#[derive(Debug)]
pub struct DataPlane {
    ebpf: Ebpf,
    settings: Settings,
    attached: Vec<Attached>,
    /// Where maps and links outlive the process; `None`: they go with this value.
    pins: Option<Pins>,
    /// What packets are led by, and how it is laid out.
    lead: MappedArray,
    layout: Layout,
    quic_servers: RawMap,
    v4: FamilyMaps,
    v6: FamilyMaps,
    paces: RawMap,
    backend_counters: RawMap,
    reason_counters: RawMap,
    interfaces: RawMap,
    report: RawMap,
    cpus: usize,
}

/// The maps of one family.
#[derive(Debug)]
struct FamilyMaps {
    /// Which copy of the directory is active, if one has been written.
    active: Option<Half>,
    prefixes: RawMap,
    established: RawMap,
    half_open: RawMap,
    exceptions: RawMap,
    names: FamilyNames,
}

/// One of two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

/// Their names, for errors.
#[derive(Debug)]
struct FamilyNames {
    prefixes: &'static str,
    established: &'static str,
    half_open: &'static str,
    exceptions: &'static str,
}

impl DataPlane {
    /// What the program was loaded with.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    fn family<F: Family>(&self) -> &FamilyMaps {
        if F::IS_V6 { &self.v6 } else { &self.v4 }
    }

    fn family_mut<F: Family>(&mut self) -> &mut FamilyMaps {
        if F::IS_V6 { &mut self.v6 } else { &mut self.v4 }
    }
}

impl FamilyMaps {
    fn flows(&self, table: FlowTable) -> (&RawMap, &'static str) {
        match table {
            FlowTable::Established => (&self.established, self.names.established),
            FlowTable::HalfOpen => (&self.half_open, self.names.half_open),
        }
    }
}

pub(crate) fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp, EngineError> {
    ebpf.program_mut(name)
        .ok_or_else(|| EngineError::Load(format!("the object has no program {name}")))?
        .try_into()
        .map_err(load_error)
}

pub(crate) fn map_error(
    map: &'static str,
    operation: &'static str,
) -> impl Fn(std::io::Error) -> EngineError {
    move |source| EngineError::Map {
        map,
        operation,
        source,
    }
}

pub(crate) fn load_error(error: impl std::error::Error) -> EngineError {
    let mut text = chain(&error);
    // What the verifier says then is a long way to say the same as the hint.
    if !capabilities::missing().is_empty() {
        let end = text.find('\n').unwrap_or(text.len());
        text.truncate(end);
    }
    EngineError::Load(text)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
