//! The live state to look at.

use abi::slot;

use super::Live;
use super::arena::Region;
use super::service::{Changing, Member, Roster, Standing};
use crate::EngineError;
use crate::desired::{Backend, Service};
use crate::maps::Maps;

/// How the transitions are getting on: as of the last sweep, unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Slots in transition, now.
    pub slots_in_transition: u64,
    /// Slots settling, now.
    pub slots_settling: u64,
    /// Entries in the exception table.
    pub exceptions: u64,
    /// Flows in the exception table, and flows of `nat`, that lost their backend since the start.
    pub flows_lost: u64,
    /// How often a flow was not entered for lack of room or pace, since the start; now.
    pub refusals: u64,
    /// Backends that were removed and still have flows or slots, now.
    pub backends_leaving: u64,
}

/// A service as it is.
#[derive(Clone, Copy, Debug)]
pub struct ServiceView<'a> {
    roster: &'a Roster,
}

/// A backend as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackendView<'a> {
    /// What is, or was, configured.
    pub desired: &'a Backend,
    /// What it is to its service.
    pub standing: Standing,
    /// Its index in the maps.
    pub index: u32,
    /// Slots that it owns.
    pub slots: u32,
}

impl<'a> ServiceView<'a> {
    /// What is configured.
    #[must_use]
    pub fn desired(self) -> &'a Service {
        &self.roster.desired
    }

    /// Its index in the maps.
    #[must_use]
    pub fn index(self) -> u32 {
        self.roster.index
    }

    /// Slots of its ring; 0 if nobody ever took new flows.
    #[must_use]
    pub fn slots(self) -> u32 {
        self.roster.region.map_or(0, Region::slots)
    }

    /// Index in the arena of the slot that a flow with this hash falls on.
    #[must_use]
    pub fn slot(self, hash: u64) -> Option<u32> {
        let region = self.roster.region?;
        Some(region.first + region.place((hash >> 32) as u32))
    }

    /// Slots of it that are not steady.
    #[must_use]
    pub fn slots_changing(self) -> usize {
        self.roster.changing.len()
    }

    /// Slots of it that wait for the flows they have entered to end.
    #[must_use]
    pub fn slots_settling<M: Maps>(self, maps: &M) -> usize {
        let Some(region) = self.roster.region else {
            return 0;
        };
        let changing = self.roster.changing.iter();
        changing
            .filter(|noted| maps.slot(region.first + noted.place).state() == slot::SETTLING)
            .count()
    }

    /// Backends with an index: those that are configured and not down, in their order, then those
    /// that are leaving or dead.
    pub fn backends(self) -> impl Iterator<Item = BackendView<'a>> {
        self.roster.members.iter().map(backend_view)
    }

    /// A backend that is configured; `None` if it is down.
    #[must_use]
    pub fn backend(self, desired: &Backend) -> Option<BackendView<'a>> {
        let port = self.roster.desired.backend_port(desired);
        self.backends().find(|backend| {
            backend.standing == Standing::Configured
                && backend.desired.address == desired.address
                && self.roster.desired.backend_port(backend.desired) == port
        })
    }
}

fn backend_view(member: &Member) -> BackendView<'_> {
    BackendView {
        desired: &member.desired,
        standing: member.standing,
        index: member.index,
        slots: member.slots,
    }
}

impl Live {
    /// The services in the order of the configuration.
    pub fn services(&self) -> impl Iterator<Item = ServiceView<'_>> {
        let services = self.desired.services.iter();
        services.filter_map(|service| {
            let roster = self.services.get(&(service.id, service.mode))?;
            Some(ServiceView { roster })
        })
    }

    /// The backends whose next hops matter, with their services: those that live, configured or not.
    pub fn living(&self) -> impl Iterator<Item = (&Service, &Backend)> {
        self.services.values().flat_map(|roster| {
            let living = roster.members.iter().filter(|member| member.lives());
            living.map(|member| (&roster.desired, &member.desired))
        })
    }

    /// The backends that are no longer configured and still have flows.
    pub fn leaving(&self) -> impl Iterator<Item = &Backend> {
        self.services.values().flat_map(|roster| {
            // Who is configured comes first.
            let others = roster.members.iter().rev();
            let others = others.take_while(|member| member.standing != Standing::Configured);
            let leaving = others.filter(|member| member.lives());
            leaving.map(|member| &member.desired)
        })
    }

    /// How the transitions are getting on.
    pub fn numbers<M: Maps>(&self, maps: &M) -> Result<Numbers, EngineError> {
        let mut numbers = self.numbers;
        numbers.refusals = maps.refusals()?;
        for roster in self.services.values() {
            let Some(region) = roster.region else {
                continue;
            };
            let state = |noted: &Changing| maps.slot(region.first + noted.place).state();
            let moving = roster
                .changing
                .iter()
                .filter(|noted| state(noted) == slot::TRANSITION);
            let moving = moving.count() as u64;
            numbers.slots_in_transition += moving;
            numbers.slots_settling += roster.changing.len() as u64 - moving;
            let members = roster.members.iter();
            let leaving = members.filter(|member| member.standing == Standing::Leaving);
            numbers.backends_leaving += leaving.count() as u64;
        }
        Ok(numbers)
    }
}
