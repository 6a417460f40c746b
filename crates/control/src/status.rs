//! What a running instance tells about itself: `GET /v1/status` and `evenkeel status --json`.
//! Fields may be added; those that are here keep their meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::health::BackendHealth;

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// How changes of the configuration are getting on.
    pub transitions: TransitionStatus,
    /// Packets by reason, over all CPUs.
    pub reasons: BTreeMap<String, u64>,
    /// Packets by the CPU that met them, whatever became of them.
    #[serde(default)]
    pub packets_by_cpu: Vec<u64>,
    /// How configurations have been applied.
    #[serde(default)]
    pub applies: ApplyStatus,
    /// How often the kernel told of routes and neighbours faster than that was read, and all was
    /// read anew.
    #[serde(default)]
    pub netlink_overruns: u64,
    /// Which configuration is in force.
    #[serde(default)]
    pub configuration: ConfigurationStatus,
    /// How much memory it takes.
    #[serde(default)]
    pub memory: MemoryStatus,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// As `tcp://10.0.0.10:8000`.
    pub service: String,
    /// Forwarding mode.
    pub mode: String,
    /// `none`, `source` or `source-destination`.
    pub affinity: String,
    /// `auto`, `always` or `never`.
    pub track: String,
    /// Length of its ring.
    pub slots: u32,
    /// How it is served: `normal`, `panic` (too few backends are up, so all are used), `sorry` (only
    /// its sorry backends take new flows) or `empty` (nobody does).
    #[serde(default)]
    pub condition: String,
    /// Slots of it that are not steady.
    pub slots_changing: u32,
    /// Those of them that wait for the flows they have entered to end.
    #[serde(default)]
    pub slots_settling: u32,
    /// In the order of the configuration, then those that were removed and still have flows.
    pub backends: Vec<BackendStatus>,
}

/// A backend of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendStatus {
    /// As `10.0.0.2:8000`; `*` for the port the client asked for.
    pub address: String,
    /// `up`, `drain` or `down` as configured; `leaving` when it was removed and still has flows;
    /// `standby` while it is a sorry backend that is not needed;
    /// `unreachable` while it should have packets and its next hop is not known.
    pub state: String,
    /// What is wrong, if something is.
    pub problem: Option<String>,
    /// MAC of the next hop.
    pub mac: Option<String>,
    /// Interface packets to it leave by.
    pub interface: Option<String>,
    /// Source address of packets to it in mode `nat`, of outer headers in `ipip` and `gue`.
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
    /// What its checks say; `None` if it is not checked.
    #[serde(default)]
    pub health: Option<BackendHealth>,
    /// Flows that it has now, as far as they are known one by one; `None` if it has no index in the
    /// maps.
    pub flows: Option<u64>,
    /// Whether these are all: in mode `nat`. In other modes flows of steady slots are not known.
    pub flows_exact: bool,
    /// It takes no new flows, and as of the last sweep no flow and no slot leads to it any more: it
    /// can go.
    pub drained: bool,
}

/// Which configuration is in force, and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigurationStatus {
    /// The instance's own file, which a reload reads; `None`: it was started by flags.
    pub file: Option<String>,
    /// What is in force came from there.
    pub source: String,
    /// When it was put in force: milliseconds since 1970-01-01 00:00 UTC.
    pub applied_ms: u64,
    /// How many things were changed by hand.
    pub overrides: u64,
    /// How what is in force differs from the file as it is now, a sentence each.
    pub differs: Vec<String>,
}

/// How much memory an instance takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryStatus {
    /// Bytes of the process that are in memory.
    pub process_bytes: u64,
    /// Bytes of the data plane's maps, in the kernel.
    pub maps_bytes: u64,
}

/// Use of the flow tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// How changes of the configuration are getting on. Counts are since the start, unless they say
/// otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransitionStatus {
    /// Slots whose flows are being entered in the exception table, now.
    pub slots_in_transition: u64,
    /// Slots whose flows have all been entered and that wait for these to end, now.
    pub slots_settling: u64,
    /// Flows in the exception table, as of the last sweep.
    pub exceptions: u64,
    /// How many fit.
    pub exceptions_limit: u64,
    /// Flows that their slot's previous backend kept.
    pub kept_by_previous: u64,
    /// Flows that lost their backend because it died or was removed with its service, as far as
    /// they were known one by one.
    pub flows_lost: u64,
    /// How often a flow was not entered for lack of room or pace.
    pub refusals: u64,
    /// Backends that were removed and still have flows or slots, now.
    pub backends_leaving: u64,
}

/// How configurations have been applied, since the start; that one included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApplyStatus {
    /// Those that are or were in force.
    pub applied: u64,
    /// Those with an error in them, or that want what only a new start can do.
    pub refused: u64,
    /// Those that the data plane did not take.
    pub failed: u64,
    /// When the last one came into force, in seconds since 1970 (UTC).
    pub last_success_unix_seconds: Option<f64>,
    /// How long that took, from the configuration's check to its last write.
    pub last_duration_seconds: Option<f64>,
}

impl ApplyStatus {
    /// One came into force, now; it `took` this long.
    pub fn note_applied(&mut self, took: Duration) {
        self.applied += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.last_success_unix_seconds = now.ok().map(|now| now.as_secs_f64());
        self.last_duration_seconds = Some(took.as_secs_f64());
    }

    /// One was refused.
    pub fn note_refused(&mut self) {
        self.refused += 1;
    }

    /// The data plane did not take one.
    pub fn note_failed(&mut self) {
        self.failed += 1;
    }
}

/// What a reload did: the answer to `POST /v1/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Services of the configuration that is in force now.
    pub services: u64,
    /// Those that were not there before.
    pub services_added: u64,
    /// Those that are no longer there.
    pub services_removed: u64,
    /// Those of which anything is configured differently.
    pub services_changed: u64,
    /// Backends of the configuration that is in force now.
    pub backends: u64,
    /// Those that were not there, or not alive.
    pub backends_added: u64,
    /// Those that leave, and keep their flows until they are over.
    pub backends_removed: u64,
    /// Those that are dead from now on.
    pub backends_died: u64,
    /// Slots that have another owner.
    pub slots_changed: u64,
    /// Flows known one by one that lost their backend.
    pub flows_lost: u64,
    /// What is worth a second look, one sentence each.
    pub warnings: Vec<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "services: {} ({} added, {} removed, {} changed), \
             backends: {} ({} added, {} leaving, {} died); slots with another owner: {}",
            self.services,
            self.services_added,
            self.services_removed,
            self.services_changed,
            self.backends,
            self.backends_added,
            self.backends_removed,
            self.backends_died,
            self.slots_changed,
        )
    }
}
