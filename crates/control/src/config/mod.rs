//! Configuration: a TOML file or command-line flags become a validated
//! [`Desired`](engine::desired::Desired).
//!
//! The way of a file: `source` reads it, `reader` walks the TOML tree, `file` makes `raw` values
//! of it (through the short forms of `words`), `check` turns those into the validated types.
//! Flags enter at `raw`; `fields` describes what a file can say; `again` spares most of the way to a
//! text that is nearly the one before. Every step reports all it finds wrong, with positions, to
//! `problem`.

mod again;
mod check;
mod fields;
mod file;
mod flags;
mod flags_text;
mod host;
mod limits;
mod names;
mod origin;
mod problem;
mod raw;
mod reader;
mod settings;
mod source;
pub(crate) mod tree;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use again::Reading;
pub use fields::{json_schema, reference};
pub use file::{load, parse};
pub use flags::{FlagInput, from_flags};
pub use flags_text::flags_text;
pub use host::{Host, Listener};
pub use limits::{
    DEFAULT_SEED, MAX_BACKENDS, MAX_FILE_BYTES, MAX_FLOWS, MAX_INTERFACES, MAX_PREFIXES,
    MAX_QUIC_SERVERS, MAX_RATE, MAX_RING_SLOTS, MAX_SERVICES, MAX_TIMEOUT, MAX_TRANSITION_WINDOW,
    MAX_WEIGHT, MIN_NAT_PORT, MIN_RING_SLOTS,
};
pub use names::{BackendName, NameError, backend_name, service_name};
pub use origin::Origin;
pub use problem::{ConfigError, Problem, Problems};
pub use verdict::{FoundProblem, Verdict};
/// Whether a text that did not come from a file is short enough to be looked at; `name` is what
/// errors call it.
pub(crate) fn fits(name: &str, text: &str) -> Result<(), ConfigError> {
    source::fits(std::path::Path::new(name), text.len())
}

/// Reads the text of a file, as far as it is one that can be a configuration.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &std::path::Path) -> Result<String, ConfigError> {
    source::read(path)
}

pub use settings::{ApiSettings, DaemonSettings};

use std::collections::BTreeMap;

use engine::desired::{Desired, ServiceId};

use crate::health::ServiceHealth;

use crate::metrics::MetricsSettings;

/// A commented configuration that shows every field; it is itself valid.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A configuration without errors, and what is worth a second look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What the operator asked for.
    pub desired: Desired,
    /// Whether metrics are served, and where.
    pub metrics: MetricsSettings,
    /// What is said about the health of backends; services without any of it are not in it.
    pub health: BTreeMap<ServiceId, ServiceHealth>,
    /// Who may use the API.
    pub api: ApiSettings,
    /// What the process does by itself.
    pub daemon: DaemonSettings,
    /// One sentence each; [`Host::warnings`] finds those that depend on this host.
    pub warnings: Vec<String>,
}
