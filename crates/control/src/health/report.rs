//! A backend's health as its status shows it.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::machine::{Last, Machine, Role, State, Step};
use super::outcome::Answer;

/// Health of one backend of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendHealth {
    /// `unknown`, `up`, `starting`, `down`, `drain` or `maintenance`.
    pub state: State,
    /// Since when, in milliseconds since 1970; 0: since it is checked.
    pub since_unix_ms: u64,
    /// Results of the check that were good, since the process started.
    #[serde(default)]
    pub passed: u64,
    /// Results of the check that were bad.
    #[serde(default)]
    pub failed: u64,
    /// The last result of the check.
    pub check: Option<CheckReport>,
    /// The last answer of the agent beside it.
    pub agent: Option<CheckReport>,
    /// Part of its weight that counts, by agent and slow start: 1 is all of it.
    pub weight: f64,
    /// The last transitions, the oldest first.
    pub history: Vec<Step>,
}

/// A result of a check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckReport {
    /// `good`, `bad`, or `inconclusive` if the check could not be made.
    pub answer: String,
    /// What was found.
    pub text: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// When it came, in milliseconds since 1970.
    pub unix_ms: u64,
}

impl BackendHealth {
    pub(crate) fn of(machine: &Machine, now: Instant) -> Self {
        let memory = machine.memory();
        Self {
            state: machine.state(now),
            since_unix_ms: memory.since_unix_ms,
            passed: machine.counts()[0],
            failed: machine.counts()[1],
            check: machine.last(Role::Check).map(CheckReport::of),
            agent: machine.last(Role::Agent).map(CheckReport::of),
            weight: f64::from(machine.share(now)) / f64::from(super::machine::WHOLE),
            history: memory.history.iter().cloned().collect(),
        }
    }
}

impl CheckReport {
    fn of(last: &Last) -> Self {
        Self {
            answer: match last.outcome.answer {
                Answer::Good => "good",
                Answer::Bad => "bad",
                Answer::Inconclusive => "inconclusive",
            }
            .to_owned(),
            text: last.outcome.text.clone(),
            took_ms: last.outcome.took.as_secs_f64() * 1e3,
            unix_ms: last.unix_ms,
        }
    }
}
