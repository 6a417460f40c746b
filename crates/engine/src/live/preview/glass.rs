//! Services and backends before and after.

use std::collections::HashMap;

use abi::directory::NAT_SOURCE;
use abi::slot::Slot;

use super::fields::{backend_fields, differences, service_fields};
use super::{BackendChange, BackendPreview, Change, FieldChange, ServicePreview};
use crate::desired::{Backend, BackendState, ForwardingMode, Service, ServiceId, ServicePort};
use crate::live::arena::Region;
use crate::live::keys::{Keys, answer_key, source_key};
use crate::live::service::{Member, Roster, Standing, changes_at_once};
use crate::live::slots::state;
use crate::live::{Live, Plan, entry};

/// What a plan is looked at through.
pub(super) struct Glass<'a> {
    pub(super) live: &'a Live,
    pub(super) plan: &'a Plan,
    /// As they will be.
    pub(super) keys: &'a Keys,
    /// Reads a slot of the arena.
    pub(super) read: &'a dyn Fn(u32) -> Slot,
}

impl Glass<'_> {
    pub(super) fn service(&self, old: Option<&Roster>, new: &Roster) -> ServicePreview {
        let service = &new.desired;
        let slots = |roster: &Roster| roster.region.map_or(0, Region::slots);
        ServicePreview {
            id: service.id,
            mode: service.mode,
            change: old.map_or(Change::Added, |_| Change::Changed),
            fields: old.map_or_else(Vec::new, |old| {
                differences(&service_fields(&old.desired), &service_fields(service))
            }),
            backends: self.backends(old, new),
            track: [
                old.map_or(service.track, |old| old.desired.track),
                service.track,
            ],
            slots_before: old.map_or(0, slots),
            slots: slots(new),
            slots_moved: self.plan.moved.get(&new.index).copied().unwrap_or(0),
            transitions: !changes_at_once(service),
            takes_from: match old {
                Some(_) => Vec::new(),
                None => self.takes_from(service),
            },
        }
    }

    pub(super) fn removed(&self, old: &Roster) -> ServicePreview {
        let untold = self.untold(old);
        let living = old.members.iter().filter(|member| member.lives());
        let dies = living.map(|member| BackendPreview {
            change: BackendChange::Dies,
            takes_new: [taken(member), false],
            ..preview_of(old, member, &untold)
        });
        ServicePreview {
            id: old.desired.id,
            mode: old.desired.mode,
            change: Change::Removed,
            fields: Vec::new(),
            backends: dies.collect(),
            track: [old.desired.track; 2],
            slots_before: old.region.map_or(0, Region::slots),
            slots: 0,
            slots_moved: 0,
            transitions: false,
            takes_from: Vec::new(),
        }
    }

    fn backends(&self, old: Option<&Roster>, new: &Roster) -> Vec<BackendPreview> {
        let untold = old.map(|old| self.untold(old)).unwrap_or_default();
        let mut previews: Vec<BackendPreview> = new
            .desired
            .backends
            .iter()
            .map(|backend| self.configured(old, new, backend, &untold))
            .collect();
        let Some(old) = old else {
            return previews;
        };
        let key = |backend: &Backend| (backend.address, new.desired.backend_port(backend));
        let named = |backend: &Backend| new.desired.backends.iter().any(|b| key(b) == key(backend));
        for member in old.members.iter().filter(|member| member.lives()) {
            if !named(&member.desired) {
                let left = member.standing == Standing::Leaving;
                let mut preview = preview_of(old, member, &untold);
                preview.change = match left {
                    true => BackendChange::Same,
                    false => BackendChange::Leaves,
                };
                self.aftermath(&mut preview, member, new);
                previews.push(preview);
            }
        }
        for backend in &old.desired.backends {
            if backend.state == BackendState::Down && !named(backend) {
                let state = BackendState::Down.to_string();
                previews.push(nobody(&new.desired, backend, [state, NOTHING.into()]));
            }
        }
        previews
    }

    /// A backend of the new configuration.
    fn configured(
        &self,
        old: Option<&Roster>,
        new: &Roster,
        backend: &Backend,
        untold: &HashMap<u32, u32>,
    ) -> BackendPreview {
        let service = &new.desired;
        let key = |backend: &Backend| (backend.address, service.backend_port(backend));
        let is_it = |other: &Backend| key(other) == key(backend);
        let was = old.and_then(|old| old.desired.backends.iter().find(|b| is_it(b)));
        let fields = was.map_or_else(Vec::new, |was| {
            differences(&backend_fields(was), &backend_fields(backend))
        });
        let lives = |member: &&Member| member.lives() && is_it(&member.desired);
        let before = old.and_then(|old| Some((old, old.members.iter().find(lives)?)));
        let is_down = backend.state == BackendState::Down;
        let Some((old, member)) = before else {
            if is_down {
                let state = backend.state.to_string();
                return match was {
                    Some(_) => BackendPreview {
                        change: BackendChange::Same,
                        fields,
                        ..nobody(service, backend, [state.clone(), state])
                    },
                    None => nobody(service, backend, [NOTHING.into(), state]),
                };
            }
            let after = new.members.iter().find(lives);
            return BackendPreview {
                change: BackendChange::Added,
                fields,
                slots: [0, after.map_or(0, |member| member.slots)],
                takes_new: [false, entry::takes_new(backend)],
                ..nobody(service, backend, Default::default())
            };
        };
        let mut preview = preview_of(old, member, untold);
        preview.change = match (is_down, member.standing, fields.is_empty()) {
            (true, _, _) => BackendChange::Dies,
            (false, Standing::Leaving, _) => BackendChange::Added,
            (false, _, false) => BackendChange::Changed,
            (false, _, true) => BackendChange::Same,
        };
        preview.fields = fields;
        self.aftermath(&mut preview, member, new);
        preview
    }

    /// What a member that lived is afterwards.
    fn aftermath(&self, preview: &mut BackendPreview, before: &Member, new: &Roster) {
        let mut members = new.members.iter();
        let Some(after) = members.find(|member| member.index == before.index) else {
            return;
        };
        preview.slots[1] = after.slots;
        preview.takes_new[1] = taken(after);
        preview.loses_answers = self.answers_are_lost(before, new);
    }

    /// Whether answers to the flows of a backend of a service were found as its own, and are not any
    /// more.
    pub(super) fn answers_are_lost(&self, member: &Member, new: &Roster) -> bool {
        let service = &new.desired;
        let is_found = |keys: &Keys| match service.mode {
            ForwardingMode::Nat => member.source.is_none_or(|source| {
                let target = keys.directory.get(&source_key(source, service.id.protocol));
                target.is_some_and(|target| target.kind & NAT_SOURCE != 0)
            }),
            ForwardingMode::Dnat => {
                let target = keys.directory.get(&answer_key(service, &member.desired));
                target.is_some_and(|target| target.service == new.index)
            }
            ForwardingMode::L2Dsr | ForwardingMode::Ipip | ForwardingMode::Gue => true,
        };
        is_found(&self.live.keys) && !is_found(self.keys)
    }

    /// How many slots lead flows without an entry to each backend.
    fn untold(&self, old: &Roster) -> HashMap<u32, u32> {
        let mut untold = HashMap::new();
        let Some(region) = old
            .region
            .filter(|_| old.desired.mode != ForwardingMode::Nat)
        else {
            return untold;
        };
        let alive = old.members.iter().filter(|member| member.lives());
        let alive: Vec<u32> = alive.map(|member| member.index).collect();
        for slot in region.first..region.first + region.slots() {
            let state = state((self.read)(slot));
            let backend = state.without_entry(|backend| alive.contains(&backend));
            *untold.entry(backend).or_insert(0) += 1;
        }
        untold
    }

    /// Whose packets a new service gets. Not of one of mode `nat`, if it is `nat` itself: flows that
    /// are known are found before any service is looked at.
    fn takes_from(&self, service: &Service) -> Vec<ServiceId> {
        let (id, nat) = (service.id, ForwardingMode::Nat);
        let before = self.live.desired.services.iter();
        let before = before.filter(|other| other.mode != nat || service.mode != nat);
        let takes = before.map(|other| other.id).filter(|other| {
            *other != id
                && other.protocol == id.protocol
                && other.address.covers(id.address)
                && (other.port == id.port || other.port == ServicePort::Any)
        });
        takes.collect()
    }
}

/// In place of the value of a field of somebody who is not configured.
const NOTHING: &str = "none";

fn taken(member: &Member) -> bool {
    member.standing == Standing::Configured && entry::takes_new(&member.desired)
}

/// A member that lives, as if it stayed so.
fn preview_of(old: &Roster, member: &Member, untold: &HashMap<u32, u32>) -> BackendPreview {
    BackendPreview {
        address: member.desired.address,
        port: old.desired.backend_port(&member.desired),
        change: BackendChange::Same,
        fields: Vec::new(),
        slots: [member.slots, 0],
        takes_new: [taken(member); 2],
        index: Some(member.index),
        untold_slots: untold.get(&member.index).copied().unwrap_or(0),
        loses_answers: false,
    }
}

/// A backend without an index, whose state differs.
fn nobody(service: &Service, backend: &Backend, [old, new]: [String; 2]) -> BackendPreview {
    let field = "state";
    BackendPreview {
        address: backend.address,
        port: service.backend_port(backend),
        change: BackendChange::Changed,
        fields: vec![FieldChange { field, old, new }],
        slots: [0; 2],
        takes_new: [false; 2],
        index: None,
        untold_slots: 0,
        loses_answers: false,
    }
}
