//! What is known about every backend.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use engine::desired::{Backend, Service, ServiceId};
use serde::{Deserialize, Serialize};

use super::machine::{Machine, Memory, Moment, Role, Rules, State, Step};
use super::outcome::Outcome;
use super::report::BackendHealth;

/// A backend within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// The port it is reached on; `None`: the one the client asked for.
    pub port: Option<u16>,
}

impl Endpoint {
    /// A backend of `service`.
    #[must_use]
    pub fn of(service: &Service, backend: &Backend) -> Self {
        Self {
            address: backend.address,
            port: service.backend_port(backend),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:")?,
            IpAddr::V6(address) => write!(f, "[{address}]:")?,
        }
        match self.port {
            Some(port) => write!(f, "{port}"),
            None => f.write_str("*"),
        }
    }
}

/// A backend of a service that is another one from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The service.
    pub service: ServiceId,
    /// The backend.
    pub backend: Endpoint,
    /// What changed, when and why.
    pub step: Step,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step {
            from, to, reason, ..
        } = &self.step;
        let Self {
            service, backend, ..
        } = self;
        write!(f, "{backend} of {service}: {from} -> {to}: {reason}")
    }
}

/// What has to be asked of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) endpoint: Endpoint,
    pub(crate) rules: Rules,
    pub(crate) check: bool,
    /// Who says an agent's words, if anybody does.
    pub(crate) words: Option<Role>,
}

/// What is known about the backends that are checked.
#[derive(Clone, Debug, Default)]
pub struct Board {
    services: HashMap<ServiceId, HashMap<Endpoint, Machine>>,
    /// From before a restart, until the backend turns up.
    seed: HashMap<(String, String), Memory>,
    /// Something has changed of what outlives a restart.
    unsaved: bool,
}

/// What is known, in a form that outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    backends: Vec<SavedBackend>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedBackend {
    service: String,
    backend: String,
    #[serde(flatten)]
    memory: Memory,
}

/// What a result, or time, changed.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// The state is another.
    pub(crate) step: Option<Step>,
    /// Something is that the service's backends depend on.
    pub(crate) matters: bool,
    /// When weight next rises.
    pub(crate) next: Option<Instant>,
}

impl Board {
    /// Nothing is known but what was saved: what was down is down until it is seen to be up.
    #[must_use]
    pub fn new(saved: Saved) -> Self {
        let seed = saved.backends.into_iter();
        Self {
            services: HashMap::new(),
            seed: seed
                .map(|known| ((known.service, known.backend), known.memory))
                .collect(),
            unsaved: false,
        }
    }

    /// What is known, if it is not what this said the last time, or what was known at first.
    pub(crate) fn unsaved(&mut self) -> Option<Saved> {
        std::mem::take(&mut self.unsaved).then(|| self.saved())
    }

    /// What is known, to be given to [`Board::new`] after a restart.
    #[must_use]
    pub fn saved(&self) -> Saved {
        let mut backends: Vec<SavedBackend> = self
            .machines()
            .filter(|(.., machine)| *machine.memory() != Memory::default())
            .map(|(service, endpoint, machine)| SavedBackend {
                service: service.to_string(),
                backend: endpoint.to_string(),
                memory: machine.memory().clone(),
            })
            .collect();
        backends.sort_by(|a, b| (&a.service, &a.backend).cmp(&(&b.service, &b.backend)));
        Saved { backends }
    }

    /// State of a backend; `None` if it is not checked.
    #[must_use]
    pub fn state(&self, service: &ServiceId, backend: Endpoint, now: Instant) -> Option<State> {
        Some(self.machine(service, backend)?.state(now))
    }

    /// All about a backend, for its status; `None` if it is not checked.
    #[must_use]
    pub fn health(
        &self,
        service: &ServiceId,
        backend: Endpoint,
        now: Instant,
    ) -> Option<BackendHealth> {
        Some(BackendHealth::of(self.machine(service, backend)?, now))
    }

    /// Backends in each state, in the order of [`State`]'s variants.
    #[must_use]
    pub fn count(&self, state: State, now: Instant) -> usize {
        self.machines()
            .filter(|(.., machine)| machine.state(now) == state)
            .count()
    }

    fn machines(&self) -> impl Iterator<Item = (&ServiceId, &Endpoint, &Machine)> {
        self.services.iter().flat_map(|(service, machines)| {
            let all = machines.iter();
            all.map(move |(endpoint, machine)| (service, endpoint, machine))
        })
    }

    fn machine(&self, service: &ServiceId, backend: Endpoint) -> Option<&Machine> {
        self.services.get(service)?.get(&backend)
    }

    pub(crate) fn machines_of(&self, service: &ServiceId) -> Option<&HashMap<Endpoint, Machine>> {
        self.services.get(service)
    }

    /// Forgets all services but these.
    pub(crate) fn retain(&mut self, keep: impl Fn(&ServiceId) -> bool) {
        let before = self.services.len();
        self.services.retain(|service, _| keep(service));
        self.unsaved |= self.services.len() < before;
    }

    /// Whatever was saved and did not turn up is gone.
    pub(crate) fn forget_seed(&mut self) {
        self.unsaved |= !self.seed.is_empty();
        self.seed = HashMap::new();
    }

    /// Weight of a backend of this service rises, or has just done so.
    pub(crate) fn is_rising(&self, service: &ServiceId) -> bool {
        let machines = self.services.get(service);
        machines.is_some_and(|machines| machines.values().any(Machine::is_rising))
    }

    /// From now on these backends of a service are checked; those that were keep what is known.
    pub(crate) fn set_subjects(
        &mut self,
        service: ServiceId,
        subjects: &[Subject],
        now: Moment,
    ) -> Vec<Transition> {
        let mut before = self.services.remove(&service).unwrap_or_default();
        let mut transitions = Vec::new();
        let mut machines = HashMap::with_capacity(subjects.len());
        for subject in subjects {
            let backend = subject.endpoint;
            let mut machine = before.remove(&backend).unwrap_or_else(|| {
                let memory = match self.seed.is_empty() {
                    true => None,
                    false => self
                        .seed
                        .remove(&(service.to_string(), backend.to_string())),
                };
                Machine::resumed(memory.unwrap_or_default(), subject.rules, now)
            });
            let known = machine.memory().said();
            machine.set_rules(subject.rules);
            if subject.words != Some(Role::Agent) {
                machine.forget_answer();
            }
            let words = subject.words.is_some();
            for (role, asked) in [(Role::Check, subject.check), (Role::Agent, words)] {
                let step = match asked {
                    true => None,
                    false => machine.forget(role, now),
                };
                transitions.extend(step.map(|step| Transition {
                    service,
                    backend,
                    step,
                }));
            }
            self.unsaved |= machine.memory().said() != known;
            machines.insert(backend, machine);
        }
        self.unsaved |= !before.is_empty();
        self.services.insert(service, machines);
        transitions
    }

    /// Somebody took new flows when the process before this one ended, whatever was saved.
    pub(crate) fn doubt(
        &mut self,
        (service, backend): (ServiceId, Endpoint),
        now: Moment,
    ) -> Option<Transition> {
        let machine = self.services.get_mut(&service)?.get_mut(&backend)?;
        let step = machine.doubt(now)?;
        self.unsaved = true;
        Some(Transition {
            service,
            backend,
            step,
        })
    }

    /// Takes a result.
    pub(crate) fn observe(
        &mut self,
        (service, backend): (ServiceId, Endpoint),
        role: Role,
        outcome: &Outcome,
        now: Moment,
    ) -> Change {
        self.change(service, backend, now, |machine| {
            machine.observe(role, outcome, now)
        })
    }

    /// Time has passed: weights may have risen.
    pub(crate) fn advance(&mut self, service: ServiceId, now: Moment) -> Vec<(Endpoint, Change)> {
        let machines = self.services.get(&service);
        let rising = machines.into_iter().flatten();
        let rising: Vec<Endpoint> = rising
            .filter(|(_, machine)| machine.is_rising())
            .map(|(backend, _)| *backend)
            .collect();
        rising
            .into_iter()
            .map(|backend| {
                let change = self.change(service, backend, now, |machine| machine.advance(now));
                (backend, change)
            })
            .collect()
    }

    fn change(
        &mut self,
        service: ServiceId,
        backend: Endpoint,
        now: Moment,
        change: impl FnOnce(&mut Machine) -> Option<Step>,
    ) -> Change {
        let machine = self.services.get_mut(&service);
        let Some(machine) = machine.and_then(|machines| machines.get_mut(&backend)) else {
            return Change::default();
        };
        let (known, share) = (machine.memory().said(), machine.share(now.at));
        let step = change(machine);
        self.unsaved |= step.is_some() || machine.memory().said() != known;
        Change {
            matters: step.is_some() || machine.share(now.at) != share,
            step,
            next: machine.next_step(now.at),
        }
    }
}
