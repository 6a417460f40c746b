//! Backends that take no new flows, and whose last one has ended: they can go.

use std::collections::HashSet;

use super::Live;
use super::service::{Member, Roster, Standing};
use super::sweep::led_to;
use crate::desired::{Backend, BackendState, Service};
use crate::maps::Maps;

/// A backend that no flow and no slot leads to any more, as far as flows are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Its service.
    pub service: Service,
    /// It.
    pub backend: Backend,
}

/// Which backends are known to be without flows.
#[derive(Debug, Default)]
pub(super) struct Drains {
    /// Their indices.
    known: HashSet<u32>,
    /// Those that nobody has asked for yet.
    news: Vec<Drained>,
}

/// Whether a backend takes no new flows and keeps those it has.
pub(super) fn drains(member: &Member) -> bool {
    match member.standing {
        Standing::Configured => member.desired.state == BackendState::Drain,
        Standing::Leaving => true,
        Standing::Dead => false,
    }
}

impl Drains {
    /// Who no longer drains may take flows, and is not known any more.
    pub(super) fn keep_draining<'a>(&mut self, services: impl Iterator<Item = &'a Roster>) {
        if self.known.is_empty() {
            return;
        }
        let members = services.flat_map(|roster| &roster.members);
        let draining = members.filter(|member| drains(member));
        let known = draining.map(|member| member.index);
        self.known = known.filter(|index| self.known.contains(index)).collect();
    }

    /// Looks which of those that drain have nothing left. `used` are those that a flow leads to.
    pub(super) fn look<'a, M: Maps>(
        &mut self,
        services: impl Iterator<Item = &'a Roster>,
        maps: &M,
        used: &HashSet<u32>,
    ) {
        let mut empty = HashSet::new();
        for roster in services {
            let mut members = roster.members.iter().filter(|it| drains(it)).peekable();
            if members.peek().is_none() {
                continue;
            }
            let led_to = led_to(roster, maps);
            for member in members {
                let index = member.index;
                if member.slots > 0 || led_to.contains(&index) || used.contains(&index) {
                    continue;
                }
                empty.insert(index);
                if !self.known.contains(&index) {
                    self.news.push(Drained {
                        service: roster.desired.clone(),
                        backend: member.desired.clone(),
                    });
                }
            }
        }
        self.known = empty;
    }
}

impl Live {
    /// Backends that were found without flows since this was last asked; each once, as long as it
    /// takes no new ones.
    pub fn drained(&mut self) -> Vec<Drained> {
        std::mem::take(&mut self.drained.news)
    }

    /// Whether a backend, by its index, had nothing left at the last sweep and has drained since.
    #[must_use]
    pub fn is_drained(&self, backend: u32) -> bool {
        self.drained.known.contains(&backend)
    }
}
