//! What a changed configuration means for services, backends and slots; nothing is written yet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use abi::backend;
use abi::service::{self, Ring};
use abi::slot::Slot;
use ring::Length;

use super::arena::{Arena, Region};
use super::indices::Indices;
use super::service::{Member, Roster, Standing, changes_at_once};
use super::slots::{Circumstances, Owners, SlotChanges, SlotWrite};
use super::{Applied, Identity, entry};
use crate::EngineError;
use crate::desired::{Backend, BackendState, Desired, NextHop, Service};

/// How a backend is reached, if that is known.
pub type NextHops<'a> = dyn Fn(&Service, &Backend) -> Option<NextHop> + 'a;

/// A backend's index, what its entry becomes, and what it was.
pub(crate) type BackendWrite = (u32, backend::Backend, backend::Backend);
/// A service's index, what its entry becomes, and what it was.
pub(crate) type ServiceWrite = (u32, service::Service, service::Service);

/// What is written to the maps besides keys and directories.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    /// Regions that nothing leads to yet.
    pub(crate) regions: Vec<(Region, Vec<Slot>)>,
    /// Backends that live.
    pub(crate) backends: Vec<BackendWrite>,
    /// Services that stay or come.
    pub(crate) services: Vec<ServiceWrite>,
    /// Services that go.
    pub(crate) removed: Vec<ServiceWrite>,
    /// Backends that die.
    pub(crate) dead: Vec<BackendWrite>,
    /// Slots of regions that packets read.
    pub(crate) slots: Vec<SlotWrite>,
}

impl Writes {
    /// Entries of services and backends.
    pub(crate) fn entries(&self) -> usize {
        self.backends.len() + self.services.len() + self.removed.len() + self.dead.len()
    }
}

/// A plan in the making.
pub(crate) struct Planner<'a> {
    pub(crate) desired: &'a Desired,
    pub(crate) next_hop: &'a NextHops<'a>,
    /// Reads a slot of the arena.
    pub(crate) read: &'a dyn Fn(u32) -> Slot,
    /// Ticks.
    pub(crate) now: u64,
    /// The number of the last sweep.
    pub(crate) sweep: u64,
    /// As they will be.
    pub(crate) arena: Arena,
    pub(crate) service_indices: Indices,
    pub(crate) backend_indices: Indices,
    pub(crate) writes: Writes,
    /// Regions to be given back after a time of grace.
    pub(crate) left_regions: Vec<Region>,
    /// Indices of backends that are dead from now on.
    pub(crate) died: BTreeSet<u32>,
    /// Index of the service that is being looked at.
    pub(crate) service: u32,
    /// Slots with another owner, by the index of their service.
    pub(crate) moved: BTreeMap<u32, u64>,
    /// Services that come, or of which anything differs.
    pub(crate) touched: Vec<Identity>,
    pub(crate) applied: Applied,
}

impl Planner<'_> {
    /// A service that is new.
    pub(crate) fn add(&mut self, desired: &Service) -> Result<Roster, EngineError> {
        let taken = self.service_indices.take();
        let index = taken.map_err(|limit| too_many("services", limit))?;
        let mut roster = Roster {
            index,
            desired: desired.clone(),
            entry: service::Service::default(),
            members: Vec::new(),
            region: None,
            length: Length::MIN,
            owners_of: Vec::new(),
            sources: Vec::new(),
            changing: Vec::new(),
            free_at: None,
        };
        self.applied.services_added += 1;
        self.update(&mut roster, desired)?;
        Ok(roster)
    }

    /// A service that was there already, as it will be.
    pub(crate) fn change(
        &mut self,
        roster: &Arc<Roster>,
        desired: &Service,
    ) -> Result<Arc<Roster>, EngineError> {
        if roster.desired == *desired && !self.has_new_hops(roster) {
            return Ok(Arc::clone(roster));
        }
        let mut changed = Roster::clone(roster);
        self.applied.services_changed += u64::from(roster.desired != *desired);
        self.update(&mut changed, desired)?;
        Ok(Arc::new(changed))
    }

    fn has_new_hops(&self, roster: &Roster) -> bool {
        let service = &roster.desired;
        let mut living = roster.members.iter().filter(|member| member.lives());
        living.any(|member| {
            let hop = (self.next_hop)(service, &member.desired);
            let entry = entry::backend(self.desired, service, &member.desired, hop);
            backend::Backend {
                service: roster.index,
                ..entry
            } != member.entry
        })
    }

    fn update(&mut self, roster: &mut Roster, desired: &Service) -> Result<(), EngineError> {
        self.service = roster.index;
        let before = std::mem::take(&mut roster.members);
        roster.members = self.members(&before, desired)?;
        roster.note_sources();
        let changes = self.slots(roster, desired)?;
        self.take_over(roster, changes);
        roster.desired.clone_from(desired);
        let ring = roster
            .region
            .map_or(Ring::NONE, |region| Ring::new(region.first, region.log2));
        let entry = entry::service(desired, ring);
        if entry != roster.entry {
            self.writes
                .services
                .push((roster.index, entry, roster.entry));
            roster.entry = entry;
        }
        Ok(())
    }

    /// The backends with their indices. Who is not down keeps the index it has; who comes back from
    /// the dead gets another; who is no longer configured keeps it until its flows are over.
    fn members(
        &mut self,
        before: &[Member],
        desired: &Service,
    ) -> Result<Vec<Member>, EngineError> {
        let key = |backend: &Backend| (backend.address, desired.backend_port(backend));
        let (living, dead): (Vec<&Member>, Vec<&Member>) =
            before.iter().partition(|member| member.lives());
        let mut living: BTreeMap<(IpAddr, Option<u16>), &Member> = living
            .into_iter()
            .map(|member| (key(&member.desired), member))
            .collect();
        let mut members = Vec::with_capacity(before.len());
        let mut gone = Vec::new();
        for backend in &desired.backends {
            let known = living.remove(&key(backend));
            match (known, backend.state) {
                (None, BackendState::Down) => {}
                (Some(member), BackendState::Down) => gone.push(self.bury(member)),
                (Some(member), _) => {
                    self.applied.backends_added += u64::from(member.standing == Standing::Leaving);
                    members.push(self.staff(
                        member.clone(),
                        desired,
                        backend,
                        Standing::Configured,
                    ));
                }
                (None, _) => {
                    let taken = self.backend_indices.take();
                    let index = taken.map_err(|limit| too_many("backends", limit))?;
                    self.applied.backends_added += 1;
                    let member = unborn(index, backend);
                    members.push(self.staff(member, desired, backend, Standing::Configured));
                }
            }
        }
        for member in living.into_values() {
            self.applied.backends_removed += u64::from(member.standing == Standing::Configured);
            let backend = Backend {
                state: BackendState::Drain,
                ..member.desired.clone()
            };
            members.push(self.staff(member.clone(), desired, &backend, Standing::Leaving));
        }
        members.extend(gone);
        members.extend(dead.into_iter().cloned());
        Ok(members)
    }

    /// A backend that lives, with its entry as it is to be.
    fn staff(
        &mut self,
        mut member: Member,
        service: &Service,
        backend: &Backend,
        standing: Standing,
    ) -> Member {
        let hop = (self.next_hop)(service, backend);
        let mut entry = entry::backend(self.desired, service, backend, hop);
        entry.service = self.service;
        if entry != member.entry {
            self.writes
                .backends
                .push((member.index, entry, member.entry));
        }
        let configured = self.desired.source(service.mode, backend.address);
        member.source = hop.map(|hop| configured.unwrap_or(hop.source_address));
        member.desired.clone_from(backend);
        member.entry = entry;
        member.standing = standing;
        member
    }

    /// A backend that is dead from now on.
    fn bury(&mut self, member: &Member) -> Member {
        let mut dead = member.clone();
        dead.standing = Standing::Dead;
        dead.entry.flags &= !(backend::ALIVE | backend::TAKES_NEW);
        self.writes
            .dead
            .push((dead.index, dead.entry, member.entry));
        self.died.insert(dead.index);
        self.applied.backends_died += 1;
        dead
    }

    /// A service that is no longer wanted, with all its backends dead.
    pub(crate) fn remove(&mut self, roster: &Roster) -> Roster {
        let members = roster.members.iter();
        let died = self.applied.backends_died;
        let members = members.map(|member| Member {
            // The ring goes, too.
            slots: 0,
            ..match member.lives() {
                true => self.bury(member),
                false => member.clone(),
            }
        });
        let mut removed = Roster {
            members: members.collect(),
            ..roster.clone()
        };
        self.applied.backends_died = died;
        self.applied.services_removed += 1;
        let nothing = service::Service::default();
        self.writes
            .removed
            .push((removed.index, nothing, removed.entry));
        removed.entry = nothing;
        removed.changing.clear();
        self.left_regions.extend(removed.region.take());
        removed
    }

    /// The slots under the owners that the members make.
    fn slots(
        &mut self,
        roster: &mut Roster,
        desired: &Service,
    ) -> Result<SlotChanges, EngineError> {
        let configured = roster
            .members
            .iter()
            .filter(|m| m.standing == Standing::Configured);
        let takers = configured.filter(|member| entry::takes_new(&member.desired));
        let owner = |member: &Member| {
            let key = identity(desired, &member.desired);
            (
                ring::Member {
                    key,
                    weight: member.desired.weight,
                },
                member.index,
            )
        };
        let owners_of: Vec<(ring::Member, u32)> = takers.map(owner).collect();
        let length = length(desired, roster.length)?;
        let alive = roster.members.iter().filter(|member| member.lives());
        let alive: BTreeSet<u32> = alive.map(|member| member.index).collect();
        let circumstances = Circumstances {
            at_once: changes_at_once(desired),
            alive: &alive,
            now: self.now,
            sweep: self.sweep,
        };
        let same = length == roster.length && owners_of == roster.owners_of;
        if owners_of.is_empty() || same {
            let Some(region) = roster.region else {
                return Ok(SlotChanges::default());
            };
            return Ok(circumstances.keep(region, &roster.changing, self.read));
        }
        let owners = owners(desired, self.desired.seed, &owners_of, length)?;
        let log2 = length.log2() as u8;
        let changes = match roster.region {
            None => circumstances.fill(self.region(log2)?, &owners),
            Some(old) => {
                let new = if log2 > old.log2 {
                    self.region(log2)?
                } else {
                    old
                };
                if new != old {
                    self.left_regions.push(old);
                    self.applied.rings_grown += 1;
                }
                circumstances.change((old, new), &roster.changing, &owners, self.read)
            }
        };
        roster.owners_of = owners_of;
        roster.length = length;
        Ok(changes)
    }

    fn region(&mut self, log2: u8) -> Result<Region, EngineError> {
        self.arena
            .take(log2)
            .map_err(|free| EngineError::ArenaFull {
                wanted: 1 << log2,
                free,
            })
    }

    fn take_over(&mut self, roster: &mut Roster, changes: SlotChanges) {
        self.applied.slots_changed += changes.moved;
        self.moved.insert(roster.index, changes.moved);
        self.writes.slots.extend(changes.writes);
        roster.changing = changes.changing;
        if let Some((region, content)) = changes.region {
            roster.region = Some(region);
            self.writes.regions.push((region, content));
        }
        if let Some(shares) = changes.shares {
            for member in &mut roster.members {
                member.slots = shares.get(&member.index).copied().unwrap_or(0);
            }
        }
    }
}

/// The length that owners are computed for: never less than it was, unless that is configured.
fn length(desired: &Service, before: Length) -> Result<Length, EngineError> {
    match desired.ring_log2 {
        Some(log2) => Length::new(1 << log2.min(31)).map_err(|source| ring_error(desired, source)),
        None => Ok(Length::for_backends(desired.backends.len()).max(before)),
    }
}

fn owners(
    desired: &Service,
    seed: u64,
    owners_of: &[(ring::Member, u32)],
    length: Length,
) -> Result<Owners, EngineError> {
    let members: Vec<ring::Member> = owners_of.iter().map(|(member, _)| *member).collect();
    let ring = ring::build(&members, length, seed).map_err(|source| ring_error(desired, source))?;
    let index = |owner: &u32| {
        owners_of
            .get(*owner as usize)
            .map_or(0, |(_, index)| *index)
    };
    Ok(Owners {
        length,
        backends: ring.owners().iter().map(index).collect(),
    })
}

/// A backend's identity in the ring: its address and port, whatever its place in the file.
pub(crate) fn identity(service: &Service, backend: &Backend) -> u64 {
    let address = match backend.address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let port = service.backend_port(backend).unwrap_or(0);
    // FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923).
    let bytes = address.octets().into_iter().chain(port.to_be_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Somebody who has an index and nothing else.
fn unborn(index: u32, backend: &Backend) -> Member {
    Member {
        index,
        desired: backend.clone(),
        standing: Standing::Configured,
        entry: backend::Backend::default(),
        source: None,
        slots: 0,
        free_at: None,
    }
}

fn ring_error(service: &Service, source: ring::RingError) -> EngineError {
    EngineError::Ring {
        service: service.id.to_string(),
        source,
    }
}

fn too_many(what: &'static str, limit: u32) -> EngineError {
    let limit = limit as usize;
    EngineError::TooMany {
        what,
        found: limit + 1,
        limit,
    }
}
