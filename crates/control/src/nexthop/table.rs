//! What the kernel said last, and what follows from it for each target. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use engine::desired::{Mac, NextHop};

use super::facts::{Event, Link, Neighbour, NeighbourKey, Route};
use super::resolution::{Reason, Resolution, Target};

/// An unresolved neighbour is asked for this often; the kernel gives up on one after 3 s.
const RETRY: Duration = Duration::from_secs(4);
/// A neighbour in use is confirmed this often, plus up to [`SPREAD`], so that not all are at once.
const CONFIRM: Duration = Duration::from_secs(15);
const SPREAD: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct TargetState {
    mac: Option<Mac>,
    /// `None`: not looked up yet.
    route: Option<Result<Route, Reason>>,
}

/// A neighbour that targets depend on.
#[derive(Debug)]
struct Wanted {
    targets: BTreeSet<IpAddr>,
    /// The MAC it had last, until it is known not to answer: that the kernel has dropped an entry
    /// (`ip neigh flush`, a full table) is no reason to stop sending.
    last_mac: Option<Mac>,
    /// When to ask the kernel for it next.
    due: Instant,
    /// It did not answer, and has not since.
    failed: bool,
    /// The kernel refused to ask.
    error: Option<String>,
}

/// The state. Who changes it asks afterwards for `stale_routes`, `touched` and `due`.
#[derive(Debug, Default)]
pub(super) struct Table {
    links: HashMap<u32, Link>,
    neighbours: HashMap<NeighbourKey, Neighbour>,
    targets: BTreeMap<IpAddr, TargetState>,
    wanted: BTreeMap<NeighbourKey, Wanted>,
    stale_routes: BTreeSet<IpAddr>,
    touched: BTreeSet<IpAddr>,
}

impl Table {
    /// Replaces the targets; what is known about those that stay is kept.
    pub(super) fn set_targets(&mut self, targets: &[Target]) {
        let new: BTreeMap<IpAddr, Option<Mac>> = targets
            .iter()
            .map(|target| (target.address, target.mac))
            .collect();
        let gone: Vec<IpAddr> = self
            .targets
            .keys()
            .filter(|address| !new.contains_key(address))
            .copied()
            .collect();
        for address in gone {
            self.forget_route(address);
            self.targets.remove(&address);
            self.stale_routes.remove(&address);
            self.touched.remove(&address);
        }
        for (address, mac) in new {
            match self.targets.get(&address) {
                Some(state) if state.mac == mac => {}
                _ => {
                    self.forget_route(address);
                    self.targets
                        .insert(address, TargetState { mac, route: None });
                    self.stale_routes.insert(address);
                }
            }
        }
    }

    /// Replaces links and neighbours by a fresh dump; every route is to be looked up again.
    pub(super) fn resync(
        &mut self,
        links: Vec<(u32, Link)>,
        neighbours: Vec<(NeighbourKey, Neighbour)>,
        now: Instant,
    ) {
        self.links = links.into_iter().collect();
        self.neighbours.clear();
        for wanted in self.wanted.values_mut() {
            wanted.due = now;
        }
        for (key, entry) in neighbours {
            self.set_neighbour(key, Some(entry), now);
        }
        self.touched.extend(self.targets.keys());
        self.all_routes_are_stale();
    }

    pub(super) fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Link(index, link) => {
                let before = match link {
                    Some(ref link) => self.links.insert(index, link.clone()),
                    None => self.links.remove(&index),
                };
                if before != link {
                    self.all_routes_are_stale();
                    self.touched.extend(self.targets.keys());
                }
            }
            Event::Neighbour(key, entry) => self.set_neighbour(key, entry, now),
            Event::Route(prefix) => {
                let inside = self
                    .targets
                    .range(prefix.range())
                    .map(|(address, _)| address);
                self.stale_routes.extend(inside);
            }
            Event::AnyRoute => self.all_routes_are_stale(),
        }
    }

    pub(super) fn all_routes_are_stale(&mut self) {
        self.stale_routes.extend(self.targets.keys());
    }

    /// Takes the targets whose route has to be looked up.
    pub(super) fn take_stale_routes(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.stale_routes)
    }

    /// Takes the targets whose resolution may have changed.
    pub(super) fn take_touched(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn set_route(
        &mut self,
        address: IpAddr,
        route: Result<Route, Reason>,
        now: Instant,
    ) {
        let Some(state) = self.targets.get(&address) else {
            return;
        };
        self.touched.insert(address);
        if state.route.as_ref() == Some(&route) {
            return;
        }
        let needs_neighbour = state.mac.is_none();
        self.forget_route(address);
        if let Ok(route) = &route
            && needs_neighbour
        {
            let key = route.neighbour();
            let entry = self.neighbours.get(&key);
            let wanted = self.wanted.entry(key).or_insert_with(|| Wanted {
                targets: BTreeSet::new(),
                last_mac: entry.and_then(Neighbour::mac),
                due: now,
                failed: false,
                error: None,
            });
            wanted.targets.insert(address);
        }
        if let Some(state) = self.targets.get_mut(&address) {
            state.route = Some(route);
        }
    }

    fn forget_route(&mut self, address: IpAddr) {
        let Some(state) = self.targets.get_mut(&address) else {
            return;
        };
        if let Some(Ok(route)) = state.route.take() {
            let key = route.neighbour();
            if let Some(wanted) = self.wanted.get_mut(&key) {
                wanted.targets.remove(&address);
                if wanted.targets.is_empty() {
                    self.wanted.remove(&key);
                }
            }
        }
    }

    fn set_neighbour(&mut self, key: NeighbourKey, entry: Option<Neighbour>, now: Instant) {
        match entry {
            Some(entry) => self.neighbours.insert(key, entry),
            None => self.neighbours.remove(&key),
        };
        let Some(wanted) = self.wanted.get_mut(&key) else {
            return;
        };
        self.touched.extend(&wanted.targets);
        match entry {
            Some(Neighbour::Failed) => {
                wanted.failed = true;
                // One that answered so far may have another MAC now: the next question is a
                // broadcast, the ones that failed were to the old MAC only.
                wanted.due = match wanted.last_mac.take() {
                    Some(_) => now,
                    None => wanted.due.min(now + RETRY),
                };
            }
            Some(Neighbour::Confirmed(mac)) => {
                wanted.failed = false;
                wanted.last_mac = Some(mac);
                wanted.due = now + confirm_after(key);
            }
            Some(Neighbour::Stale(mac)) => {
                wanted.failed = false;
                wanted.last_mac = Some(mac);
                wanted.due = now;
            }
            // Collected by the kernel, or gone with the carrier.
            None => wanted.due = now,
            Some(Neighbour::Unknown) => {}
        }
    }

    /// Takes the neighbours that the kernel has to be asked for now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<NeighbourKey> {
        let mut due = Vec::new();
        for (key, wanted) in &mut self.wanted {
            let link = self.links.get(&key.interface_index);
            // Asking on a link without carrier fails for a reason that is already known.
            if wanted.due > now || !link.is_some_and(|link| link.up && link.carrier) {
                continue;
            }
            let known = self.neighbours.get(key).and_then(Neighbour::mac).is_some();
            wanted.due = now + if known { confirm_after(*key) } else { RETRY };
            due.push(*key);
        }
        due
    }

    /// Notes whether the kernel agreed to ask.
    pub(super) fn asked(&mut self, key: NeighbourKey, result: Result<(), String>) {
        if let Some(wanted) = self.wanted.get_mut(&key) {
            let error = result.err();
            if wanted.error != error {
                wanted.error = error;
                self.touched.extend(&wanted.targets);
            }
        }
    }

    /// What is known about a target; `None` before its route was first looked up.
    pub(super) fn resolution(&self, address: IpAddr) -> Option<Resolution> {
        let state = self.targets.get(&address)?;
        Some(match state.route.as_ref()? {
            Err(reason) => Resolution::Unresolved(reason.clone()),
            Ok(route) => match self.next_hop(address, state, route) {
                Ok(next_hop) => Resolution::Resolved {
                    next_hop,
                    gateway: (state.mac.is_none() && route.next_hop != address)
                        .then_some(route.next_hop),
                },
                Err(reason) => Resolution::Unresolved(reason),
            },
        })
    }

    fn next_hop(
        &self,
        address: IpAddr,
        state: &TargetState,
        route: &Route,
    ) -> Result<NextHop, Reason> {
        let link = self
            .links
            .get(&route.interface_index)
            .ok_or(Reason::InterfaceGone(address))?;
        let interface = || link.name.clone();
        if !link.up {
            return Err(Reason::InterfaceDown(interface()));
        }
        if !link.carrier {
            return Err(Reason::NoCarrier(interface()));
        }
        Ok(NextHop {
            interface_index: route.interface_index,
            source_mac: link.mac.ok_or_else(|| Reason::NotEthernet(interface()))?,
            destination_mac: match state.mac {
                Some(mac) => mac,
                None => self.neighbour_mac(route.neighbour(), link)?,
            },
            source_address: route
                .source_address
                .filter(|source| !is_link_local(*source))
                .ok_or_else(|| Reason::NoSourceAddress(interface()))?,
            mtu: route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
        })
    }

    fn neighbour_mac(&self, key: NeighbourKey, link: &Link) -> Result<Mac, Reason> {
        let (next_hop, interface) = (key.address, link.name.clone());
        let wanted = self.wanted.get(&key);
        if let Some(mac) = wanted.and_then(|wanted| wanted.last_mac) {
            return Ok(mac);
        }
        Err(match wanted.and_then(|wanted| wanted.error.clone()) {
            Some(error) => Reason::CannotAsk {
                next_hop,
                interface,
                error,
            },
            None if wanted.is_some_and(|wanted| wanted.failed) => Reason::NoAnswer {
                next_hop,
                interface,
            },
            None => Reason::Asking {
                next_hop,
                interface,
            },
        })
    }
}

/// Whether answers to this address would end at the first router.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// [`CONFIRM`] plus a share of [`SPREAD`] that is always the same for one neighbour.
fn confirm_after(key: NeighbourKey) -> Duration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    CONFIRM + SPREAD * u32::from(hasher.finish().to_le_bytes()[0]) / 256
}

#[cfg(test)]
mod tests;
