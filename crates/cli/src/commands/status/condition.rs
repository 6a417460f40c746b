//! How backends and services are: what their checks say, and how far a drain is.

use control::health::{BackendHealth, State};
use control::status::BackendStatus;

use super::duration;

/// How a service is served, if not by its backends that are up.
pub(super) fn of_service(condition: &str) -> Option<&'static str> {
    match condition {
        "panic" => Some("PANIC: too few backends are up, so all are used"),
        "sorry" => Some("SORRY: no other backend is left, so its sorry backends are used"),
        "empty" => Some("EMPTY: every backend is down, drains or has weight 0"),
        _ => None,
    }
}

/// What there is to say of a backend's checks while all is well: for the line that it has anyway.
pub(super) fn well(backend: &BackendStatus, now_ms: u64) -> Option<String> {
    let health = backend.health.as_ref()?;
    is_well(health).then(|| format!("checks: {}", since(health, now_ms)))
}

/// What there is to say beside that, if anything.
pub(super) fn extra(backend: &BackendStatus, now_ms: u64) -> Option<String> {
    let health = backend.health.as_ref().filter(|health| !is_well(health));
    let mut parts: Vec<String> = Vec::new();
    parts.extend(health.map(|health| unwell(health, now_ms)));
    parts.extend(drain(backend));
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn is_well(health: &BackendHealth) -> bool {
    let fails = health.check.as_ref().is_some_and(|it| it.answer != "good");
    matches!(health.state, State::Up | State::Unknown) && !fails && health.weight >= 1.0
}

fn unwell(health: &BackendHealth, now_ms: u64) -> String {
    let mut text = format!("checks: {}", since(health, now_ms));
    if health.weight < 1.0 && matches!(health.state, State::Up | State::Starting) {
        text += &format!(", with {:.0} % of its weight", health.weight * 100.0);
    }
    let last = health.check.as_ref();
    match health.state {
        State::Up | State::Unknown | State::Starting => {
            if let Some(last) = last.filter(|last| last.answer != "good") {
                text += &format!("; the last one: {}", last.text);
            }
        }
        _ => match (health.history.last(), last) {
            (Some(step), _) if step.to == health.state => text += &format!(": {}", step.reason),
            (_, Some(last)) => text += &format!(": {}", last.text),
            _ => {}
        },
    }
    text
}

/// A state, and since when it has been that: `since` is 0 if it has never been another.
fn since(health: &BackendHealth, now_ms: u64) -> String {
    match health.since_unix_ms {
        0 => health.state.to_string(),
        since => {
            let seconds = now_ms.saturating_sub(since) / 1_000;
            format!("{} for {}", health.state, duration(seconds))
        }
    }
}

/// How far a drain is.
fn drain(backend: &BackendStatus) -> Option<String> {
    if !matches!(&*backend.state, "drain" | "leaving") {
        return None;
    }
    if backend.drained {
        return Some("no flow is left: it can go".into());
    }
    let flows = backend.flows?;
    Some(match (backend.flows_exact, flows) {
        (true, 0) => "no flow is left".into(),
        (true, 1) => "1 flow is left".into(),
        (true, flows) => format!("{flows} flows are left"),
        (false, 0) => "no flow is known, and there may be some".into(),
        (false, flows) => format!("flows that are known: {flows}"),
    })
}

#[cfg(test)]
mod tests {
    use control::health::{CheckReport, Step};

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn checked(state: State, answer: &str, text: &str) -> BackendStatus {
        let health = BackendHealth {
            state,
            since_unix_ms: NOW - 65_000,
            check: Some(CheckReport {
                answer: answer.into(),
                text: text.into(),
                ..CheckReport::default()
            }),
            weight: 1.0,
            ..BackendHealth::default()
        };
        BackendStatus {
            health: Some(health),
            ..BackendStatus::default()
        }
    }

    #[test]
    fn a_backend_that_is_well_needs_no_line_of_its_own() {
        let backend = checked(State::Up, "good", "connected");
        let said = well(&backend, NOW).unwrap();
        assert_eq!(said, "checks: up for 1 min 5 s");
        assert_eq!(extra(&backend, NOW), None);
        let unchecked = BackendStatus::default();
        assert_eq!(
            (well(&unchecked, NOW), extra(&unchecked, NOW)),
            (None, None)
        );
    }

    #[test]
    fn a_backend_that_is_not_well_says_why() {
        let mut down = checked(State::Down, "bad", "connection refused");
        assert_eq!(well(&down, NOW), None);
        let said = extra(&down, NOW).unwrap();
        assert_eq!(said, "checks: down for 1 min 5 s: connection refused");
        let health = down.health.as_mut().unwrap();
        health.history.push(Step {
            unix_ms: NOW,
            from: State::Up,
            to: State::Down,
            reason: "timed out (3 times in a row)".into(),
        });
        let said = extra(&down, NOW).unwrap();
        assert!(said.ends_with("s: timed out (3 times in a row)"), "{said}");

        let failing = checked(State::Up, "bad", "timed out");
        let said = extra(&failing, NOW).unwrap();
        assert_eq!(said, "checks: up for 1 min 5 s; the last one: timed out");

        let mut rising = checked(State::Starting, "good", "connected");
        rising.health.as_mut().unwrap().weight = 0.3;
        let said = extra(&rising, NOW).unwrap();
        let expected = "checks: starting for 1 min 5 s, with 30 % of its weight";
        assert_eq!(said, expected);
    }

    #[test]
    fn a_drain_tells_how_far_it_is() {
        let drain = |state: &str, flows, flows_exact, drained| BackendStatus {
            state: state.into(),
            flows: Some(flows),
            flows_exact,
            drained,
            ..BackendStatus::default()
        };
        for (backend, expected) in [
            (drain("up", 7, true, false), None),
            (drain("drain", 7, true, false), Some("7 flows are left")),
            (drain("leaving", 1, true, false), Some("1 flow is left")),
            (drain("drain", 0, true, false), Some("no flow is left")),
            (
                drain("drain", 7, false, false),
                Some("flows that are known: 7"),
            ),
            (
                drain("drain", 0, false, false),
                Some("no flow is known, and there may be some"),
            ),
            (
                drain("drain", 0, false, true),
                Some("no flow is left: it can go"),
            ),
        ] {
            assert_eq!(extra(&backend, NOW).as_deref(), expected, "{backend:?}");
        }
    }

    #[test]
    fn only_a_service_that_is_not_as_usual_says_so() {
        assert_eq!(of_service("normal"), None);
        assert!(of_service("panic").unwrap().contains("all are used"));
        for condition in ["sorry", "empty"] {
            assert!(of_service(condition).is_some());
        }
    }
}
