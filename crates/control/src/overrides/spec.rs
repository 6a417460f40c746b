//! A service and a backend as the API takes them: the fields of the configuration.

use engine::desired::BackendState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::tree::{Fields, Node};

/// A service, with the fields of `[[service]]` in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// As `tcp://10.0.0.10:443`.
    #[schema(example = "tcp://10.0.0.10:443")]
    pub address: String,
    /// How packets get to the backends; `nat` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ModeWord>,
    /// Which connections belong together; `none` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<AffinityWord>,
    /// Which flows are remembered one by one; `auto` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackWord>,
    /// How long a changed slot takes note of its flows, as `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition_window: Option<String>,
    /// Whether pings are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<bool>,
    /// Destination port of the outer UDP header, in mode `gue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub gue_port: Option<u16>,
    /// Slots of the ring, a power of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 64, maximum = 1_048_576)]
    pub ring_slots: Option<u32>,
    /// At least one.
    #[schema(min_items = 1)]
    pub backends: Vec<BackendSpec>,
}

/// A backend, with the fields that it has in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendSpec {
    /// As `10.0.0.2` or `10.0.0.2:8443`.
    #[schema(example = "10.0.0.2")]
    pub address: String,
    /// Its port, unless `address` says it; the service's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub port: Option<u16>,
    /// MAC of the next hop; looked up by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its share of new flows relative to the others'; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 65535)]
    pub weight: Option<u32>,
    /// `up` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateWord>,
    /// Destination port of the outer UDP header, in mode `gue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub gue_port: Option<u16>,
    /// Its id in QUIC connection IDs, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic_server_id: Option<String>,
}

/// A forwarding mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModeWord {
    /// Both addresses become others.
    Nat,
    /// The destination becomes the backend.
    Dnat,
    /// Only the destination MAC changes.
    L2Dsr,
    /// In an outer IP header.
    Ipip,
    /// In outer UDP and GUE headers.
    Gue,
}

/// Which connections belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AffinityWord {
    /// None.
    None,
    /// Those of a client.
    Source,
    /// Those of a client to an address.
    SourceDestination,
}

/// Which flows are remembered one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrackWord {
    /// Those whose slot changes.
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

/// What is wanted of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StateWord {
    /// It takes new flows.
    Up,
    /// It keeps its flows and takes no new ones.
    Drain,
    /// It is dead.
    Down,
}

impl From<StateWord> for BackendState {
    fn from(word: StateWord) -> Self {
        match word {
            StateWord::Up => Self::Up,
            StateWord::Drain => Self::Drain,
            StateWord::Down => Self::Down,
        }
    }
}

impl ServiceSpec {
    /// As it stands in a configuration.
    pub(super) fn node(&self) -> Option<Node> {
        fields_of(self).map(Node::Table)
    }
}

impl BackendSpec {
    /// As it stands in a configuration.
    pub(super) fn node(&self) -> Option<Node> {
        fields_of(self).map(Node::Table)
    }
}

fn fields_of(spec: &impl Serialize) -> Option<Fields> {
    Fields::parse(&toml::to_string(spec).ok()?)
}
