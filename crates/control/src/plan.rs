//! What a configuration would change in a running instance, for people and for programs.

mod settings;
#[cfg(test)]
mod tests;
mod text;

use engine::EngineError;
use engine::desired::Desired;
use engine::live::{
    BackendChange, BackendPreview, Change, FieldChange, FlowCounts, Live, NextHops, Preview,
    ServicePreview, flows_of,
};
use engine::maps::Maps;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::health::Endpoint;
pub(crate) use settings::of_the_process;

/// What would change, service by service. As JSON, new fields may be added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanReport {
    /// Services that would be touched: those of the new configuration in its order, then those that
    /// would go.
    pub services: Vec<ServicePlan>,
    /// Fields outside of services that are configured differently, as the file calls them.
    #[serde(default)]
    pub settings: Vec<FieldPlan>,
    /// Interfaces whose packets are not balanced any more: their flows break.
    #[serde(default)]
    pub interfaces_released: Vec<String>,
    /// Services that were not there before.
    pub services_added: u64,
    /// Services of which anything is configured differently.
    pub services_changed: u64,
    /// Services that are no longer there.
    pub services_removed: u64,
    /// Backends that were not there, or not alive.
    pub backends_added: u64,
    /// Backends that leave, and keep their flows until they are over.
    pub backends_removed: u64,
    /// Backends that are dead from then on; those of removed services are not counted.
    pub backends_died: u64,
    /// Slots that get another owner, those of new services included.
    pub slots_moved: u64,
    /// Flows, known one by one, that would break.
    pub breaks: u64,
    /// There may be more that would break: steady slots lead flows that are not known one by one.
    pub breaks_unknown: bool,
}

/// A service that would be touched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServicePlan {
    /// `tcp://10.0.0.10:80`.
    pub service: String,
    /// Its mode. One that changes its mode is removed, and another is added.
    pub mode: String,
    /// What becomes of it.
    pub change: ServiceFate,
    /// Fields of its own that differ.
    pub fields: Vec<FieldPlan>,
    /// Its backends, those that stay as they are included.
    pub backends: Vec<BackendPlan>,
    /// Slots of its ring before; 0 if there is none.
    pub slots_before: u32,
    /// Slots of its ring after; 0 if there is none.
    pub slots: u32,
    /// Slots that get another owner; all of a new ring.
    pub slots_moved: u64,
    /// The same as a share, from 0 to 1.
    pub share_moved: f64,
    /// Whether slots with another owner keep old flows at the old one. Not in mode `nat`, which
    /// has them in a table, and not with `track = "never"`.
    pub transitions: bool,
    /// Services whose packets it takes, because its address or port says more.
    pub takes_from: Vec<String>,
    /// What becomes of its flows.
    pub flows: FlowPlan,
}

/// What becomes of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceFate {
    /// It was not there.
    Added,
    /// Something about it differs.
    Changed,
    /// It is no longer there: its flows break.
    Removed,
}

/// What becomes of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackendFate {
    /// It stays what it was, even if its share differs.
    Same,
    /// It was not there, not alive, or about to leave.
    Added,
    /// Something about it is configured differently.
    Changed,
    /// It is no longer configured, and keeps its flows until they are over.
    Leaves,
    /// It is down, or its service goes: its flows break.
    Dies,
}

/// A field that is configured differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldPlan {
    /// As it is called in the configuration.
    pub field: String,
    /// What it was.
    pub old: String,
    /// What it would be.
    pub new: String,
}

/// A backend of a service that would be touched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendPlan {
    /// `10.0.0.2:80`, with `*` for the port that the client asked for.
    pub backend: String,
    /// What becomes of it.
    pub change: BackendFate,
    /// Whether answers to its flows are not found any more: they break. In mode `dnat` because it
    /// answers for another service from then on, in `nat` because the address that the flows come
    /// from is not the instance's any more.
    #[serde(default)]
    pub loses_answers: bool,
    /// Its fields that differ.
    pub fields: Vec<FieldPlan>,
    /// Share of new flows before, from 0 to 1.
    pub share_before: f64,
    /// Share of new flows after, from 0 to 1.
    pub share: f64,
    /// Its flows that are known one by one.
    pub flows: u64,
    /// Whether it may have more: steady slots lead flows that are not known one by one.
    pub flows_unknown: bool,
}

/// What becomes of a service's flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowPlan {
    /// Known flows of backends that leave or drain: they stay until they are over.
    pub drain: u64,
    /// There may be more of these.
    pub drain_unknown: bool,
    /// Known flows that would break.
    pub breaks: u64,
    /// There may be more of these.
    pub breaks_unknown: bool,
    /// Flows may move to another backend, as `track` says they may: with `"never"` those of slots
    /// that get another owner, with `"auto"` the UDP flows of a backend that drains.
    pub may_move: bool,
}

impl PlanReport {
    /// Whether a flow would break, or might.
    #[must_use]
    pub fn breaks_anything(&self) -> bool {
        self.breaks > 0 || self.breaks_unknown
    }
}

/// What `new` would change in `live`, whose maps are `maps`. Nothing is written.
///
/// # Errors
/// What applying it would say: something that needs a restart, or does not fit.
pub fn report<M: Maps>(
    live: &Live,
    maps: &M,
    new: &Desired,
    next_hops: &NextHops<'_>,
) -> Result<PlanReport, EngineError> {
    let preview = live.preview(maps, new, next_hops)?;
    // Reads all tables of flows: not needed if nothing is touched.
    let counts = match preview.services.is_empty() {
        true => FlowCounts::default(),
        false => flows_of(maps)?,
    };
    Ok(told(&preview, [live.desired(), new], &counts))
}

/// The report of a preview if flows would break, or might; `None` if none would. `between`: what is
/// in force, and what would be.
///
/// # Errors
/// Tables of flows cannot be read.
pub fn disruption<M: Maps>(
    preview: &Preview,
    between: [&Desired; 2],
    maps: &M,
) -> Result<Option<PlanReport>, EngineError> {
    if !preview.can_break() && settings::released(between).is_empty() {
        return Ok(None);
    }
    let report = told(preview, between, &flows_of(maps)?);
    Ok(report.breaks_anything().then_some(report))
}

fn told(preview: &Preview, between: [&Desired; 2], counts: &FlowCounts) -> PlanReport {
    let (applied, disruption) = (preview.applied, preview.disruption(counts));
    let services = preview.services.iter();
    let released = settings::released(between);
    PlanReport {
        services: services.map(|preview| service(preview, counts)).collect(),
        settings: settings::differences(between),
        services_added: applied.services_added,
        services_changed: applied.services_changed,
        services_removed: applied.services_removed,
        backends_added: applied.backends_added,
        backends_removed: applied.backends_removed,
        backends_died: applied.backends_died,
        slots_moved: applied.slots_changed,
        breaks: disruption.breaks,
        breaks_unknown: disruption.unknown || !released.is_empty(),
        interfaces_released: released,
    }
}

fn service(preview: &ServicePreview, counts: &FlowCounts) -> ServicePlan {
    let effects = preview.effects(counts);
    let backends = preview.backends.iter();
    ServicePlan {
        service: preview.id.to_string(),
        mode: preview.mode.to_string(),
        change: match preview.change {
            Change::Added => ServiceFate::Added,
            Change::Changed => ServiceFate::Changed,
            Change::Removed => ServiceFate::Removed,
        },
        fields: fields(&preview.fields),
        backends: backends.map(|b| backend(preview, b, counts)).collect(),
        slots_before: preview.slots_before,
        slots: preview.slots,
        slots_moved: preview.slots_moved,
        share_moved: preview.share_moved(),
        transitions: preview.transitions,
        takes_from: preview.takes_from.iter().map(ToString::to_string).collect(),
        flows: FlowPlan {
            drain: effects.drain,
            drain_unknown: effects.drain_unknown,
            breaks: effects.breaks,
            breaks_unknown: effects.breaks_unknown,
            may_move: effects.may_move,
        },
    }
}

fn backend(service: &ServicePreview, backend: &BackendPreview, counts: &FlowCounts) -> BackendPlan {
    let [share_before, share] = backend.shares(service);
    let (address, port) = (backend.address, backend.port);
    BackendPlan {
        backend: Endpoint { address, port }.to_string(),
        change: match backend.change {
            BackendChange::Same => BackendFate::Same,
            BackendChange::Added => BackendFate::Added,
            BackendChange::Changed => BackendFate::Changed,
            BackendChange::Leaves => BackendFate::Leaves,
            BackendChange::Dies => BackendFate::Dies,
        },
        loses_answers: backend.loses_answers,
        fields: fields(&backend.fields),
        share_before,
        share,
        flows: service.flows(backend, counts),
        flows_unknown: service.has_untold_flows(backend),
    }
}

fn fields(changes: &[FieldChange]) -> Vec<FieldPlan> {
    let field = |change: &FieldChange| FieldPlan {
        field: change.field.into(),
        old: change.old.clone(),
        new: change.new.clone(),
    };
    changes.iter().map(field).collect()
}
