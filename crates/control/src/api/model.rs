//! What requests and answers are made of, beside the types of [`crate::status`], [`crate::plan`],
//! [`crate::event`] and [`crate::overrides`]. Fields may be added to answers; requests with unknown
//! fields are refused.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::overrides::{Override, StateWord};
use crate::status::{BackendStatus, ServiceStatus};

/// Services of a page, unless it says how many.
pub const PAGE_SERVICES: u64 = 100;
/// Services of the largest page.
pub const MAX_SERVICES: u64 = 1_000;
/// Flows of a page, unless it says how many.
pub const PAGE_FLOWS: u64 = 1_000;
/// Flows of the largest page.
pub const MAX_FLOWS: u64 = 10_000;

/// A page of the services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServicePage {
    /// In the order of the configuration.
    pub services: Vec<ServiceStatus>,
    /// What to give as `after` for the next page; `None`: this is the last one.
    pub next: Option<String>,
}

/// The backends of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendList {
    /// Its name.
    pub service: String,
    /// Those that are configured, then those that were removed and still have flows.
    pub backends: Vec<BackendStatus>,
}

/// A page of the flows that are known one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowPage {
    /// In an order that stays, so that each flow which lasts is on exactly one page.
    pub flows: Vec<Flow>,
    /// What to give as `after` for the next page; `None`: this is the last one.
    pub next: Option<String>,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Flow {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Address and port.
    pub client: String,
    /// Address and port that the client asked for.
    pub destination: String,
    /// The service; `None` if it is not configured any more.
    pub service: Option<String>,
    /// The backend; `None` if it is not known any more.
    pub backend: Option<String>,
    /// Where the flow is known from.
    pub table: FlowTable,
    /// How far it has come.
    pub state: FlowState,
    /// Since its last packet.
    pub idle_seconds: u64,
}

/// Where a flow is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowTable {
    /// The tables of mode `nat`, which have all its flows.
    Nat,
    /// The exception table, which has those whose slot was changing.
    Exception,
}

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlowState {
    /// Its handshake is not complete.
    HalfOpen,
    /// It goes on.
    Established,
    /// One side has said that it ends.
    Closing,
    /// It is over, and rests.
    Closed,
}

/// Which services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ServiceQuery {
    /// Services of this page, 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u64>,
    /// Those behind this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Which flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FlowQuery {
    /// Of this service, as `tcp://10.0.0.10:443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Of this backend, as `10.0.0.2` or `10.0.0.2:443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Of these clients, as `10.0.0.1` or `10.0.0.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Flows of this page, 1,000 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 10_000)]
    pub limit: Option<u64>,
    /// Those behind this one: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Which flows to forget: those that all of it is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlushRequest {
    /// Of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Of this backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Of these clients, an address or a prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// How many flows were forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Flushed {
    /// Of mode `nat`.
    pub nat: u64,
    /// Of the exception table.
    pub exceptions: u64,
}

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Those to come, too, until the connection ends.
    #[serde(default)]
    #[param(required = false)]
    pub follow: bool,
    /// Those with a larger number.
    #[serde(default)]
    #[param(required = false)]
    pub since: u64,
}

/// A configuration to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The text of a configuration; none: the instance's own file as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What errors call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A configuration to put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The text of a configuration; none: the instance's own file as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What errors and the status call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Flows may break. Otherwise nothing is changed if one would, or might.
    #[serde(default)]
    pub allow_disruption: bool,
}

/// How to read the file again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// What was changed by hand is so no longer.
    #[serde(default)]
    pub discard_overrides: bool,
}

/// How to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Packets are balanced on without the process.
    pub keep: bool,
}

/// What is to be different about a backend: one of it at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct BackendPatch {
    /// Whether it takes new flows, and keeps its old ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateWord>,
    /// Its share of new flows relative to the others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 65535)]
    pub weight: Option<u32>,
}

/// What was changed by hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverrideList {
    /// In the order that it happened in.
    pub overrides: Vec<Override>,
}
