//! Configuration: a TOML file or command-line flags become a validated
//! [`Desired`](engine::desired::Desired).
//!
//! The way of a file: `source` reads it, `reader` walks the TOML tree, `file` makes `raw` values
//! of it (through the short forms of `words`), `check` turns those into the validated types.
//! Flags enter at `raw`. Every step reports all it finds wrong, with positions, to `problem`.

mod check;
mod file;
mod flags;
mod host;
mod limits;
mod origin;
mod problem;
mod raw;
mod reader;
mod source;
mod words;

#[cfg(test)]
mod tests;

pub use file::{load, parse};
pub use flags::{FlagInput, from_flags};
pub use host::{Host, Listener};
pub use limits::{
    DEFAULT_SEED, MAX_BACKENDS, MAX_FILE_BYTES, MAX_FLOWS, MAX_INTERFACES, MAX_PREFIXES,
    MAX_QUIC_SERVERS, MAX_RATE, MAX_RING_SLOTS, MAX_SERVICES, MAX_TIMEOUT, MAX_TRANSITION_WINDOW,
    MAX_WEIGHT, MIN_NAT_PORT, MIN_RING_SLOTS,
};
pub use origin::Origin;
pub use problem::{ConfigError, Problem, Problems};

use std::collections::BTreeMap;

use engine::desired::{Desired, ServiceId};

use crate::health::ServiceHealth;

/// A commented configuration that shows every field; it is itself valid.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A configuration without errors, and what is worth a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What the operator asked for.
    pub desired: Desired,
    /// What is said about the health of backends; services without any of it are not in it.
    pub health: BTreeMap<ServiceId, ServiceHealth>,
    /// One sentence each; [`Host::warnings`] finds those that depend on this host.
    pub warnings: Vec<String>,
}
