//! What is known about one backend of one service, and what results make of it. Pure: time comes
//! in with every call.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::outcome::{AgentWords, Answer, Outcome};

/// Transitions that are remembered.
const HISTORY: usize = 16;
/// Weight rises in so many steps after the first tenth.
const STEPS: u32 = 9;
/// All of the weight.
pub(crate) const WHOLE: u32 = 1_000;

/// A point in time: on the clock that only runs forward, and on the wall.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// What decides.
    pub(crate) at: Instant,
    /// What is shown: milliseconds since 1970.
    pub(crate) unix_ms: u64,
}

/// What a backend is, as far as its checks and its agent say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing is known yet. It counts as up.
    #[default]
    Unknown,
    /// It takes flows.
    Up,
    /// It takes flows, and not yet as many as its weight says.
    Starting,
    /// It does not answer as it should, or its agent says so.
    Down,
    /// Its agent wants no new flows, or gives it no weight.
    Drain,
    /// Its agent has taken it out.
    Maintenance,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Starting => "starting",
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        })
    }
}

/// What the checks alone say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    #[default]
    Unknown,
    Up,
    Down,
}

/// What the agent asked for last, and has not taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Asked {
    #[default]
    Nothing,
    Drain,
    Maintenance,
}

/// The part of a machine that outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) verdict: Verdict,
    /// The agent says that it is down.
    pub(crate) agent_down: bool,
    pub(crate) asked: Asked,
    /// Percent of the weight that the agent wants; `None`: it never said.
    pub(crate) percent: Option<u16>,
    /// Since when weight rises, in milliseconds since 1970; `None`: it has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rises_since_unix_ms: Option<u64>,
    /// Since when the state is what it is, in milliseconds since 1970; 0: from the start.
    pub(crate) since_unix_ms: u64,
    pub(crate) history: VecDeque<Step>,
}

impl Memory {
    /// All of it but the transitions, which are known when they are made.
    pub(crate) fn said(&self) -> impl PartialEq + use<> {
        let Self {
            verdict,
            agent_down,
            asked,
            percent,
            rises_since_unix_ms,
            ..
        } = *self;
        (verdict, agent_down, asked, percent, rises_since_unix_ms)
    }
}

/// One transition of a backend's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What it was.
    pub from: State,
    /// What it has been since.
    pub to: State,
    /// Why.
    pub reason: String,
}

/// How many results decide, and how weight comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) rise: u8,
    pub(crate) fall: u8,
    pub(crate) slow_start: Duration,
}

/// Whose result it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Of the check: success and failure count, and so do words.
    Check,
    /// Of the agent beside it: only words count.
    Agent,
}

/// One backend of one service.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    memory: Memory,
    rules: Rules,
    /// Results in a row that contradict the verdict.
    streak: u8,
    /// Since when weight rises; `None`: it has all of it.
    started: Option<Instant>,
    check: Option<Last>,
    agent: Option<Last>,
    /// Results of its check that were good, and that were bad, since the process started.
    counts: [u64; 2],
}

/// The last result of a check and when it came, in milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) outcome: Outcome,
    pub(crate) unix_ms: u64,
}

impl Machine {
    pub(crate) fn new(memory: Memory, rules: Rules) -> Self {
        Self {
            memory,
            rules,
            streak: 0,
            started: None,
            check: None,
            agent: None,
            counts: [0; 2],
        }
    }

    /// One that was known before a restart: its weight goes on rising from where it was.
    pub(crate) fn resumed(memory: Memory, rules: Rules, now: Moment) -> Self {
        let started = memory.rises_since_unix_ms.map(|since| {
            let gone = Duration::from_millis(now.unix_ms.saturating_sub(since));
            // Somebody may have set the clock.
            let started = now.at.checked_sub(gone.min(rules.slow_start));
            started.unwrap_or(now.at)
        });
        Self {
            started,
            ..Self::new(memory, rules)
        }
    }

    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Results of its check that were good, and that were bad, since the process started.
    pub(crate) fn counts(&self) -> [u64; 2] {
        self.counts
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn last(&self, role: Role) -> Option<&Last> {
        match role {
            Role::Check => self.check.as_ref(),
            Role::Agent => self.agent.as_ref(),
        }
    }

    /// Forgets how the agent beside the check answered, but not what it said.
    pub(crate) fn forget_answer(&mut self) {
        self.agent = None;
    }

    /// Forgets what somebody said who is no longer asked.
    pub(crate) fn forget(&mut self, role: Role, now: Moment) -> Option<Step> {
        let before = self.state(now.at);
        match role {
            Role::Check => {
                (self.memory.verdict, self.streak, self.check) = (Verdict::Unknown, 0, None);
            }
            Role::Agent => {
                (self.memory.agent_down, self.memory.asked) = (false, Asked::Nothing);
                (self.memory.percent, self.agent) = (None, None);
            }
        }
        let reason = match role {
            Role::Check => "it is no longer checked",
            Role::Agent => "its agent is no longer asked",
        };
        self.step(before, reason, now)
    }

    /// Forgets that it was out, if that is what was known last: it had flows all the same.
    pub(crate) fn doubt(&mut self, now: Moment) -> Option<Step> {
        let before = self.state(now.at);
        if !matches!(before, State::Down | State::Maintenance) {
            return None;
        }
        (self.memory.verdict, self.streak) = (Verdict::Unknown, 0);
        (self.memory.agent_down, self.memory.asked) = (false, Asked::Nothing);
        let reason = "it took connections when the process before this one ended";
        self.step(before, reason, now)
    }

    pub(crate) fn state(&self, now: Instant) -> State {
        match (&self.memory, self.rising(now)) {
            (memory, _) if memory.asked == Asked::Maintenance => State::Maintenance,
            (memory, _) if memory.agent_down || memory.verdict == Verdict::Down => State::Down,
            (memory, _) if memory.asked == Asked::Drain || memory.percent == Some(0) => {
                State::Drain
            }
            (memory, _) if memory.verdict == Verdict::Unknown => State::Unknown,
            (_, true) => State::Starting,
            (_, false) => State::Up,
        }
    }

    /// Weight rises, or has just done so.
    pub(crate) fn is_rising(&self) -> bool {
        self.started.is_some()
    }

    fn rising(&self, now: Instant) -> bool {
        self.started
            .is_some_and(|started| now < started + self.rules.slow_start)
    }

    /// Thousandths of the weight that count, by what agent and slow start say. More than [`WHOLE`]
    /// if the agent wants more.
    pub(crate) fn share(&self, now: Instant) -> u32 {
        let percent = u32::from(self.memory.percent.unwrap_or(100));
        percent * self.rise(now)
    }

    /// Tenths of the weight, from the slow start alone.
    fn rise(&self, now: Instant) -> u32 {
        let (Some(started), true) = (self.started, self.rising(now)) else {
            return 10;
        };
        let gone = now.saturating_duration_since(started);
        1 + (STEPS * gone.as_millis() as u32) / (self.rules.slow_start.as_millis() as u32).max(1)
    }

    /// When the share next changes by itself.
    pub(crate) fn next_step(&self, now: Instant) -> Option<Instant> {
        let started = self.started.filter(|_| self.rising(now))?;
        let slow_start = self.rules.slow_start;
        // A millisecond later than exactly, so that `rise` has the step behind it.
        let step = |number: u32| started + slow_start * number / STEPS + Duration::from_millis(1);
        (1..=STEPS).map(step).find(|at| *at > now)
    }

    /// The weight may have risen all the way.
    pub(crate) fn advance(&mut self, now: Moment) -> Option<Step> {
        if self.started.is_none() || self.rising(now.at) {
            return None;
        }
        let was_starting = self.memory.history.back().map(|step| step.to) == Some(State::Starting);
        self.rise_from(None);
        let before = if was_starting {
            State::Starting
        } else {
            self.state(now.at)
        };
        self.step(before, "it has all of its weight again", now)
    }

    /// Takes a result. What comes back is the transition it made, if any.
    pub(crate) fn observe(&mut self, role: Role, outcome: &Outcome, now: Moment) -> Option<Step> {
        let before = self.state(now.at);
        let mut reason = outcome.text.clone();
        let last = Some(Last {
            outcome: outcome.clone(),
            unix_ms: now.unix_ms,
        });
        match role {
            Role::Agent => self.agent = last,
            Role::Check => {
                match outcome.answer {
                    Answer::Good => self.counts[0] += 1,
                    Answer::Bad => self.counts[1] += 1,
                    Answer::Inconclusive => {}
                }
                self.check = last;
                if let Some(count @ 2..) = self.count(outcome.answer) {
                    reason = format!("{reason} ({count} times in a row)");
                }
            }
        }
        if let Some(words) = &outcome.agent {
            self.listen(words);
        }
        self.start_slowly(before, now);
        self.step(before, &reason, now)
    }

    /// Counts an answer; how many it takes for the new verdict, if it made one.
    fn count(&mut self, answer: Answer) -> Option<u8> {
        let (verdict, needed) = match (answer, self.memory.verdict) {
            (Answer::Inconclusive, _) => return None,
            (Answer::Good, Verdict::Unknown) => (Verdict::Up, 1),
            (Answer::Good, _) => (Verdict::Up, self.rules.rise),
            (Answer::Bad, _) => (Verdict::Down, self.rules.fall),
        };
        if verdict == self.memory.verdict {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        if self.streak < needed {
            return None;
        }
        (self.memory.verdict, self.streak) = (verdict, 0);
        Some(needed)
    }

    fn listen(&mut self, words: &AgentWords) {
        if let Some(down) = words.down {
            self.memory.agent_down = down;
        }
        if let Some(asked) = words.asked {
            self.memory.asked = asked;
        }
        if let Some(percent) = words.percent {
            self.memory.percent = Some(percent);
        }
    }

    /// Who was out comes back with a tenth of its weight; who was never known has all of it.
    fn start_slowly(&mut self, before: State, now: Moment) {
        let out = |state| matches!(state, State::Down | State::Maintenance);
        match (out(before), out(self.state(now.at))) {
            (true, false) if !self.rules.slow_start.is_zero() => self.rise_from(Some(now)),
            (false, true) => self.rise_from(None),
            _ => {}
        }
    }

    fn rise_from(&mut self, start: Option<Moment>) {
        self.started = start.map(|moment| moment.at);
        self.memory.rises_since_unix_ms = start.map(|moment| moment.unix_ms);
    }

    fn step(&mut self, before: State, reason: &str, now: Moment) -> Option<Step> {
        let after = self.state(now.at);
        if before == after {
            return None;
        }
        let step = Step {
            unix_ms: now.unix_ms,
            from: before,
            to: after,
            reason: reason.to_owned(),
        };
        if self.memory.history.len() == HISTORY {
            self.memory.history.pop_front();
        }
        self.memory.history.push_back(step.clone());
        self.memory.since_unix_ms = now.unix_ms;
        Some(step)
    }
}

#[cfg(test)]
mod tests;
