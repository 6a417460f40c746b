//! The live state: what the maps hold, why, and how it changes while packets flow.
//!
//! - `arena`, `indices`: which slots and numbers are whose.
//! - `service`: a service, its backends with their indices, its ring.
//! - `entry`, `keys`: services, backends and what leads to them, as entries of maps.
//! - `plan`, `slots`: what a changed configuration means; nothing is written yet.
//! - `preview`, `effects`: the same, told for each service, and what becomes of its flows.
//! - `write`: in which order it is written, and taken back if that fails.
//! - `sweep`: what time alone changes.
//! - `drain`: backends whose last flow has ended.
//! - `adopt`: all of it, found again in the maps.
//!
//! **A backend is its service, address and port.** Its index stays as long as it lives, and is used
//! again only when no slot and no flow leads to it any more. One that comes back from the dead gets
//! another index: its flows of before are gone.

mod adopt;
mod arena;
mod drain;
mod effects;
pub(crate) mod entry;
mod indices;
mod keys;
mod plan;
mod preview;
mod service;
mod slots;
mod sweep;
#[cfg(test)]
mod tests;
mod view;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use abi::control::Settings;
use abi::family::{V4, V6};

pub use drain::Drained;
pub use effects::{Disruption, FlowCounts, FlowEffects, flows_of};
pub use keys::{Keys, PrefixKey};
pub use plan::NextHops;
pub use preview::{BackendChange, BackendPreview, Change, FieldChange, Preview, ServicePreview};
pub use service::Standing;
pub use sweep::Swept;
pub use view::{BackendView, Numbers, ServiceView};

use crate::EngineError;
use crate::clock::tick;
use crate::dataplane::DataPlane;
use crate::desired::{Desired, ForwardingMode, ServiceId};
use crate::directory::Directory;
use crate::image::Image;
use crate::maps::{Maps, Room};
use crate::settings::{both, names, settings};
use arena::{Arena, Region};
use drain::Drains;
use indices::Indices;
use plan::{Planner, Writes};
use service::Roster;

/// What identifies a service: one that changes its mode is another.
type Identity = (ServiceId, ForwardingMode);
type Rosters = BTreeMap<Identity, Arc<Roster>>;

/// The live state of one instance.
#[derive(Debug)]
pub struct Live {
    /// What the program was loaded with.
    settings: Settings,
    room: Room,
    desired: Desired,
    services: Rosters,
    /// Services that were removed and whose indices rest.
    removed: Vec<Roster>,
    keys: Keys,
    arena: Arena,
    /// Regions that packets may still be reading, and the sweep at which they are free.
    left_regions: Vec<(Region, u64)>,
    service_indices: Indices,
    backend_indices: Indices,
    /// Indices of backends that are free as soon as their entries are cleared.
    left_backends: Vec<u32>,
    clock: Clock,
    /// Whether the directories hold what `keys` says.
    is_led: bool,
    /// How often was swept.
    sweeps: u64,
    /// Refusals that were counted so far, and the ticks when that was seen to rise.
    refusals: (u64, u64),
    numbers: Numbers,
    drained: Drains,
}

/// jiffies that do not wrap.
#[derive(Clone, Copy, Debug)]
struct Clock {
    ticks: u64,
    /// Length of a tick.
    tick: Duration,
}

impl Clock {
    /// The time that the data plane calls `jiffies`. To be asked more than once in 24 days.
    fn at(&mut self, jiffies: u32) -> u64 {
        let passed = jiffies.wrapping_sub(self.ticks as u32);
        // A look at the clock of another CPU may be a little behind.
        if passed < u32::MAX / 2 {
            self.ticks += u64::from(passed);
        }
        self.ticks
    }

    fn ticks_of(&self, time: Duration) -> u64 {
        let ticks = time.as_nanos() / self.tick.as_nanos().max(1);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

/// What a change did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Services that were not there before.
    pub services_added: u64,
    /// Services that are no longer there.
    pub services_removed: u64,
    /// Services of which anything is configured differently.
    pub services_changed: u64,
    /// Backends that were not there, or not alive.
    pub backends_added: u64,
    /// Backends that leave and keep their flows until they are over.
    pub backends_removed: u64,
    /// Backends that are dead from now on.
    pub backends_died: u64,
    /// Slots that have another owner.
    pub slots_changed: u64,
    /// Rings that have more slots than before.
    pub rings_grown: u64,
    /// Flows in the exception table that lost their backend. Flows without an entry are not known.
    pub flows_lost: u64,
    /// Entries of services and backends that were written.
    pub entries_written: u64,
    /// Whether a directory was written anew.
    pub directory_written: bool,
}

/// A change that is worked out and not made yet.
#[derive(Debug)]
pub struct Prepared<'a> {
    live: &'a mut Live,
    desired: &'a Desired,
    plan: Plan,
}

impl Prepared<'_> {
    /// What is configured, and what would be.
    #[must_use]
    pub fn between(&self) -> [&Desired; 2] {
        [&self.live.desired, self.desired]
    }

    /// Makes it. After an error everything is as it was.
    pub fn make<M: Maps>(self, maps: &mut M) -> Result<Applied, EngineError> {
        let live = self.live;
        write::write(maps, &live.keys, &self.plan)?;
        live.desired.clone_from(self.desired);
        Ok(live.commit(maps, self.plan))
    }
}

#[derive(Debug)]
struct Plan {
    services: Rosters,
    /// Services that come, or of which anything differs, in the order of the configuration.
    touched: Vec<Identity>,
    removed: Vec<Roster>,
    /// `None`: as they are.
    keys: Option<Keys>,
    directory_v4: Option<Directory<V4>>,
    directory_v6: Option<Directory<V6>>,
    writes: Writes,
    left_regions: Vec<Region>,
    died: BTreeSet<u32>,
    /// Slots with another owner, by the index of their service.
    moved: BTreeMap<u32, u64>,
    arena: Arena,
    service_indices: Indices,
    backend_indices: Indices,
    applied: Applied,
}

impl Live {
    /// For maps that are empty and a program that was loaded with `settings`. `tick` is the length
    /// of a jiffy.
    #[must_use]
    pub fn new(settings: Settings, room: Room, tick: Duration) -> Self {
        Self {
            settings,
            room,
            desired: Desired::default(),
            services: BTreeMap::new(),
            removed: Vec::new(),
            keys: Keys::default(),
            arena: Arena::new(room.slots),
            left_regions: Vec::new(),
            service_indices: Indices::new(room.services),
            backend_indices: Indices::new(room.backends),
            left_backends: Vec::new(),
            clock: Clock { ticks: 0, tick },
            is_led: false,
            sweeps: 0,
            refusals: (0, 0),
            numbers: Numbers::default(),
            drained: Drains::default(),
        }
    }

    /// Loads the program for `desired`, and fills its maps. With `report`, every packet's verdict can
    /// be read back ([`DataPlane::last_report`]); that costs time.
    pub fn load(
        desired: &Desired,
        next_hop: &NextHops<'_>,
        report: bool,
    ) -> Result<(Self, DataPlane), EngineError> {
        let image = Image::build(desired, next_hop)?;
        let mut plane = DataPlane::load(desired, &image, report)?;
        let mut live = Self::new(plane.settings(), plane.room(), tick());
        live.apply(&mut plane, desired, next_hop)?;
        Ok((live, plane))
    }

    /// Makes the maps what `desired` and the next hops say, while packets flow. Only what differs
    /// is written. After an error everything is as it was.
    pub fn apply<M: Maps>(
        &mut self,
        maps: &mut M,
        desired: &Desired,
        next_hop: &NextHops<'_>,
    ) -> Result<Applied, EngineError> {
        self.prepare(maps, desired, next_hop)?.make(maps)
    }

    /// Works out what [`Self::apply`] would do; nothing is written before it is told to.
    pub fn prepare<'a, M: Maps>(
        &'a mut self,
        maps: &mut M,
        desired: &'a Desired,
        next_hop: &NextHops<'_>,
    ) -> Result<Prepared<'a>, EngineError> {
        self.check_settings(desired)?;
        let now = self.clock.at(maps.now()?);
        let plan = self.plan(desired, next_hop, now, self.room, &|index| maps.slot(index))?;
        Ok(Prepared {
            live: self,
            desired,
            plan,
        })
    }

    /// Takes changed next hops over.
    pub fn apply_next_hops<M: Maps>(
        &mut self,
        maps: &mut M,
        next_hop: &NextHops<'_>,
    ) -> Result<Applied, EngineError> {
        let now = self.clock.at(maps.now()?);
        let read = |index| maps.slot(index);
        let plan = self.plan(&self.desired, next_hop, now, self.room, &read)?;
        write::write(maps, &self.keys, &plan)?;
        Ok(self.commit(maps, plan))
    }

    /// What is configured.
    #[must_use]
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// In maps with this room, which is no less than there is.
    fn plan(
        &self,
        desired: &Desired,
        next_hop: &NextHops<'_>,
        now: u64,
        room: Room,
        read: &dyn Fn(u32) -> abi::slot::Slot,
    ) -> Result<Plan, EngineError> {
        let mut planner = Planner {
            desired,
            next_hop,
            read,
            now,
            sweep: self.sweeps,
            arena: self.arena.clone(),
            service_indices: self.service_indices.clone(),
            backend_indices: self.backend_indices.clone(),
            writes: Writes::default(),
            left_regions: Vec::new(),
            died: BTreeSet::new(),
            service: 0,
            moved: BTreeMap::new(),
            touched: Vec::new(),
            applied: Applied::default(),
        };
        planner.arena.grow(self.room.slots, room.slots);
        planner.service_indices.raise(room.services);
        planner.backend_indices.raise(room.backends);
        let (services, same_keys) = self.rosters(&mut planner)?;
        let mut removed = Vec::new();
        for (identity, roster) in &self.services {
            if !services.contains_key(identity) {
                removed.push(planner.remove(roster));
            }
        }
        // Working them all out takes longer than all the rest of a small change.
        let stay = same_keys && removed.is_empty() && self.is_led;
        let mut plan = Plan {
            keys: (!stay).then(|| Keys::of(services.values().map(Arc::as_ref))),
            services,
            touched: planner.touched,
            removed,
            directory_v4: None,
            directory_v6: None,
            writes: planner.writes,
            left_regions: planner.left_regions,
            died: planner.died,
            moved: planner.moved,
            arena: planner.arena,
            service_indices: planner.service_indices,
            backend_indices: planner.backend_indices,
            applied: planner.applied,
        };
        if let Some(keys) = &plan.keys
            && (keys.directory != self.keys.directory || !self.is_led)
        {
            plan.directory_v4 = Some(fitting(Directory::build(&keys.directory)?, room)?);
            plan.directory_v6 = Some(fitting(Directory::build(&keys.directory)?, room)?);
            plan.applied.directory_written = true;
        }
        plan.applied.entries_written = plan.writes.entries() as u64;
        Ok(plan)
    }

    /// The services as they will be, and whether the same keys lead to them and their backends.
    fn rosters(&self, planner: &mut Planner<'_>) -> Result<(Rosters, bool), EngineError> {
        let mut services = BTreeMap::new();
        let mut same_keys = true;
        for service in &planner.desired.services {
            let identity = (service.id, service.mode);
            let roster = match self.services.get(&identity) {
                Some(before) => {
                    let roster = planner.change(before, service)?;
                    if !Arc::ptr_eq(before, &roster) {
                        planner.touched.push(identity);
                        same_keys &= keys::same(before, &roster);
                    }
                    roster
                }
                None => {
                    planner.touched.push(identity);
                    same_keys = false;
                    Arc::new(planner.add(service)?)
                }
            };
            services.insert(identity, roster);
        }
        Ok((services, same_keys))
    }

    /// What the program has to be loaded with before `desired` can be applied, unless it is already.
    ///
    /// # Errors
    /// What no exchange of the program can change: the seed.
    pub fn other_settings(&self, desired: &Desired) -> Result<Option<Settings>, EngineError> {
        let wanted = settings(desired, self.settings.report != 0);
        if wanted.flow_seed != self.settings.flow_seed {
            return Err(EngineError::RestartNeeded {
                what: "another seed: every flow would move".into(),
            });
        }
        let both = both(self.settings.features, self.settings.any_port, &wanted);
        Ok((both != self.settings).then_some(both))
    }

    /// The program was loaded anew, with these settings and at least the room there was.
    pub fn rebase(&mut self, settings: Settings, room: Room) {
        self.arena.grow(self.room.slots, room.slots);
        self.service_indices.raise(room.services);
        self.backend_indices.raise(room.backends);
        self.settings = settings;
        self.room = room;
    }

    /// What the program was loaded with cannot change under it.
    fn check_settings(&self, desired: &Desired) -> Result<(), EngineError> {
        let Some(wanted) = self.other_settings(desired)? else {
            return Ok(());
        };
        let missing = wanted.features & !self.settings.features;
        let what = if missing != 0 {
            format!("{}, which nothing used when it was started", names(missing))
        } else if wanted.any_port > self.settings.any_port {
            "a service of every port, which there was none of when it was started".into()
        } else {
            "another port range, outer TTL or rate".into()
        };
        Err(EngineError::RestartNeeded { what })
    }

    fn commit<M: Maps>(&mut self, maps: &mut M, plan: Plan) -> Applied {
        let mut applied = plan.applied;
        let grace = self.sweeps + GRACE_SWEEPS;
        self.left_regions
            .extend(plan.left_regions.into_iter().map(|region| (region, grace)));
        self.services = plan.services;
        self.drained
            .keep_draining(self.services.values().map(Arc::as_ref));
        self.removed.extend(plan.removed);
        self.is_led = true;
        if let Some(keys) = plan.keys {
            self.keys = keys;
        }
        self.arena = plan.arena;
        self.service_indices = plan.service_indices;
        self.backend_indices = plan.backend_indices;
        if !plan.died.is_empty() {
            // What fails here the next sweep does.
            applied.flows_lost = sweep::bury(maps, &plan.died).unwrap_or(0);
            self.numbers.flows_lost += applied.flows_lost;
        }
        applied
    }
}

fn fitting<F: abi::family::Family>(
    directory: Directory<F>,
    room: Room,
) -> Result<Directory<F>, EngineError> {
    let found = directory.buckets.len();
    let limit = if F::IS_V6 {
        room.buckets_v6
    } else {
        room.buckets_v4
    };
    if found > limit as usize {
        return Err(EngineError::DirectoryFull { found, limit });
    }
    Ok(directory)
}

/// Whole sweeps between the moment when nothing leads somewhere any more and the moment when
/// that place is used again: packets may be on their way.
const GRACE_SWEEPS: u64 = 2;
