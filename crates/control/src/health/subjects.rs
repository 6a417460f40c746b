//! What a configuration wants checked.

use std::sync::Arc;

use engine::desired::{Backend, Desired, Prefix, Service, ServicePort};

use super::board::{Endpoint, Subject};
use super::check::{Probe, Through};
use super::machine::{Role, Rules};
use super::settings::{Check, CheckKind, ServiceHealth, Via};
use crate::config::Checked;

pub(super) fn subjects(service: &Service, health: &ServiceHealth) -> Vec<Subject> {
    let timing = health.check.as_ref().map(|check| check.timing);
    let timing = timing.unwrap_or_default();
    let is_agent = |check: &Check| matches!(check.kind, CheckKind::Agent { .. });
    let words = match &health.agent {
        Some(_) => Some(Role::Agent),
        None => health
            .check
            .as_ref()
            .filter(|check| is_agent(check))
            .map(|_| Role::Check),
    };
    let subject = |backend| Subject {
        endpoint: Endpoint::of(service, backend),
        rules: Rules {
            rise: timing.rise,
            fall: timing.fall,
            slow_start: health.slow_start,
        },
        check: health.check.is_some(),
        words,
    };
    service.backends.iter().map(subject).collect()
}

/// What asks about one backend.
pub(super) fn probe(
    kind: &Arc<CheckKind>,
    check: &Check,
    desired: &Desired,
    service: &Service,
    backend: &Backend,
) -> Probe {
    let (address, through) = match check.via {
        Via::Direct => (backend.address, None),
        // The first of a prefix only if the check has no address of its own.
        Via::Service => (
            service.id.address.address(),
            Some(through(desired, service, backend)),
        ),
    };
    Probe {
        kind: Arc::clone(kind),
        address: check.address.unwrap_or(address),
        port: check.port.or(service.backend_port(backend)),
        through,
    }
}

fn through(desired: &Desired, service: &Service, backend: &Backend) -> Through {
    Through {
        mode: service.mode,
        backend: backend.address,
        gue_port: backend.gue_port,
        source: desired.source(service.mode, backend.address),
        ttl: desired.tunnel.ttl,
    }
}

/// What the services of every port take.
pub(super) fn taken(checked: &Checked) -> Arc<[Prefix]> {
    let services = checked.desired.services.iter();
    let every = services.filter(|service| service.id.port == ServicePort::Any);
    every.map(|service| service.id.address).collect()
}
