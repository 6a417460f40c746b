//! What a change would do to flows.

use std::collections::HashMap;

use abi::family::{Family, V4, V6};
use abi::flow::{FORWARD, Flow as _};

use super::preview::{BackendChange, BackendPreview, Change, Preview, ServicePreview};
use crate::EngineError;
use crate::desired::{ForwardingMode, Protocol, Track};
use crate::maps::{FlowTable, Maps};

/// How many flows each backend has, by its index, as far as they are known one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    nat: HashMap<u32, u64>,
    entries: HashMap<u32, u64>,
    established: u64,
    half_open: u64,
}

impl FlowCounts {
    /// Flows of a backend in the tables of mode `nat`: all that it has.
    #[must_use]
    pub fn nat(&self, backend: u32) -> u64 {
        self.nat.get(&backend).copied().unwrap_or(0)
    }

    /// Flows of a backend in the exception table: those of steady slots are not in it, unless the
    /// service tracks always.
    #[must_use]
    pub fn entries(&self, backend: u32) -> u64 {
        self.entries.get(&backend).copied().unwrap_or(0)
    }

    /// Flows of mode `nat` in a table, over all backends.
    #[must_use]
    pub fn in_table(&self, table: FlowTable) -> u64 {
        match table {
            FlowTable::Established => self.established,
            FlowTable::HalfOpen => self.half_open,
        }
    }
}

/// Counts the flows of all tables. Reads every entry.
pub fn flows_of<M: Maps>(maps: &M) -> Result<FlowCounts, EngineError> {
    let mut counts = FlowCounts::default();
    count::<V4, M>(maps, &mut counts)?;
    count::<V6, M>(maps, &mut counts)?;
    Ok(counts)
}

fn count<F: Family, M: Maps>(maps: &M, counts: &mut FlowCounts) -> Result<(), EngineError> {
    for table in [FlowTable::Established, FlowTable::HalfOpen] {
        let mut flows = 0;
        maps.for_each_flow::<F>(table, &mut |_, flow| {
            let state = flow.state();
            // Each flow has an entry for either direction.
            if state.direction == FORWARD {
                *counts.nat.entry(state.backend).or_insert(0) += 1;
                flows += 1;
            }
        })?;
        match table {
            FlowTable::Established => counts.established += flows,
            FlowTable::HalfOpen => counts.half_open += flows,
        }
    }
    maps.for_each_exception::<F>(&mut |_, entry| {
        *counts.entries.entry(entry.backend).or_insert(0) += 1;
    })
}

/// What a change would do to the flows of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowEffects {
    /// Known flows of backends that leave or drain: they stay there until they are over.
    pub drain: u64,
    /// There may be more of these, which nobody knows.
    pub drain_unknown: bool,
    /// Known flows that would break.
    pub breaks: u64,
    /// There may be more of these, which nobody knows.
    pub breaks_unknown: bool,
    /// Flows may move to another backend, as `track` says they may: with `"never"` those of slots
    /// that change their owner, with `"auto"` the UDP flows of a backend that drains.
    pub may_move: bool,
}

/// What a change would cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disruption {
    /// Known flows that would break.
    pub breaks: u64,
    /// There may be more, which nobody knows.
    pub unknown: bool,
}

impl Disruption {
    /// Whether a flow would break, or might.
    #[must_use]
    pub fn breaks_anything(self) -> bool {
        self.breaks > 0 || self.unknown
    }
}

impl Preview {
    /// What the change would cost, all services together.
    #[must_use]
    pub fn disruption(&self, counts: &FlowCounts) -> Disruption {
        let mut disruption = Disruption::default();
        for service in &self.services {
            let effects = service.effects(counts);
            disruption.breaks += effects.breaks;
            disruption.unknown |= effects.breaks_unknown;
        }
        disruption
    }

    /// Whether a flow could break, however many there are: if not, nobody needs to count them.
    #[must_use]
    pub fn can_break(&self) -> bool {
        self.services.iter().any(ServicePreview::can_break)
    }
}

impl ServicePreview {
    fn can_break(&self) -> bool {
        self.breaks_unseen() || self.backends.iter().any(BackendPreview::loses_flows)
    }

    /// Whether flows may break that no backend tells of.
    fn breaks_unseen(&self) -> bool {
        !self.takes_from.is_empty() || self.is_hashed_otherwise()
    }

    /// What the change would do to the flows of this service.
    #[must_use]
    pub fn effects(&self, counts: &FlowCounts) -> FlowEffects {
        let mut effects = FlowEffects {
            breaks_unknown: self.breaks_unseen(),
            ..FlowEffects::default()
        };
        let is_kept = self.change == Change::Changed;
        effects.may_move =
            is_kept && self.is_stateless() && !self.transitions && self.slots_moved > 0;
        for backend in &self.backends {
            let known = self.flows(backend, counts);
            let unknown = self.has_untold_flows(backend);
            if backend.loses_flows() {
                effects.breaks += known;
                effects.breaks_unknown |= unknown;
                continue;
            }
            let moves = unknown && backend.hands_slots_over() && self.moves_udp();
            effects.may_move |= moves;
            if backend.drains() {
                effects.drain += known;
                effects.drain_unknown |= unknown && !moves;
            }
        }
        effects
    }

    /// Known flows of a backend.
    #[must_use]
    pub fn flows(&self, backend: &BackendPreview, counts: &FlowCounts) -> u64 {
        let count = |index| match self.is_stateless() {
            true => counts.entries(index),
            false => counts.nat(index),
        };
        backend.index.map_or(0, count)
    }

    /// Whether a backend may have flows that are not known one by one.
    #[must_use]
    pub fn has_untold_flows(&self, backend: &BackendPreview) -> bool {
        backend.untold_slots > 0 && self.track[0] != Track::Always
    }

    fn is_stateless(&self) -> bool {
        self.mode != ForwardingMode::Nat
    }

    /// Whether unknown flows of a backend that drains are taken for new ones.
    fn moves_udp(&self) -> bool {
        self.id.protocol == Protocol::Udp && self.track[1] != Track::Always
    }

    /// Whether flows fall on other slots than before, or on other backends without regard to slots.
    fn is_hashed_otherwise(&self) -> bool {
        let differs = |fields: &[super::FieldChange], names: &[&str]| {
            fields.iter().any(|change| names.contains(&change.field))
        };
        let id = |backend: &BackendPreview| {
            backend.change == BackendChange::Changed
                && differs(&backend.fields, &["quic_server_id"])
        };
        self.is_stateless()
            && (differs(&self.fields, &["affinity", "quic"]) || self.backends.iter().any(id))
    }
}

impl BackendPreview {
    fn loses_flows(&self) -> bool {
        self.change == BackendChange::Dies || self.loses_answers
    }

    /// Whether it takes no new flows, and others get slots of it. It may have drained before: the last
    /// one keeps its slots until somebody comes.
    fn hands_slots_over(&self) -> bool {
        !self.takes_new[1] && self.slots[1] < self.slots[0]
    }

    /// Whether it keeps its flows and takes no new ones from now on.
    #[must_use]
    pub fn drains(&self) -> bool {
        let stays = !matches!(self.change, BackendChange::Dies | BackendChange::Added);
        stays && self.takes_new == [true, false] || self.change == BackendChange::Leaves
    }
}
