//! File and verdicts together: what should be in force. Pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Instant;

use engine::desired::{Backend, BackendState, Desired, Service, ServiceId};

use super::board::{Board, Endpoint};
use super::machine::{Machine, State, WHOLE};
use super::settings::{OnDown, ServiceHealth};
use crate::config::{Checked, MAX_WEIGHT};

/// While any weight of a service is scaled, all are multiplied by this, so that a tenth of 1 is
/// not nothing.
const SCALE: u64 = 100;

/// What should be in force now.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The configuration, with backends and weights as health wants them.
    pub(crate) desired: Desired,
    /// Services that are in a condition other than [`Condition::Normal`].
    pub(crate) conditions: Vec<(ServiceId, Condition)>,
}

/// How a service is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Condition {
    /// By its backends that are up.
    #[default]
    Normal,
    /// Too few are up, so by all of them.
    Panic,
    /// By its sorry backends: no other takes new flows.
    Sorry,
    /// Not at all: nobody takes new flows.
    Empty,
}

impl Condition {
    /// Its word in status and events.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Panic => "panic",
            Self::Sorry => "sorry",
            Self::Empty => "empty",
        }
    }
}

/// What should be in force of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceTarget<'a> {
    /// Borrowed if it is as the file says.
    pub(super) service: Cow<'a, Service>,
    /// How it is served.
    pub(super) condition: Condition,
}

/// What should be in force of everything. Takes milliseconds for 10,000 services of 10 backends.
pub(crate) fn target(checked: &Checked, board: &Board, now: Instant) -> Target {
    let file = &checked.desired;
    let mut target = Target {
        desired: Desired {
            interfaces: file.interfaces.clone(),
            services: Vec::with_capacity(file.services.len()),
            nat: file.nat.clone(),
            tunnel: file.tunnel.clone(),
            timeouts: file.timeouts.clone(),
            limits: file.limits.clone(),
            seed: file.seed,
        },
        conditions: Vec::new(),
    };
    for service in &file.services {
        let Some(health) = checked.health.get(&service.id) else {
            target.desired.services.push(service.clone());
            continue;
        };
        let wanted = target_of_service(service, health, board, now);
        if wanted.condition != Condition::Normal {
            target.conditions.push((service.id, wanted.condition));
        }
        target.desired.services.push(wanted.service.into_owned());
    }
    target
}

/// What should be in force of one service.
pub(super) fn target_of_service<'a>(
    service: &'a Service,
    health: &ServiceHealth,
    board: &Board,
    now: Instant,
) -> ServiceTarget<'a> {
    let machines = board.machines_of(&service.id);
    let members: Vec<Member<'_>> = service
        .backends
        .iter()
        .map(|backend| Member::of(service, backend, machines, now))
        .collect();
    let eligible = members.iter().filter(|member| member.is_eligible()).count();
    let up = members.iter().filter(|member| member.is_up()).count();
    // With nobody up at all, those who are there for that case are preferred.
    let panic = up < eligible
        && up * 100 < eligible * usize::from(health.panic_threshold)
        && (up > 0 || health.sorry.is_empty());
    let mut backends = weighed(&members, panic, health.on_down);
    let taken = backends.iter().any(takes_new);
    let sorry = !taken && !health.sorry.is_empty();
    backends.extend(health.sorry.iter().map(|backend| fallback(backend, sorry)));
    let condition = match (taken, sorry) {
        (true, _) if panic => Condition::Panic,
        (true, _) => Condition::Normal,
        (false, true) if backends.iter().any(takes_new) => Condition::Sorry,
        (false, _) => Condition::Empty,
    };
    ServiceTarget {
        service: match backends == service.backends {
            true => Cow::Borrowed(service),
            false => Cow::Owned(with_backends(service, backends)),
        },
        condition,
    }
}

/// The service with others in place of its backends, which are not copied for that.
fn with_backends(service: &Service, backends: Vec<Backend>) -> Service {
    Service {
        mode: service.mode,
        affinity: service.affinity,
        track: service.track,
        transition_window: service.transition_window,
        echo: service.echo,
        quic: service.quic,
        ring_log2: service.ring_log2,
        ..Service::new(service.id, backends)
    }
}

fn takes_new(backend: &Backend) -> bool {
    backend.state == BackendState::Up && backend.weight > 0
}

/// A sorry backend drains while it is not needed: so it has its next hop and its index, and the
/// ring's length does not depend on whether it is.
fn fallback(backend: &Backend, needed: bool) -> Backend {
    Backend {
        state: match backend.state {
            BackendState::Up if !needed => BackendState::Drain,
            state => state,
        },
        ..backend.clone()
    }
}

/// A backend and what is known about it.
struct Member<'a> {
    backend: &'a Backend,
    state: State,
    /// Thousandths of its weight.
    share: u32,
}

impl<'a> Member<'a> {
    fn of(
        service: &Service,
        backend: &'a Backend,
        machines: Option<&'a HashMap<Endpoint, Machine>>,
        now: Instant,
    ) -> Self {
        let machine = machines.and_then(|all| all.get(&Endpoint::of(service, backend)));
        Self {
            backend,
            state: machine.map_or(State::Up, |machine| machine.state(now)),
            share: machine.map_or(WHOLE, |machine| machine.share(now)),
        }
    }

    /// Nobody has taken it out, neither in the file nor by its agent.
    fn is_eligible(&self) -> bool {
        self.backend.state == BackendState::Up
            && !matches!(self.state, State::Drain | State::Maintenance)
    }

    fn is_up(&self) -> bool {
        self.is_eligible() && self.state != State::Down
    }

    fn state(&self, panic: bool, on_down: OnDown) -> BackendState {
        match (self.backend.state, self.state) {
            (BackendState::Down, _) => BackendState::Down,
            (BackendState::Up, State::Unknown | State::Up | State::Starting) => BackendState::Up,
            (BackendState::Up, State::Down) if panic => BackendState::Up,
            (_, State::Down | State::Maintenance) if on_down == OnDown::Move => BackendState::Down,
            _ => BackendState::Drain,
        }
    }
}

/// The backends with the states and weights that they should have.
fn weighed(members: &[Member<'_>], panic: bool, on_down: OnDown) -> Vec<Backend> {
    let scaled = |member: &Member<'_>| match member.state(panic, on_down) {
        BackendState::Up => member.share,
        _ => WHOLE,
    };
    let any = members.iter().any(|member| scaled(member) != WHOLE);
    let product =
        |member: &Member<'_>| u64::from(member.backend.weight) * u64::from(scaled(member)) * SCALE;
    let largest = members.iter().map(product).max().unwrap_or(0);
    // All of them by the same, so that their ratios stay; in thousandths as the shares.
    let divisor = u64::from(WHOLE).max(largest.div_ceil(u64::from(MAX_WEIGHT)));
    let weight = |member: &Member<'_>| match (any, product(member)) {
        (false, _) => member.backend.weight,
        (true, 0) => 0,
        // Rounded; whoever has any weight keeps some.
        (true, product) => ((product + divisor / 2) / divisor).clamp(1, MAX_WEIGHT.into()) as u32,
    };
    members
        .iter()
        .map(|member| Backend {
            weight: weight(member),
            state: member.state(panic, on_down),
            ..member.backend.clone()
        })
        .collect()
}

#[cfg(test)]
mod tests;
