//! The handle to everything that is checked.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use engine::desired::{Desired, NextHop, Service, ServiceId};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::board::{Board, Change, Endpoint, Saved, Subject, Transition};
use super::check::{Probe, Tools};
use super::machine::{Moment, Role};
use super::outcome::Outcome;
use super::schedule::{Pace, Schedule};
use super::settings::{CheckKind, ServiceHealth};
use super::subjects::{probe, subjects, taken};
use crate::config::Checked;

/// First runs of checks at one time.
const FIRST_RUNS: usize = 256;
/// Transitions kept for [`Health::changes`]; the oldest give way.
const MAX_PENDING: usize = 65_536;

/// Checks the backends of a configuration until dropped.
pub struct Health {
    shared: Arc<Shared>,
    runs: HashMap<Run, Running>,
    next_run: u64,
    first: Arc<Semaphore>,
    tools: Arc<Tools>,
    /// Each kind of check once, however many services have it.
    kinds: HashSet<Arc<CheckKind>>,
}

/// What happened since [`Health::changes`] was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order in which it happened.
    pub transitions: Vec<Transition>,
    /// Services that may have to be served in another way now.
    pub services: BTreeSet<ServiceId>,
    /// Transitions that are not listed, because nobody asked for too long.
    pub lost: u64,
}

/// Equal checks at the same pace are run once.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Run {
    probe: Probe,
    pace: Pace,
}

struct Running {
    number: u64,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whom a result is about.
type Subscriber = (ServiceId, Endpoint, Role);

/// What the tasks tell the handle.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    board: Board,
    subscribers: HashMap<u64, Vec<Subscriber>>,
    /// When weights rise next.
    steps: BTreeSet<(Instant, ServiceId)>,
    changes: Changes,
}

/// The board, locked: results wait while this is held, so it must not be across an `await`.
pub struct BoardGuard<'a>(MutexGuard<'a, State>);

impl std::ops::Deref for BoardGuard<'_> {
    type Target = Board;

    fn deref(&self) -> &Board {
        &self.0.board
    }
}

/// Reads the board from elsewhere, as for a status.
#[derive(Clone)]
pub struct BoardReader(Arc<Shared>);

impl std::fmt::Debug for BoardReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BoardReader")
    }
}

impl BoardReader {
    /// What is known now.
    #[must_use]
    pub fn board(&self) -> BoardGuard<'_> {
        BoardGuard(self.0.state())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, run: u64, outcome: &Outcome) {
        let now = moment();
        let mut state = self.state();
        // Taken out and put back, so that nothing is copied for a result that changes nothing.
        let Some(subscribers) = state.subscribers.remove(&run) else {
            return;
        };
        for (service, backend, role) in &subscribers {
            let subject = (*service, *backend);
            let change = state.board.observe(subject, *role, outcome, now);
            state.note(*service, *backend, change);
        }
        state.subscribers.insert(run, subscribers);
        let news = !state.changes.services.is_empty();
        drop(state);
        if news {
            self.news.notify_waiters();
        }
    }
}

impl State {
    fn set_subjects(&mut self, known: HashMap<ServiceId, Vec<Subject>>, now: Moment) {
        self.board.retain(|service| known.contains_key(service));
        self.steps
            .retain(|(_, service)| known.contains_key(service));
        self.changes
            .services
            .retain(|service| known.contains_key(service));
        for (service, subjects) in known {
            let transitions = self.board.set_subjects(service, &subjects, now);
            self.tell(transitions);
            // The slow start may be another, or from before a restart.
            if self.board.is_rising(&service) {
                self.steps.insert((now.at, service));
            }
        }
        self.board.forget_seed();
    }

    fn note(&mut self, service: ServiceId, backend: Endpoint, change: Change) {
        if change.matters {
            self.changes.services.insert(service);
            self.steps.extend(change.next.map(|next| (next, service)));
        }
        self.tell(change.step.map(|step| Transition {
            service,
            backend,
            step,
        }));
    }

    fn tell(&mut self, transitions: impl IntoIterator<Item = Transition>) {
        let pending = &mut self.changes.transitions;
        for transition in transitions {
            self.changes.services.insert(transition.service);
            pending.push(transition);
        }
        let surplus = pending.len().saturating_sub(MAX_PENDING);
        pending.drain(..surplus);
        self.changes.lost += surplus as u64;
    }

    /// Weights rise whose time has come.
    fn advance(&mut self, now: Moment) {
        while let Some((at, service)) = self.steps.first().copied() {
            if at > now.at {
                return;
            }
            self.steps.pop_first();
            self.changes.services.insert(service);
            for (backend, change) in self.board.advance(service, now) {
                self.steps.extend(change.next.map(|next| (next, service)));
                self.note(service, backend, change);
            }
        }
    }
}

/// Now, on the runtime's clock.
fn moment() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment {
        at: tokio::time::Instant::now().into_std(),
        unix_ms: since.map_or(0, |since| since.as_millis() as u64),
    }
}

impl Health {
    /// Starts with nothing to check, and what was known before a restart. Needs a tokio runtime
    /// with time and I/O; checks are made in the network namespace of the thread that runs it.
    #[must_use]
    pub fn start(seed: Option<Saved>) -> Self {
        raise_descriptor_limit();
        let shared = Arc::new(Shared::default());
        shared.state().board = Board::new(seed.unwrap_or_default());
        Self {
            shared,
            runs: HashMap::new(),
            next_run: 0,
            first: Arc::new(Semaphore::new(FIRST_RUNS)),
            tools: Arc::default(),
            kinds: HashSet::new(),
        }
    }

    /// Replaces what is checked. Backends that stay keep what is known about them, and checks that
    /// stay keep their time; new ones are run at once. Files of CAs are read again.
    pub fn set_subjects(&mut self, checked: &Checked) {
        self.tools.trusted.forget();
        self.tools.ports.set(checked.desired.nat.kept_ports());
        self.tools.wire.set_taken(taken(checked));
        let mut wanted: HashMap<Run, Vec<Subscriber>> = HashMap::new();
        let mut known = HashMap::with_capacity(checked.health.len());
        for service in &checked.desired.services {
            let health = checked.health.get(&service.id);
            let Some(health) = health.filter(|said| said.check.is_some() || said.agent.is_some())
            else {
                continue;
            };
            self.subscribe(&checked.desired, service, health, &mut wanted);
            known.insert(service.id, subjects(service, health));
        }
        self.runs.retain(|run, _| wanted.contains_key(run));
        if !wanted.keys().any(|run| run.probe.through.is_some()) {
            self.tools.wire.close();
        }
        // Locked until all is in place, so that no result finds nobody it is about.
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        let runs = wanted.into_iter();
        state.subscribers = runs.map(|(run, list)| (self.run(run), list)).collect();
        self.kinds.retain(|kind| Arc::strong_count(kind) > 1);
        state.set_subjects(known, moment());
        drop(state);
        shared.news.notify_waiters();
    }

    /// These took new flows when the process before this one ended. What was saved of them may be
    /// older, and whoever is said to be down loses its flows: it is not known to be, until its checks
    /// say so again.
    pub fn doubt(&self, in_use: impl IntoIterator<Item = (ServiceId, Endpoint)>) {
        let mut state = self.shared.state();
        let now = moment();
        let in_use = in_use.into_iter();
        let transitions: Vec<_> = in_use
            .filter_map(|name| state.board.doubt(name, now))
            .collect();
        state.tell(transitions);
        drop(state);
        self.shared.news.notify_waiters();
    }

    /// How packets get to backends, for checks by way of a service: all that is known, whenever it
    /// changes. A backend that is not among them is out of reach.
    pub fn set_next_hops(&self, hops: impl IntoIterator<Item = (IpAddr, NextHop)>) {
        self.tools.wire.set_next_hops(hops.into_iter().collect());
    }

    /// Waits until something has changed since the last call: transitions, an agent's weight, a
    /// step of a slow start. Cancelling it loses nothing.
    pub async fn changes(&mut self) -> Changes {
        loop {
            let news = self.shared.news.notified();
            let next = {
                let mut state = self.shared.state();
                state.advance(moment());
                if !state.changes.services.is_empty() {
                    return std::mem::take(&mut state.changes);
                }
                state.steps.first().map(|(at, _)| *at)
            };
            let Some(next) = next else {
                news.await;
                continue;
            };
            tokio::select! {
                () = news => {}
                () = sleep_until(next.into()) => {}
            }
        }
    }

    /// What is known now.
    #[must_use]
    pub fn board(&self) -> BoardGuard<'_> {
        BoardGuard(self.shared.state())
    }

    /// What is known, for those who have no handle. It stays as it is once the handle is dropped.
    #[must_use]
    pub fn reader(&self) -> BoardReader {
        BoardReader(Arc::clone(&self.shared))
    }

    /// What outlives a restart.
    #[must_use]
    pub fn saved(&self) -> Saved {
        self.board().saved()
    }

    /// The same, if it is not what this said the last time, or what was known at the start.
    #[must_use]
    pub fn unsaved(&self) -> Option<Saved> {
        self.shared.state().board.unsaved()
    }

    /// Checks that are run, each counted once however many backends it speaks for.
    #[must_use]
    pub fn checks(&self) -> usize {
        self.runs.len()
    }

    fn subscribe(
        &mut self,
        desired: &Desired,
        service: &Service,
        health: &ServiceHealth,
        wanted: &mut HashMap<Run, Vec<Subscriber>>,
    ) {
        for (role, check) in [(Role::Check, &health.check), (Role::Agent, &health.agent)] {
            let Some(check) = check else { continue };
            let kind = self.kind(&check.kind);
            for backend in &service.backends {
                let endpoint = Endpoint::of(service, backend);
                let run = Run {
                    probe: probe(&kind, check, desired, service, backend),
                    pace: check.timing.into(),
                };
                let subscribers = wanted.entry(run).or_default();
                subscribers.push((service.id, endpoint, role));
            }
        }
    }

    fn kind(&mut self, kind: &CheckKind) -> Arc<CheckKind> {
        if let Some(known) = self.kinds.get(kind) {
            return Arc::clone(known);
        }
        let kind = Arc::new(kind.clone());
        self.kinds.insert(Arc::clone(&kind));
        kind
    }

    /// The number of a run, which is started unless it is there.
    fn run(&mut self, run: Run) -> u64 {
        if let Some(running) = self.runs.get(&run) {
            return running.number;
        }
        let number = self.next_run;
        self.next_run += 1;
        let schedule = Schedule {
            pace: run.pace,
            first: Arc::clone(&self.first),
        };
        let (probe, timeout) = (run.probe.clone(), run.pace.timeout);
        let tools = Arc::clone(&self.tools);
        // Boxed, because it is large, and most checks wait most of the time.
        let check = async move || Box::pin(probe.run(&tools, timeout)).await;
        let shared = Arc::clone(&self.shared);
        let report = move |outcome: &Outcome| shared.report(number, outcome);
        let task = tokio::spawn(schedule.run(check, report));
        self.runs.insert(run, Running { number, task });
        number
    }
}

/// Each check under way has a socket, and the usual 1,024 descriptors are soon used up.
fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, "at most {soft} checks can be made at one time");
    }
}

#[cfg(test)]
mod tests;
