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
    encode_with(services, findings, to)
}

fn encode_with(
    services: &[ServiceStatus],
    findings: impl Fn(&BackendStatus) -> Option<Findings>,
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
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    /// Services of which only the backends at this address are checked.
    #[derive(Debug)]
    struct Checked(Vec<ServiceStatus>, &'static str);

    impl Collector for Checked {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
            let findings = |backend: &BackendStatus| {
                (backend.address == self.1).then_some(Findings {
                    is_up: Some(true),
                    passed: 12,
                    failed: 3,
                    last_transition_unix_seconds: Some(1_700_000_000.0),
                })
            };
            encode_with(&self.0, findings, &mut encoder)
        }
    }

    #[test]
    fn backends_that_are_checked_have_samples_and_others_have_none() {
        let backend = |address: &str| BackendStatus {
            address: address.into(),
            ..BackendStatus::default()
        };
        let service = ServiceStatus {
            service: "s".into(),
            backends: vec![backend("a"), backend("b")],
            ..ServiceStatus::default()
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Checked(vec![service], "b")));
        let mut written = String::new();
        text::encode(&mut written, &registry).unwrap();
        let samples: Vec<&str> = written
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let of_b = "service=\"s\",backend=\"b\"";
        let up = format!("backend_health_up{{{of_b}}} 1");
        let passed = format!("backend_health_checks_total{{{of_b},result=\"passed\"}} 12");
        let failed = format!("backend_health_checks_total{{{of_b},result=\"failed\"}} 3");
        let at = "backend_health_last_transition_timestamp_seconds";
        let at = format!("{at}{{{of_b}}} 1700000000.0");
        assert_eq!(samples, [up, passed, failed, at]);
    }
}
