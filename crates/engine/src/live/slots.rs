//! What a change of owners does to the slots of one ring.

use std::collections::{BTreeMap, BTreeSet};

use abi::slot::{self, Slot};
use ring::Length;
use ring::transition::Slot as State;

use super::arena::Region;
use super::service::Changing;

/// A slot of the map as the rule sees it.
pub(crate) fn state(slot: Slot) -> State {
    let current = slot.current();
    match slot.state() {
        slot::TRANSITION => State::Transition {
            current,
            previous: slot.previous(),
        },
        slot::SETTLING => State::Settling { current },
        _ => State::Steady { current },
    }
}

/// The same as it stands in the map.
pub(crate) fn slot(state: State) -> Slot {
    match state {
        State::Steady { current } => Slot::steady(current),
        State::Transition { current, previous } => Slot::transition(current, previous),
        State::Settling { current } => Slot::settling(current),
    }
}

/// A slot's index in the arena, what it becomes, and what it was.
pub(crate) type SlotWrite = (u32, Slot, Slot);

/// What is to be done to the slots of a ring.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotChanges {
    /// A new region's content.
    pub(crate) region: Option<(Region, Vec<Slot>)>,
    /// Changes in the region there was.
    pub(crate) writes: Vec<SlotWrite>,
    /// Slots that are not steady afterwards.
    pub(crate) changing: Vec<Changing>,
    /// Slots that got another owner.
    pub(crate) moved: u64,
    /// Slots of each owner, if owners were computed anew.
    pub(crate) shares: Option<BTreeMap<u32, u32>>,
}

/// The owners of a ring: the backend of each slot.
pub(crate) struct Owners {
    pub(crate) length: Length,
    pub(crate) backends: Vec<u32>,
}

/// How and when slots change.
pub(crate) struct Circumstances<'a> {
    /// Slots that get another owner remember no former one.
    pub(crate) at_once: bool,
    /// Indices of the backends that are alive.
    pub(crate) alive: &'a BTreeSet<u32>,
    /// Ticks.
    pub(crate) now: u64,
    /// The number of the last sweep.
    pub(crate) sweep: u64,
}

impl Circumstances<'_> {
    fn next(&self, before: State, owner: u32) -> State {
        match before {
            State::Steady { .. } if self.at_once => State::Steady { current: owner },
            // Flows that were noted while the service still tracked keep their backend.
            _ if self.at_once && owner != before.current() => State::Settling { current: owner },
            _ => before.change(owner, |backend| self.alive.contains(&backend)),
        }
    }

    fn note(&self, place: u32) -> Changing {
        Changing {
            place,
            since: self.now,
            sweep: self.sweep,
        }
    }

    /// The first owners: there are no flows yet.
    pub(crate) fn fill(&self, region: Region, owners: &Owners) -> SlotChanges {
        let content = owners.backends.iter().map(|owner| Slot::steady(*owner));
        SlotChanges {
            region: Some((region, content.collect())),
            moved: u64::from(region.slots()),
            shares: Some(shares(region, owners)),
            ..SlotChanges::default()
        }
    }

    /// New owners, in a region of the same length or a longer one.
    pub(crate) fn change(
        &self,
        (old, new): (Region, Region),
        changing: &[Changing],
        owners: &Owners,
        read: impl Fn(u32) -> Slot,
    ) -> SlotChanges {
        let growth = new.log2 - old.log2;
        let run = u32::from(new.log2) - owners.length.log2();
        let mut changes = SlotChanges {
            shares: Some(shares(new, owners)),
            ..SlotChanges::default()
        };
        let mut content = Vec::new();
        let mut noted = changing.iter().peekable();
        for (place, read_at) in (0..new.slots()).map(|place| (place, place >> growth)) {
            while noted.next_if(|noted| noted.place < read_at).is_some() {}
            let was = read(old.first + read_at);
            let before = state(was);
            let owner = owners.backends.get((place >> run) as usize).copied();
            let after = owner.map_or(before, |owner| self.next(before, owner));
            changes.moved += u64::from(after.current() != before.current());
            if !after.is_steady() {
                let kept = noted
                    .peek()
                    .filter(|noted| after == before && noted.place == read_at);
                let kept = kept.map(|noted| Changing { place, ..**noted });
                changes
                    .changing
                    .push(kept.unwrap_or_else(|| self.note(place)));
            }
            if new != old {
                content.push(slot(after));
            } else if after != before {
                changes.writes.push((new.first + place, slot(after), was));
            }
        }
        changes.region = (new != old).then_some((new, content));
        changes
    }

    /// The same owners, of whom some may have died.
    pub(crate) fn keep(
        &self,
        region: Region,
        changing: &[Changing],
        read: impl Fn(u32) -> Slot,
    ) -> SlotChanges {
        let mut changes = SlotChanges::default();
        for noted in changing {
            let was = read(region.first + noted.place);
            let before = state(was);
            let after = self.next(before, before.current());
            if after != before {
                changes
                    .writes
                    .push((region.first + noted.place, slot(after), was));
            }
            if !after.is_steady() {
                let fresh = self.note(noted.place);
                changes
                    .changing
                    .push(if after == before { *noted } else { fresh });
            }
        }
        changes
    }
}

fn shares(region: Region, owners: &Owners) -> BTreeMap<u32, u32> {
    let run = 1 << (u32::from(region.log2) - owners.length.log2());
    let mut shares = BTreeMap::new();
    for owner in &owners.backends {
        *shares.entry(*owner).or_insert(0) += run;
    }
    shares
}
