//! Health of backends: which of them take flows, and how many.
//!
//! `settings` is what the configuration says. `machine` makes states of results, `board` holds
//! what is known about every backend, `target` makes of file and board what should be in force
//! (all pure); `check` runs the checks, `schedule` says when, `watch` is the handle to it all.

mod board;
mod check;
mod machine;
mod outcome;
mod report;
mod schedule;
mod settings;
mod subjects;
mod target;
mod watch;

#[cfg(test)]
mod namespace_tests;

pub use board::{Board, Endpoint, Saved, Transition};
pub use machine::{State, Step};
pub use report::{BackendHealth, CheckReport};
pub use settings::{
    Check, CheckKind, HttpCheck, HttpVersion, OnDown, ServiceHealth, StatusRanges, Timing,
    TlsSettings, Trust, Via,
};
pub(crate) use target::{Condition, Target, target};
pub use watch::{BoardGuard, BoardReader, Changes, Health};
