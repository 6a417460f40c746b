//! The live state, found again in maps that an earlier process filled.
//!
//! Services and backends say in the maps what they are, slots say their state, tables of flows name
//! backends by their index, and the directory has the own addresses that packets of `nat` left from
//! before; so all that is lost with a process is since when a slot is in transition: its window begins
//! anew. **A change that the earlier process did not finish is finished by the next one**: every half of
//! it leads each flow right (see `write`), so it is a state like any other, from which [`Live::apply`]
//! goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use abi::control::Settings;
use abi::{backend, service};
use ring::Length;

use super::arena::{Arena, Region};
use super::indices::Indices;
use super::keys::protocol_number;
use super::service::{Changing, Member, Roster, Standing};
use super::slots::state;
use super::{Keys, Live, entry};
use crate::EngineError;
use crate::dataplane::{DataPlane, Found};
use crate::desired::{Desired, Service};
use crate::maps::Maps;

impl Live {
    /// From maps that somebody else has filled, and a program that was loaded with `settings`.
    /// `tick` is the length of a jiffy. The next [`Self::apply`] writes whatever it has to, the
    /// directories in any case.
    ///
    /// # Errors
    /// The maps contradict themselves: two rings share slots.
    pub fn adopt<M: Maps>(
        settings: Settings,
        maps: &mut M,
        found: &Found,
        tick: Duration,
    ) -> Result<Self, EngineError> {
        let mut live = Self::new(settings, maps.room(), tick);
        let now = maps.now()?;
        let now = live.clock.at(now);
        let mut members = members(found);
        let mut services: Vec<Service> = Vec::new();
        for (index, entry) in (0..).zip(&found.services) {
            let Some(desired) = entry::read_service(entry) else {
                continue;
            };
            let seats = members.remove(&index).unwrap_or_default();
            let mut roster = roster(index, (entry, &desired), seats, found);
            roster.sources = sources(&desired, found);
            roster.note_sources();
            let roster = with_slots(roster, maps, &mut live.arena, now)?;
            services.push(roster.desired.clone());
            let identity = (desired.id, desired.mode);
            live.services.insert(identity, Arc::new(roster));
        }
        for (index, orphans) in members {
            live.removed.push(bury(index, orphans, found, maps)?);
        }
        let rosters = || live.services.values().map(Arc::as_ref);
        live.keys = Keys {
            prefixes: found.prefixes.clone(),
            quic_servers: found.quic_servers.clone(),
            ..Keys::of(rosters())
        };
        let all = || rosters().chain(&live.removed);
        let used = all().map(|roster| roster.index).collect();
        live.service_indices = Indices::without(live.room.services, &used);
        let used = all().flat_map(|roster| &roster.members);
        let used = used.map(|member| member.index).collect();
        live.backend_indices = Indices::without(live.room.backends, &used);
        live.desired = Desired {
            services,
            ..Desired::default()
        };
        Ok(live)
    }

    /// [`Self::adopt`] of a plane that was adopted.
    pub fn adopt_plane(plane: &mut DataPlane) -> Result<Self, EngineError> {
        let found = plane.found()?;
        Self::adopt(plane.settings(), plane, &found, crate::tick())
    }
}

/// The backends that are there, by their service.
fn members(found: &Found) -> BTreeMap<u32, Vec<(u32, backend::Backend)>> {
    let nobody = backend::Backend::default();
    let mut members: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (index, entry) in (0..).zip(&found.backends) {
        if *entry != nobody {
            members
                .entry(entry.service)
                .or_default()
                .push((index, *entry));
        }
    }
    members
}

fn member(index: u32, entry: &backend::Backend, service: &Service, found: &Found) -> Member {
    let mut desired = entry::read_backend(entry, service);
    let server = (u64::from(entry.service), index);
    let mut servers = found.quic_servers.iter();
    desired.quic_server_id = service.quic.and_then(|quic| {
        let led = servers.find(|(key, backend)| (key.0, **backend) == server);
        led.and_then(|((_, id), _)| entry::read_server_id(*id, quic.server_id_length))
    });
    Member {
        index,
        desired,
        standing: match entry.flags & backend::ALIVE {
            0 => Standing::Dead,
            _ => Standing::Configured,
        },
        entry: *entry,
        source: entry::read_source(entry),
        slots: 0,
        free_at: None,
    }
}

/// The own addresses that a service may have been answered at. Nothing tells which of the
/// protocol's services it was.
fn sources(service: &Service, found: &Found) -> Vec<IpAddr> {
    let protocol = protocol_number(service.id.protocol);
    let all = found.sources.iter();
    let ours = all.filter(|(address, of)| {
        *of == protocol && address.is_ipv6() == service.id.address.is_ipv6()
    });
    ours.map(|(address, _)| *address).collect()
}

fn roster(
    index: u32,
    (entry, desired): (&service::Service, &Service),
    seats: Vec<(u32, backend::Backend)>,
    found: &Found,
) -> Roster {
    let seats = seats.iter();
    let members: Vec<Member> = seats
        .map(|(index, entry)| member(*index, entry, desired, found))
        .collect();
    let living = members.iter().filter(|member| member.lives());
    Roster {
        index,
        desired: Service {
            backends: living.map(|member| member.desired.clone()).collect(),
            ..desired.clone()
        },
        entry: *entry,
        members,
        region: entry.ring.exists().then(|| Region {
            first: entry.ring.first_slot(),
            log2: entry.ring.length().trailing_zeros() as u8,
        }),
        length: Length::MIN,
        owners_of: Vec::new(),
        sources: Vec::new(),
        changing: Vec::new(),
        free_at: None,
    }
}

/// The roster with what its slots say.
fn with_slots<M: Maps>(
    mut roster: Roster,
    maps: &M,
    arena: &mut Arena,
    now: u64,
) -> Result<Roster, EngineError> {
    let Some(region) = roster.region else {
        return Ok(roster);
    };
    if !arena.claim(region) {
        return Err(EngineError::Contradiction {
            what: format!(
                "the ring of {} shares slots with another",
                roster.desired.id
            ),
        });
    }
    roster.length = Length::new(region.slots().max(1)).unwrap_or(Length::MIN);
    let mut owned: BTreeMap<u32, u32> = BTreeMap::new();
    for place in 0..region.slots() {
        let slot = state(maps.slot(region.first + place));
        *owned.entry(slot.current()).or_default() += 1;
        if !slot.is_steady() {
            roster.changing.push(Changing {
                place,
                since: now,
                sweep: 0,
            });
        }
    }
    for member in &mut roster.members {
        member.slots = owned.get(&member.index).copied().unwrap_or(0);
    }
    Ok(roster)
}

/// Backends whose service is gone: its removal was not finished.
fn bury<M: Maps>(
    index: u32,
    orphans: Vec<(u32, backend::Backend)>,
    found: &Found,
    maps: &mut M,
) -> Result<Roster, EngineError> {
    let nobody = entry::no_service();
    let mut roster = roster(
        index,
        (&service::Service::default(), &nobody),
        orphans,
        found,
    );
    for member in &mut roster.members {
        member.entry.flags &= !(backend::ALIVE | backend::TAKES_NEW);
        member.standing = Standing::Dead;
        maps.write_backend(member.index, &member.entry)?;
    }
    Ok(roster)
}

impl Indices {
    /// All below the limit but these.
    fn without(limit: u32, used: &BTreeSet<u32>) -> Self {
        let next = used.last().map_or(0, |last| last + 1);
        let mut indices = Self::from(limit, next);
        (0..next)
            .filter(|index| !used.contains(index))
            .for_each(|index| indices.give(index));
        indices
    }
}
