//! What time alone changes: idle entries go, slots move on, indices and regions become free.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use abi::backend;
use abi::exception::Exception;
use abi::family::{Family, V4, V6};

use super::drain::drains;
use super::service::{Changing, Roster, Standing};
use super::slots::{slot, state};
use super::{GRACE_SWEEPS, Live};
use crate::EngineError;
use crate::maps::Maps;
use crate::sweep::{Ages, NatSweep, NatSwept, age};

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// `nat` flows.
    pub nat: NatSwept,
    /// Entries that stay in the exception table.
    pub exceptions: u64,
    /// Entries that were removed because they were idle.
    pub idle: u64,
    /// Flows, of `nat` or in the exception table, that lost their backend.
    pub lost: u64,
    /// Slots that settle from now on.
    pub settling: u64,
    /// Slots that are steady from now on.
    pub steady: u64,
}

/// What the tables of flows say about slots and backends.
#[derive(Debug, Default)]
struct Findings {
    /// Service and place of slots with an entry that leads elsewhere than to their owner.
    pinned: HashSet<(u32, u32)>,
    /// Backends that a flow leads to, of those that are to go or drain.
    used: HashSet<u32>,
}

/// What a sweep needs to know of a service.
struct Known<'a> {
    roster: &'a Roster,
    window: u64,
}

/// By what a sweep judges entries.
struct Rules<'a> {
    jiffies: u32,
    /// Services, by their indices.
    known: HashMap<u32, Known<'a>>,
    /// Backends that are dead.
    dead: HashSet<u32>,
    /// Backends of which it matters whether flows lead to them: because their index is to be used
    /// again, or because they drain.
    going: HashSet<u32>,
}

impl Rules<'_> {
    fn is_over(&self, entry: &Exception) -> bool {
        match self.known.get(&entry.service) {
            Some(known) => u64::from(age(self.jiffies, entry.last_seen)) > known.window,
            None => true,
        }
    }
}

impl Live {
    /// Lets go of flows that are over, and moves slots on.
    pub fn sweep<M: Maps>(&mut self, maps: &mut M, ages: &Ages) -> Result<Swept, EngineError> {
        let jiffies = maps.now()?;
        let now = self.clock.at(jiffies);
        self.note_refusals(maps.refusals()?, now);
        self.sweeps += 1;
        let mut swept = Swept::default();
        let mut findings = Findings::default();
        let rules = self.rules(jiffies);
        let mut flows = NatSweep::new(ages, jiffies, &rules.dead, &rules.going);
        flows.sweep::<V4, M>(maps)?;
        flows.sweep::<V6, M>(maps)?;
        swept.nat = flows.swept;
        findings.used.extend(flows.used);
        exceptions::<V4, M>(maps, &rules, &mut findings, &mut swept)?;
        exceptions::<V6, M>(maps, &rules, &mut findings, &mut swept)?;
        self.move_slots(maps, now, &findings, &mut swept);
        self.drained.look(
            self.services.values().map(Arc::as_ref),
            maps,
            &findings.used,
        );
        self.retire(maps, &findings)?;
        swept.lost += swept.nat.lost;
        self.numbers.exceptions = swept.exceptions;
        self.numbers.flows_lost += swept.lost;
        Ok(swept)
    }

    /// While flows are refused, and for a window after, slots in transition stay there.
    fn note_refusals(&mut self, refusals: u64, now: u64) {
        if self.refusals.0 != refusals {
            self.refusals = (refusals, now);
        }
    }

    fn rules(&self, jiffies: u32) -> Rules<'_> {
        let services = self.services.values();
        let known = services.map(|roster| {
            let window = self.clock.ticks_of(roster.desired.transition_window);
            (roster.index, Known { roster, window })
        });
        let known = known.collect();
        let mut dead = HashSet::new();
        let mut going = HashSet::new();
        let services = self.services.values().map(Arc::as_ref);
        for member in services
            .chain(&self.removed)
            .flat_map(|roster| &roster.members)
        {
            if member.standing == Standing::Dead {
                dead.insert(member.index);
            }
            if member.standing != Standing::Configured || drains(member) {
                going.insert(member.index);
            }
        }
        Rules {
            jiffies,
            known,
            dead,
            going,
        }
    }

    fn move_slots<M: Maps>(
        &mut self,
        maps: &mut M,
        now: u64,
        findings: &Findings,
        swept: &mut Swept,
    ) {
        let (sweep, refused_at) = (self.sweeps, self.refusals.1);
        for roster in self
            .services
            .values_mut()
            .filter(|roster| !roster.changing.is_empty())
        {
            let window = self.clock.ticks_of(roster.desired.transition_window);
            let (index, region) = (roster.index, roster.region);
            let roster = Arc::make_mut(roster);
            let Some(region) = region else {
                continue;
            };
            roster.changing.retain_mut(|noted| {
                let at = region.first + noted.place;
                let before = state(maps.slot(at));
                let since = noted.since.max(refused_at);
                let after = if before.previous().is_some() {
                    if now.saturating_sub(since) <= window {
                        return true;
                    }
                    before.window_over()
                } else {
                    let pinned = findings.pinned.contains(&(index, noted.place));
                    // A whole sweep in between: packets were on their way when it began to settle.
                    if pinned || sweep < noted.sweep + GRACE_SWEEPS {
                        return true;
                    }
                    before.settled()
                };
                maps.write_slots(at, &[slot(after)]);
                *noted = Changing { sweep, ..*noted };
                swept.settling += u64::from(!after.is_steady());
                swept.steady += u64::from(after.is_steady());
                !after.is_steady()
            });
        }
    }

    /// Gives back indices and regions that nothing leads to any more.
    fn retire<M: Maps>(&mut self, maps: &mut M, findings: &Findings) -> Result<(), EngineError> {
        let sweep = self.sweeps;
        let free = &mut self.left_backends;
        for roster in self.services.values_mut() {
            let mut members = roster.members.iter();
            if members.any(|member| member.standing != Standing::Configured) {
                retire_members(Arc::make_mut(roster), maps, findings, sweep, free);
            }
        }
        for roster in &mut self.removed {
            retire_members(roster, maps, findings, sweep, free);
        }
        let indices = &mut self.service_indices;
        self.removed.retain_mut(|roster| {
            let free_at = *roster.free_at.get_or_insert(sweep + GRACE_SWEEPS);
            let stays = !roster.members.is_empty() || sweep < free_at;
            if !stays {
                indices.give(roster.index);
            }
            stays
        });
        let arena = &mut self.arena;
        self.left_regions.retain(|(region, free_at)| {
            if sweep >= *free_at {
                arena.give(*region);
            }
            sweep < *free_at
        });
        self.clear(maps)
    }

    /// Backends that left are no longer led to by keys of their own, then no longer there. What
    /// fails the next sweep does.
    fn clear<M: Maps>(&mut self, maps: &mut M) -> Result<(), EngineError> {
        if self.left_backends.is_empty() {
            return Ok(());
        }
        let keys = super::Keys::of(self.services.values().map(Arc::as_ref));
        super::write::write_keys(maps, &self.keys, &keys)?;
        self.keys = keys;
        while let Some(index) = self.left_backends.last() {
            maps.write_backend(*index, &backend::Backend::default())?;
            self.backend_indices.give(*index);
            self.left_backends.pop();
        }
        Ok(())
    }
}

/// Removes entries that are over, and looks where the others lead.
fn exceptions<F: Family, M: Maps>(
    maps: &mut M,
    rules: &Rules<'_>,
    findings: &mut Findings,
    swept: &mut Swept,
) -> Result<(), EngineError> {
    let mut over = Vec::new();
    let mut kept = 0;
    let slots = &*maps;
    slots.for_each_exception::<F>(&mut |key, entry| {
        if rules.dead.contains(&entry.backend) || rules.is_over(entry) {
            over.push(*key);
            return;
        }
        kept += 1;
        if rules.going.contains(&entry.backend) {
            findings.used.insert(entry.backend);
        }
        if let Some(Known { roster, .. }) = rules.known.get(&entry.service)
            && !roster.changing.is_empty()
            && let Some(region) = roster.region
        {
            let place = region.place(entry.hash);
            if slots.slot(region.first + place).current() != entry.backend {
                findings.pinned.insert((roster.index, place));
            }
        }
    })?;
    for key in over {
        // Looks again: a packet may have come meanwhile.
        let Some(entry) = maps.exception::<F>(&key)? else {
            continue;
        };
        let lost = rules.dead.contains(&entry.backend);
        if (lost || rules.is_over(&entry)) && maps.remove_exception::<F>(&key)? {
            swept.lost += u64::from(lost);
            swept.idle += u64::from(!lost);
        }
    }
    swept.exceptions += kept;
    Ok(())
}

/// Takes the members out whose indices are free again.
fn retire_members<M: Maps>(
    roster: &mut Roster,
    maps: &M,
    findings: &Findings,
    sweep: u64,
    free: &mut Vec<u32>,
) {
    let led_to = led_to(roster, maps);
    roster.members.retain_mut(|member| {
        let index = member.index;
        let busy = member.standing == Standing::Configured
            || member.slots > 0
            || led_to.contains(&index)
            || findings.used.contains(&index);
        if busy {
            member.free_at = None;
            return true;
        }
        let stays = sweep < *member.free_at.get_or_insert(sweep + GRACE_SWEEPS);
        if !stays {
            free.push(index);
        }
        stays
    });
}

/// Backends that slots lead to which are not steady.
pub(super) fn led_to<M: Maps>(roster: &Roster, maps: &M) -> HashSet<u32> {
    let mut led_to = HashSet::new();
    for (region, noted) in roster.region.iter().flat_map(|region| {
        let changing = roster.changing.iter();
        changing.map(move |noted| (region, noted))
    }) {
        let slot = state(maps.slot(region.first + noted.place));
        led_to.insert(slot.current());
        led_to.extend(slot.previous());
    }
    led_to
}

/// Removes the entries of backends that died, and says how many there were.
pub(super) fn bury<M: Maps>(maps: &mut M, died: &BTreeSet<u32>) -> Result<u64, EngineError> {
    Ok(bury_family::<V4, M>(maps, died)? + bury_family::<V6, M>(maps, died)?)
}

fn bury_family<F: Family, M: Maps>(maps: &mut M, died: &BTreeSet<u32>) -> Result<u64, EngineError> {
    let mut keys = Vec::new();
    maps.for_each_exception::<F>(&mut |key, entry| {
        if died.contains(&entry.backend) {
            keys.push(*key);
        }
    })?;
    let mut lost = 0;
    for key in keys {
        lost += u64::from(maps.remove_exception::<F>(&key)?);
    }
    Ok(lost)
}
