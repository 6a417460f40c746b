//! The rule of slots by itself, in random histories: the select stage and the sweep as few lines,
//! everything else as it is. `tests/tests/history_*.rs` does the same with the real ones.

#![forbid(unsafe_code)]

use std::collections::HashMap;

use evenkeel_ring::transition::{Slot, doubled};
use evenkeel_ring::{Length, Member, build};
use testkit::history::{self, Answer, COURSE, Fleet, Kind, SERVERS, State, Subject, Tally, Terms};
use testkit::random::{SEED_VARIABLE, seed};

const HISTORIES: u64 = 2_000;

struct Entry {
    backend: u32,
    last_seen: u32,
    closed: bool,
}

/// A slot and when it came to be as it is.
#[derive(Clone)]
struct Place {
    slot: Slot,
    changed: u32,
    /// The number of the sweep before.
    sweep: u32,
}

struct Model {
    terms: Terms,
    now: u32,
    ring: Vec<Place>,
    /// By index: the server, and whether it lives and takes new flows. No index is used twice.
    backends: Vec<(u8, bool, bool)>,
    /// The index of each server that lives.
    index: [Option<u32>; SERVERS as usize],
    table: HashMap<u32, Entry>,
    entered: u32,
    refused: u32,
    sweeps: u32,
}

impl Model {
    fn new(terms: &Terms) -> Self {
        Self {
            terms: *terms,
            now: 0,
            ring: Vec::new(),
            backends: Vec::new(),
            index: [None; SERVERS as usize],
            table: HashMap::new(),
            entered: 0,
            refused: 0,
            sweeps: 0,
        }
    }

    fn place(&self, flow: u32) -> usize {
        // Fibonacci hashing: the top bits of a product with the golden ratio.
        let hash = u64::from(flow) ^ self.terms.seed;
        let hash = (hash ^ hash >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> (64 - self.ring.len().ilog2())) as usize
    }

    fn lives(&self, backend: u32) -> bool {
        self.backends[backend as usize].1
    }

    /// Enters a flow, or does not.
    fn enter(&mut self, flow: u32, backend: u32, kind: Kind) -> bool {
        let full = self.table.len() >= self.terms.table as usize && !self.table.contains_key(&flow);
        if full || self.entered >= self.terms.pace {
            self.refused = self.now;
            return false;
        }
        self.entered += 1;
        let entry = Entry {
            backend,
            last_seen: self.now,
            closed: kind == Kind::Fin,
        };
        self.table.insert(flow, entry);
        true
    }

    /// The select stage. The backend, and whether the flow was refused.
    fn select(&mut self, flow: u32, kind: Kind) -> (u32, bool) {
        let slot = self.ring[self.place(flow)].slot;
        if slot.is_steady() && !self.terms.track_always {
            return (slot.current(), false);
        }
        let now = self.now;
        if let Some(entry) = self.table.get_mut(&flow)
            && self.backends[entry.backend as usize].1
        {
            entry.last_seen = now;
            entry.closed |= kind == Kind::Fin;
            if kind == Kind::Syn && entry.closed && !self.backends[entry.backend as usize].2 {
                entry.backend = slot.current();
                entry.closed = false;
            }
            return (entry.backend, false);
        }
        let Some(previous) = slot.previous() else {
            let refused = self.terms.track_always && !self.enter(flow, slot.current(), kind);
            return (slot.current(), refused);
        };
        let wanted = match kind {
            Kind::Syn => slot.current(),
            Kind::Datagram if self.backends[previous as usize].2 => previous,
            Kind::Datagram => slot.current(),
            Kind::Ack | Kind::Fin => slot.without_entry(|backend| self.lives(backend)),
        };
        let refused = !self.enter(flow, wanted, kind);
        if refused && kind != Kind::Datagram {
            return (slot.without_entry(|backend| self.lives(backend)), true);
        }
        (wanted, refused)
    }

    fn note(&mut self, at: usize, slot: Slot) {
        if self.ring[at].slot != slot {
            self.ring[at] = Place {
                slot,
                changed: self.now,
                sweep: self.sweeps,
            };
        }
    }

    /// Gives each server its index, a new one if it comes back from the dead.
    fn enlist(&mut self, fleet: &Fleet) {
        for name in 0..SERVERS {
            let server = fleet.servers.iter().find(|server| server.name == name);
            let state = server.map(|server| server.state);
            let index = &mut self.index[usize::from(name)];
            if state == Some(State::Down)
                && let Some(dead) = index.take()
            {
                self.backends[dead as usize] = (name, false, false);
                self.table.retain(|_, entry| entry.backend != dead);
                for at in 0..self.ring.len() {
                    self.note(at, self.ring[at].slot.died(dead));
                }
                continue;
            }
            // Nobody says anything about a server that was removed: it drains.
            let takes_new = state == Some(State::Up);
            match (*index, state) {
                (Some(index), _) => self.backends[index as usize].2 = takes_new,
                (None, Some(State::Up | State::Draining)) => {
                    *index = Some(self.backends.len() as u32);
                    self.backends.push((name, true, takes_new));
                }
                (None, _) => {}
            }
        }
    }
}

impl Subject for Model {
    fn set_time(&mut self, now: u32) {
        self.now = now;
        self.entered = 0;
    }

    fn apply(&mut self, fleet: &Fleet) {
        self.enlist(fleet);
        let takers = fleet.servers.iter().filter(|s| s.state == State::Up);
        let members: Vec<Member> = takers
            .map(|server| Member {
                key: u64::from(server.name),
                weight: server.weight,
            })
            .collect();
        let length = Length::new(1 << fleet.ring_log2).expect("a ring of a few slots");
        let Ok(ring) = build(&members, length, self.terms.seed) else {
            return;
        };
        let owner = |member: u32| {
            let name = members[member as usize].key;
            self.index[name as usize].expect("a server that is up has an index")
        };
        let owners: Vec<u32> = ring.owners().iter().copied().map(owner).collect();
        if self.ring.is_empty() {
            let place = |&current| Place {
                slot: Slot::Steady { current },
                changed: self.now,
                sweep: self.sweeps,
            };
            self.ring = owners.iter().map(place).collect();
        }
        while self.ring.len() < owners.len() {
            let slots: Vec<Slot> = self.ring.iter().map(|place| place.slot).collect();
            let places = self.ring.iter().flat_map(|place| [place, place]);
            let doubled = places.zip(doubled(&slots));
            self.ring = doubled
                .map(|(place, slot)| Place {
                    slot,
                    ..place.clone()
                })
                .collect();
        }
        for (at, owner) in owners.into_iter().enumerate() {
            let old = self.ring[at].slot;
            let slot = old.change(owner, |backend| self.lives(backend));
            self.note(at, slot);
        }
    }

    fn packet(&mut self, flow: u32, kind: Kind) -> Answer {
        if self.ring.is_empty() {
            return Answer {
                server: None,
                refused: false,
            };
        }
        let (backend, refused) = self.select(flow, kind);
        let (name, lives, _) = self.backends[backend as usize];
        Answer {
            server: lives.then_some(name),
            refused,
        }
    }

    fn sweep(&mut self) {
        self.sweeps += 1;
        let (now, window) = (self.now, self.terms.window);
        self.table
            .retain(|_, entry| now - entry.last_seen <= window);
        let mut pinned = vec![false; self.ring.len()];
        for (&flow, entry) in &self.table {
            let at = self.place(flow);
            pinned[at] |= self.ring[at].slot.current() != entry.backend;
        }
        for (at, pinned) in pinned.into_iter().enumerate() {
            let place = &self.ring[at];
            if place.slot.previous().is_some() {
                if now - place.changed.max(self.refused) > window {
                    self.note(at, place.slot.window_over());
                }
            } else if !pinned && self.sweeps >= place.sweep + 2 {
                self.note(at, place.slot.settled());
            }
        }
    }

    fn steady(&mut self, flow: u32, _: Kind) -> Option<u8> {
        if self.ring.is_empty() {
            return None;
        }
        let slot = self.ring[self.place(flow)].slot;
        slot.is_steady()
            .then(|| self.backends[slot.current() as usize].0)
    }
}

#[test]
fn no_flow_whose_backend_lives_moves_unless_it_was_silent_for_the_window() {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let mut tally = Tally::default();
    for history in 0..HISTORIES {
        let outcome = history::run(seed.wrapping_add(history), COURSE, &Model::new);
        tally.add(&outcome.unwrap_or_else(|broken| panic!("{SEED_VARIABLE}={seed}: {broken}")));
    }
    println!("{tally:#?}");
    for count in [
        tally.unsteady,
        tally.refused,
        tally.moved,
        tally.died,
        tally.taken_over,
        tally.again,
    ] {
        assert!(count > HISTORIES, "the histories are too calm: {tally:?}");
    }
}
