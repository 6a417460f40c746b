//! What a run of a check came to.

use std::time::Duration;

use super::machine::Asked;

/// Characters of a result's text.
const MAX_TEXT: usize = 300;

/// What an answer says about the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is as it should be.
    Good,
    /// It is not.
    Bad,
    /// Nothing: the check could not be made, for a reason that lies with this host.
    Inconclusive,
}

/// A run of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What it says.
    pub(crate) answer: Answer,
    /// What was found, in words.
    pub(crate) text: String,
    /// How long it took.
    pub(crate) took: Duration,
    /// What an agent said.
    pub(crate) agent: Option<AgentWords>,
}

/// What an agent said; what it did not mention stays as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentWords {
    pub(crate) down: Option<bool>,
    pub(crate) asked: Option<Asked>,
    /// Of the configured weight.
    pub(crate) percent: Option<u16>,
}

/// The result of a check before it is timed.
#[derive(Debug)]
pub(crate) enum Found {
    Good(String),
    Bad(String),
    Inconclusive(String),
    Agent(AgentWords, String),
}

impl Found {
    pub(crate) fn took(self, took: Duration) -> Outcome {
        let (answer, text, agent) = match self {
            Self::Good(text) => (Answer::Good, text, None),
            Self::Bad(text) => (Answer::Bad, text, None),
            Self::Inconclusive(text) => (Answer::Inconclusive, text, None),
            Self::Agent(words, text) => (Answer::Good, text, Some(words)),
        };
        // Some of it was said by a backend.
        let text = text.chars().filter(|c| !c.is_control());
        Outcome {
            answer,
            text: text.take(MAX_TEXT).collect(),
            took,
            agent,
        }
    }
}
