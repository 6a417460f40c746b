//! What a running instance tells about itself: `GET /v1/status` and `evenkeel status --json`.
//! Fields may be added; those that are here keep their meaning.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// An instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub instance: String,
    /// Version of the program that runs it.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Interfaces the data plane is attached to.
    pub interfaces: Vec<InterfaceStatus>,
    /// Services in the order of the configuration.
    pub services: Vec<ServiceStatus>,
    /// Use of the flow tables.
    pub flows: FlowStatus,
    /// Packets by reason, over all CPUs.
    pub reasons: BTreeMap<String, u64>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name when the instance started.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MAC.
    pub mac: Option<String>,
    /// `native` or `generic`.
    pub mode: String,
    /// Why not in the driver, if that was tried.
    pub native_refused: Option<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// As `tcp://10.0.0.10:8000`.
    pub service: String,
    /// Forwarding mode.
    pub mode: String,
    /// `none` or `source`.
    pub affinity: String,
    /// Length of its ring.
    pub slots: u32,
    /// In the order of the configuration.
    pub backends: Vec<BackendStatus>,
}

/// A backend of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// As `10.0.0.2:8000`; `*` for the port the client asked for.
    pub address: String,
    /// `up`, or `unreachable` while its next hop is not known.
    pub state: String,
    /// What is wrong, if something is.
    pub problem: Option<String>,
    /// MAC of the next hop.
    pub mac: Option<String>,
    /// Interface packets to it leave by.
    pub interface: Option<String>,
    /// Source address of packets to it (`nat`).
    pub source: Option<String>,
    /// Configured weight.
    pub weight: u32,
    /// Part of the ring's slots it owns, 0 to 1.
    pub share: f64,
    /// Packets to it.
    pub packets: u64,
    /// Bytes of IP packets to it.
    pub bytes: u64,
    /// Packets from it.
    pub reply_packets: u64,
    /// Bytes of IP packets from it.
    pub reply_bytes: u64,
    /// Flows given to it.
    pub new_flows: u64,
}

/// Use of the flow tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// Established flows, closed ones that still rest included.
    pub established: u64,
    /// How many fit.
    pub established_limit: u64,
    /// Half-open flows.
    pub half_open: u64,
    /// How many fit before the oldest give way.
    pub half_open_limit: u64,
}

/// What a reload did: the answer to `POST /v1/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Services of the configuration that is in force now.
    pub services: usize,
    /// Their backends.
    pub backends: usize,
    /// What is worth a second look, one sentence each.
    pub warnings: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "reloaded: services: {}, backends: {}",
            self.services, self.backends
        )
    }
}
