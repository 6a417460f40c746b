//! The families about what health checks found.

use std::fmt::Error;

use prometheus_client::encoding::DescriptorEncoder;

use super::family::{counters, gauges};
use super::service::{labels, pairs};
use crate::health::State;
use crate::status::{BackendStatus, ServiceStatus};

/// What checks found of one backend.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Findings {
    /// Whether it takes packets, if that is known yet.
    is_up: Option<bool>,
    /// Checks that went well.
    passed: u64,
    /// Checks that did not.
    failed: u64,
    /// When it last came up or went down, in seconds since 1970.
    last_transition_unix_seconds: Option<f64>,
}

/// The one place that knows where a status has them; `None`: it is not checked.
fn findings(backend: &BackendStatus) -> Option<Findings> {
    let health = backend.health.as_ref()?;
    let since = health.since_unix_ms;
    Some(Findings {
        is_up: match health.state {
            State::Unknown => None,
            State::Up | State::Starting | State::Drain => Some(true),
            State::Down | State::Maintenance => Some(false),
        },
        passed: health.passed,
        failed: health.failed,
        last_transition_unix_seconds: (since != 0).then_some(since as f64 / 1_000.0),
    })
}

pub(super) fn encode(
    services: &[ServiceStatus],
    to: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    let checked = || {
        pairs(services).filter_map(|(service, backend)| {
            let findings = findings(backend)?;
            Some((labels(service, backend), findings))
        })
    };
    let mut up = gauges(
        to,
        "backend_health_up",
        "Whether health checks found a backend up: 1, or 0",
    )?;
    for (labels, found) in checked() {
        if let Some(is_up) = found.is_up {
            up.put(labels, u64::from(is_up))?;
        }
    }
    let mut checks = counters(
        to,
        "backend_health_checks",
        "Health checks of a backend, by result",
    )?;
    for ([service, backend], found) in checked() {
        checks.put([service, backend, ("result", "passed")], found.passed)?;
        checks.put([service, backend, ("result", "failed")], found.failed)?;
    }
    let mut transitions = gauges(
        to,
        "backend_health_last_transition_timestamp_seconds",
        "When health checks last found a backend up or down after the contrary, since 1970",
    )?;
    for (labels, found) in checked() {
        if let Some(at) = found.last_transition_unix_seconds {
            transitions.put(labels, at)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::BackendHealth;

    fn found(state: State, since_unix_ms: u64) -> Findings {
        let backend = BackendStatus {
            health: Some(BackendHealth {
                state,
                since_unix_ms,
                ..BackendHealth::default()
            }),
            ..BackendStatus::default()
        };
        findings(&backend).unwrap()
    }

    #[test]
    fn who_takes_packets_is_up_and_who_was_not_checked_yet_is_neither() {
        for (state, is_up) in [
            (State::Unknown, None),
            (State::Up, Some(true)),
            (State::Starting, Some(true)),
            (State::Drain, Some(true)),
            (State::Down, Some(false)),
            (State::Maintenance, Some(false)),
        ] {
            assert_eq!(found(state, 0).is_up, is_up, "{state}");
        }
    }

    #[test]
    fn a_state_since_the_first_check_has_no_transition() {
        let at = |ms| found(State::Up, ms).last_transition_unix_seconds;
        assert_eq!(at(0), None);
        assert_eq!(at(1_500), Some(1.5));
    }
}
