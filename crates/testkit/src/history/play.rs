//! How a history goes.

use std::collections::HashMap;

use super::{Answer, Course, Fleet, Kind, SERVERS, Server, State, Subject, Tally, Terms};
use crate::random::Random;

/// Where a flow is.
#[derive(Clone, Copy, Debug)]
struct Home {
    server: u8,
    /// How often the server had died when the flow came to it.
    life: u32,
}

#[derive(Clone, Debug)]
struct Flow {
    number: u32,
    kind: Kind,
    instance: usize,
    home: Home,
    last: u32,
    /// Ticks between packets, about.
    period: u32,
    /// It may move: it is UDP, and was refused or had a server that took no new flows.
    excused: bool,
    /// Its instance has not seen it yet.
    unseen: bool,
}

/// A history in the making.
struct History<'m, S> {
    random: Random,
    course: Course,
    terms: Terms,
    floods: bool,
    make: &'m dyn Fn(&Terms) -> S,
    instances: Vec<S>,
    fleet: Fleet,
    /// How often each server died.
    deaths: [u32; SERVERS as usize],
    flows: Vec<Flow>,
    /// Connections that were seen to end, and the instance that saw it.
    ended: HashMap<u32, usize>,
    next_number: u32,
    now: u32,
    tally: Tally,
}

/// Numbers of flows that are used again: a client's ports come round.
const RECYCLED: u32 = 20;
/// Numbers from here on belong to floods.
const FLOOD: u32 = 1 << 20;

/// What is drawn first for a history.
fn terms(random: &mut Random, floods: bool, course: &Course) -> Terms {
    Terms {
        window: course.sweep_every * 10,
        table: if floods {
            *random.pick(&[20, 2_000])
        } else {
            1 << 16
        },
        pace: if floods {
            *random.pick(&[3, 40, u32::MAX])
        } else {
            u32::MAX
        },
        track_always: random.one_in(6),
        seed: random.number(),
    }
}

/// Runs the history of `seed` on instances that `make` makes.
///
/// # Errors
/// What broke, as a sentence.
pub fn run<S: Subject>(
    seed: u64,
    course: Course,
    make: &dyn Fn(&Terms) -> S,
) -> Result<Tally, String> {
    let mut random = Random::new(seed);
    let floods = random.one_in(2);
    let terms = terms(&mut random, floods, &course);
    let count = 2 + random.below(5) as u8;
    let servers = (0..count).map(|name| Server {
        name,
        weight: 1,
        state: State::Up,
    });
    let mut history = History {
        fleet: Fleet {
            servers: servers.collect(),
            ring_log2: *random.pick(&[4, 5, 6]),
        },
        instances: Vec::new(),
        deaths: [0; SERVERS as usize],
        flows: Vec::new(),
        ended: HashMap::new(),
        next_number: 0,
        now: 0,
        tally: Tally::default(),
        random,
        course,
        terms,
        floods,
        make,
    };
    for _ in 0..2 {
        history.start_instance();
    }
    history
        .play()
        .map_err(|what| format!("history {seed}, tick {}: {what}; {terms:?}", history.now))?;
    Ok(history.tally)
}

impl<S: Subject> History<'_, S> {
    fn start_instance(&mut self) {
        let mut instance = (self.make)(&self.terms);
        instance.set_time(self.now);
        instance.apply(&self.fleet);
        self.instances.push(instance);
    }

    fn play(&mut self) -> Result<(), String> {
        for now in 1..self.course.ticks {
            self.now = now;
            for instance in &mut self.instances {
                instance.set_time(now);
            }
            if self.random.one_in(self.course.change_one_in) {
                self.change();
            }
            for _ in 0..self.random.below(3) {
                self.begin()?;
            }
            if self.floods && self.random.one_in(20) {
                self.flood();
            }
            self.talk()?;
            if self.random.one_in(40) {
                self.reshuffle();
            }
            if now.is_multiple_of(self.course.sweep_every) {
                for instance in &mut self.instances {
                    instance.sweep();
                }
            }
        }
        Ok(())
    }

    fn server(&self, name: u8) -> Option<&Server> {
        self.fleet.servers.iter().find(|server| server.name == name)
    }

    fn takes_new(&self, name: u8) -> bool {
        self.server(name)
            .is_some_and(|server| server.state == State::Up)
    }

    fn lives(&self, home: Home) -> bool {
        self.deaths[usize::from(home.server)] == home.life
    }

    /// One to three changes of the configuration at once.
    fn change(&mut self) {
        for _ in 0..=self.random.below(3) {
            self.change_one();
        }
        self.tally.changes += 1;
        for instance in &mut self.instances {
            instance.apply(&self.fleet);
        }
        let before = self.flows.len();
        let deaths = self.deaths;
        self.flows
            .retain(|flow| deaths[usize::from(flow.home.server)] == flow.home.life);
        self.tally.died += (before - self.flows.len()) as u64;
        for flow in &mut self.flows {
            let taking =
                |server: &Server| server.name == flow.home.server && server.state == State::Up;
            let tracked = self.terms.track_always && !flow.unseen;
            if flow.kind == Kind::Datagram && !tracked {
                flow.excused |= !self.fleet.servers.iter().any(taking);
            }
        }
    }

    fn change_one(&mut self) {
        let name = self.random.below(usize::from(SERVERS)) as u8;
        let Some(at) = self.fleet.servers.iter().position(|s| s.name == name) else {
            let state = *self
                .random
                .pick(&[State::Up, State::Up, State::Up, State::Draining]);
            let weight = 1;
            self.fleet.servers.push(Server {
                name,
                weight,
                state,
            });
            return;
        };
        match self.random.below(12) {
            0 if self.fleet.ring_log2 < 8 => self.fleet.ring_log2 += 1,
            1 => self.fleet.servers[at].weight = 1 + self.random.below(3) as u32,
            2..=4 if self.fleet.servers.len() > 1 => {
                self.fleet.servers.remove(at);
            }
            _ => {
                let others = match self.fleet.servers[at].state {
                    State::Up => [State::Draining, State::Down],
                    State::Draining => [State::Up, State::Down],
                    State::Down => [State::Up, State::Up],
                };
                let state = *self.random.pick(&others);
                self.fleet.servers[at].state = state;
                self.deaths[usize::from(name)] += u32::from(state == State::Down);
            }
        }
    }

    fn begin(&mut self) -> Result<(), String> {
        let again = self.next_number > RECYCLED && self.random.one_in(4);
        let number = if again {
            self.random.below(self.next_number as usize) as u32
        } else {
            self.next_number += 1;
            self.next_number
        };
        if self.flows.iter().any(|flow| flow.number == number) {
            return Ok(());
        }
        // The number decides, so that a number that comes round is the same 5-tuple.
        let kind = if number.is_multiple_of(4) {
            Kind::Datagram
        } else {
            Kind::Syn
        };
        let instance = self.random.below(self.instances.len());
        let ended = self.ended.remove(&number) == Some(instance);
        self.tally.again += u64::from(ended);
        let remembered = again && !ended;
        let answer = self.instances[instance].packet(number, kind);
        self.tally.refused += u64::from(answer.refused);
        let Some(server) = answer.server else {
            let somebody = self.fleet.servers.iter().any(|s| s.state == State::Up);
            return match somebody {
                true => Err(format!("flow {number} found no backend")),
                false => Ok(()),
            };
        };
        let home = Home {
            server,
            life: self.deaths[usize::from(server)],
        };
        self.judge_beginning(number, kind, home, answer, remembered)?;
        self.flows.push(Flow {
            number,
            kind,
            instance,
            home,
            last: self.now,
            period: *self.random.pick(&[1, 3, 8, 20, 38, 50]),
            excused: self.is_excused(kind, server, answer),
            unseen: false,
        });
        Ok(())
    }

    fn is_excused(&self, kind: Kind, server: u8, answer: Answer) -> bool {
        let untracked = !self.terms.track_always && !self.takes_new(server);
        kind == Kind::Datagram && (answer.refused || untracked)
    }

    /// A flow that begins goes to a server that takes new flows, if there is one.
    fn judge_beginning(
        &self,
        number: u32,
        kind: Kind,
        home: Home,
        answer: Answer,
        remembered: bool,
    ) -> Result<(), String> {
        let server = self.server(home.server);
        if server.is_some_and(|server| server.state == State::Down) {
            return Err(format!(
                "flow {number} began with dead server {}",
                home.server
            ));
        }
        let somebody = self.fleet.servers.iter().any(|s| s.state == State::Up);
        if somebody && !remembered && !answer.refused && !self.takes_new(home.server) {
            return Err(format!(
                "flow {number} ({kind:?}) began with server {}, which takes none",
                home.server
            ));
        }
        Ok(())
    }

    /// Packets of flows that nobody meant.
    fn flood(&mut self) {
        let instance = self.random.below(self.instances.len());
        for _ in 0..self.course.flood {
            let number = FLOOD + self.random.below(1 << 20) as u32;
            let kind = *self.random.pick(&[Kind::Syn, Kind::Ack]);
            let answer = self.instances[instance].packet(number, kind);
            self.tally.refused += u64::from(answer.refused);
        }
    }

    fn talk(&mut self) -> Result<(), String> {
        let mut flows = std::mem::take(&mut self.flows);
        let mut result = Ok(());
        flows.retain_mut(|flow| {
            let silent = self.now - flow.last;
            // Those with short periods speak up before the window is over.
            let must = flow.period < self.terms.window && silent + 1 >= self.terms.window;
            if result.is_err() || !(must || self.random.one_in(flow.period as usize)) {
                return !self.random.one_in(200);
            }
            match self.packet(flow) {
                Ok(stays) => stays,
                Err(what) => {
                    result = Err(what);
                    false
                }
            }
        });
        self.flows = flows;
        result
    }

    /// One packet of a flow. Says whether the flow goes on.
    fn packet(&mut self, flow: &mut Flow) -> Result<bool, String> {
        let kind = match flow.kind {
            Kind::Syn if self.random.one_in(30) => Kind::Fin,
            Kind::Syn => Kind::Ack,
            kind => kind,
        };
        let instance = &mut self.instances[flow.instance];
        let steady = instance.steady(flow.number, kind);
        let answer = instance.packet(flow.number, kind);
        let silent = self.now - flow.last;
        self.tally.judged += 1;
        self.tally.unsteady += u64::from(steady.is_none());
        self.tally.refused += u64::from(answer.refused);
        flow.last = self.now;
        flow.unseen = false;
        // On a steady slot nobody looks at entries, and so at nobody's end.
        if kind == Kind::Fin && !answer.refused && (steady.is_none() || self.terms.track_always) {
            self.ended.insert(flow.number, flow.instance);
        }
        if answer.server == Some(flow.home.server) && self.lives(flow.home) {
            flow.excused |= flow.kind == Kind::Datagram && answer.refused;
            return Ok(kind != Kind::Fin);
        }
        if silent > self.terms.window || flow.excused {
            self.tally.moved += 1;
            return Ok(false);
        }
        Err(format!(
            "flow {} ({:?}, instance {}) was with server {}, which lives, and went to {:?} after {silent} silent ticks{}",
            flow.number,
            flow.kind,
            flow.instance,
            flow.home.server,
            answer.server,
            if steady.is_some() {
                " on a steady slot"
            } else {
                ""
            },
        ))
    }

    /// The network sends flows to another instance, perhaps one that has just been started. Only
    /// those whose slots are steady on both sides can be expected to survive.
    fn reshuffle(&mut self) {
        let to = self.random.below(self.instances.len());
        if self.random.one_in(2) {
            self.start_instance();
            let fresh = self.instances.pop();
            let old = fresh.map(|fresh| std::mem::replace(&mut self.instances[to], fresh));
            // Nobody can expect the flows of the one that is gone to survive on the fresh one.
            if let Some(mut old) = old {
                self.flows.retain(|flow| {
                    flow.instance != to
                        || old.steady(flow.number, flow.kind) == Some(flow.home.server)
                });
                let instances = &mut self.instances;
                self.flows.retain(|flow| {
                    flow.instance != to
                        || instances[to].steady(flow.number, flow.kind) == Some(flow.home.server)
                });
            }
        }
        for flow in &mut self.flows {
            flow.unseen |= flow.instance == to;
            let mut is_at_home = |instance: usize| {
                self.instances[instance].steady(flow.number, flow.kind) == Some(flow.home.server)
            };
            if flow.instance != to && is_at_home(flow.instance) && is_at_home(to) {
                flow.instance = to;
                flow.unseen = true;
                self.tally.taken_over += 1;
            }
        }
    }
}
