//! What a change would do to each service: the plan, told.

mod fields;
mod glass;

use std::net::IpAddr;
use std::sync::Arc;

use abi::slot::Slot;

use super::plan::NextHops;
use super::service::{Member, Roster, Standing};
use super::{Applied, Live, Plan, Prepared};
use crate::EngineError;
use crate::desired::{Desired, ForwardingMode, ServiceId, Track};
use crate::maps::{Maps, Room};
use glass::Glass;

/// What a change would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// In all; the flows that it would cost are in [`Self::disruption`].
    pub applied: Applied,
    /// The services that it touches: those of the new configuration in its order, then those whose
    /// flows others take, then those that go.
    pub services: Vec<ServicePreview>,
}

/// What becomes of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there. One that changes its mode is another service.
    Added,
    /// It is there, and something about it differs.
    Changed,
    /// It is no longer there.
    Removed,
}

/// What becomes of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendChange {
    /// It stays what it was, even if its share differs.
    Same,
    /// It was not there, not alive, or about to leave.
    Added,
    /// Something about it is configured differently.
    Changed,
    /// It is no longer configured, and keeps its flows until they are over.
    Leaves,
    /// It is down, or its service goes: its flows are lost.
    Dies,
}

/// A field that is configured differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// As it is called in the configuration.
    pub field: &'static str,
    /// What it was.
    pub old: String,
    /// What it will be.
    pub new: String,
}

/// A service that a change touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePreview {
    /// Which.
    pub id: ServiceId,
    /// Its mode, which cannot change.
    pub mode: ForwardingMode,
    /// What becomes of it.
    pub change: Change,
    /// Fields of its own that differ.
    pub fields: Vec<FieldChange>,
    /// Its backends, those that stay as they are included.
    pub backends: Vec<BackendPreview>,
    /// Which flows it enters in the exception table: as it was, if it was there, and as it will be.
    pub track: [Track; 2],
    /// Slots of its ring as it was; 0 if it had none.
    pub slots_before: u32,
    /// Slots of its ring as it will be; 0 if it goes.
    pub slots: u32,
    /// Slots that get another owner; all of a new ring.
    pub slots_moved: u64,
    /// Whether slots that change their owner lead old flows to the old one. Not in mode `nat`,
    /// whose flows are in tables, and not if it tracks nothing.
    pub transitions: bool,
    /// Services whose packets it takes, because its address or port says more. Empty unless added.
    pub takes_from: Vec<ServiceId>,
}

/// A backend of a service that a change touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendPreview {
    /// Its address.
    pub address: IpAddr,
    /// Its port; `None`: what the client asked for.
    pub port: Option<u16>,
    /// What becomes of it.
    pub change: BackendChange,
    /// Its fields that differ.
    pub fields: Vec<FieldChange>,
    /// Slots that it owns before and after.
    pub slots: [u32; 2],
    /// Whether new flows come to it, before and after.
    pub takes_new: [bool; 2],
    /// The index it has, if it is alive.
    pub index: Option<u32>,
    /// Slots, before the change, whose flows without an entry in a table belong to it: nobody
    /// knows how many these are. Always 0 in mode `nat`.
    pub untold_slots: u32,
    /// Answers to its flows are not found any more: in mode `nat` because the address that these
    /// come from is not ours any more, in mode `dnat` because it answers for another service.
    pub loses_answers: bool,
}

impl Live {
    /// What [`Self::apply`] would do, after an exchange of the program if it takes one. Nothing is
    /// written.
    ///
    /// # Errors
    /// What no exchange of the program can change: the seed, or the room that maps have at most.
    pub fn preview<M: Maps>(
        &self,
        maps: &M,
        desired: &Desired,
        next_hop: &NextHops<'_>,
    ) -> Result<Preview, EngineError> {
        self.other_settings(desired)?;
        let read = |index| maps.slot(index);
        let plan = self.plan(desired, next_hop, self.clock.ticks, Room::MOST, &read)?;
        Ok(self.told(&plan, &read))
    }

    fn told(&self, plan: &Plan, read: &dyn Fn(u32) -> Slot) -> Preview {
        let glass = Glass {
            live: self,
            plan,
            keys: plan.keys.as_ref().unwrap_or(&self.keys),
            read,
        };
        let stays = plan.touched.iter().filter_map(|identity| {
            let new = plan.services.get(identity)?;
            let old = self.services.get(identity);
            let preview = glass.service(old.map(Arc::as_ref), new);
            preview.is_worth_telling().then_some(preview)
        });
        let robbed = self.robbed(plan, &glass);
        let robbed = robbed.map(|roster| glass.service(Some(roster), roster));
        let gone = plan.removed.iter().filter_map(|removed| {
            let old = self
                .services
                .get(&(removed.desired.id, removed.desired.mode))?;
            Some(glass.removed(old))
        });
        Preview {
            applied: plan.applied,
            services: stays.chain(robbed).chain(gone).collect(),
        }
    }

    /// Services that are not touched themselves, but have a backend that leaves and answers for
    /// another from now on.
    fn robbed<'a>(
        &'a self,
        plan: &'a Plan,
        glass: &'a Glass<'a>,
    ) -> impl Iterator<Item = &'a Roster> {
        let same = self.services.iter().filter(|(identity, roster)| {
            let new = plan.services.get(identity);
            plan.keys.is_some() && new.is_some_and(|new| Arc::ptr_eq(new, roster))
        });
        same.map(|(_, roster)| Arc::as_ref(roster))
            .filter(|roster| {
                let leaving = |member: &&Member| member.standing == Standing::Leaving;
                let mut leaving = roster.members.iter().filter(leaving);
                leaving.any(|member| glass.answers_are_lost(member, roster))
            })
    }
}

impl Prepared<'_> {
    /// What it would do.
    pub fn preview<M: Maps>(&self, maps: &M) -> Preview {
        self.live.told(&self.plan, &|index| maps.slot(index))
    }
}

impl ServicePreview {
    /// Next hops alone are no change of a configuration, as long as flows do not mind.
    fn is_worth_telling(&self) -> bool {
        let backend = |backend: &BackendPreview| {
            backend.change != BackendChange::Same
                || !backend.fields.is_empty()
                || backend.loses_answers
        };
        self.change != Change::Changed
            || !self.fields.is_empty()
            || self.slots_moved > 0
            || self.backends.iter().any(backend)
    }

    /// The share of its slots that get another owner, from 0 to 1.
    #[must_use]
    pub fn share_moved(&self) -> f64 {
        share(self.slots_moved as f64, self.slots)
    }
}

impl BackendPreview {
    /// Its share of the service's slots before and after, from 0 to 1.
    #[must_use]
    pub fn shares(&self, service: &ServicePreview) -> [f64; 2] {
        let [before, after] = self.slots.map(f64::from);
        [
            share(before, service.slots_before),
            share(after, service.slots),
        ]
    }
}

fn share(slots: f64, of: u32) -> f64 {
    if of == 0 { 0.0 } else { slots / f64::from(of) }
}
