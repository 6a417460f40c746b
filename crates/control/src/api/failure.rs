//! The one shape of errors, with the status that goes with it.

use std::fmt;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::EngineError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{ConfigError, NameError};
use crate::instance::{FlowError, ReloadError};
use crate::overrides::OverrideError;
use crate::plan::PlanReport;

/// Why a request was not answered as it was meant to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// What is wrong, and what to do; it may have several lines.
    pub error: String,
    /// What was expected instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// Everything that is wrong with a configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemReport>,
    /// What would have changed, and how many flows that would break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanReport>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemReport {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// What was found, and what was expected.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Failure {
    /// One with nothing but a text.
    #[must_use]
    pub fn new(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        match &self.expected {
            Some(expected) => write!(f, ": {expected}"),
            None => Ok(()),
        }
    }
}

/// A failure on its way to who asked.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) Box<Failure>);

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl fmt::Display) -> Self {
        Self(status, Box::new(Failure::new(error.to_string())))
    }

    /// What is asked for is not there.
    pub(super) fn not_found(error: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// The request is none.
    pub(super) fn bad(error: impl fmt::Display, expected: impl Into<String>) -> Self {
        let mut refusal = Self::new(StatusCode::BAD_REQUEST, error);
        refusal.1.expected = Some(expected.into());
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let status = match error {
            EngineError::RestartNeeded { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error)
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        let mut refusal = Self::bad(&error.found, &error.expected);
        if let Some(help) = error.help {
            refusal.1.expected = Some(format!("{}; {help}", error.expected));
        }
        refusal
    }
}

impl From<FlowError> for Refusal {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::NoService(_) | FlowError::NoBackend(_) => Self::not_found(error),
            FlowError::Engine(error) => error.into(),
        }
    }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        let mut refusal = Self::new(StatusCode::UNPROCESSABLE_ENTITY, &error);
        refusal.1.problems = problems(&error);
        refusal
    }
}

fn problems(error: &ConfigError) -> Vec<ProblemReport> {
    let ConfigError::Invalid(problems) = error else {
        return Vec::new();
    };
    let report = |problem: &crate::config::Problem| {
        let (line, column) = problems.position(problem).unwrap_or((1, 1));
        ProblemReport {
            line: line as u64,
            column: column as u64,
            message: format!("{}: {}", problem.found, problem.expected),
            help: problem.help.clone(),
        }
    };
    error.problems().iter().map(report).collect()
}

impl From<ReloadError> for Refusal {
    fn from(error: ReloadError) -> Self {
        let status = match &error {
            ReloadError::Engine(_) | ReloadError::HalfChanged(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            ReloadError::NoFile
            | ReloadError::Config(_)
            | ReloadError::Restart(_)
            | ReloadError::Interface(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ReloadError::Disruption(_) => StatusCode::CONFLICT,
            ReloadError::Override(error) => match error {
                OverrideError::Name(_) => StatusCode::BAD_REQUEST,
                OverrideError::NoService(_) | OverrideError::NoBackend { .. } => {
                    StatusCode::NOT_FOUND
                }
                OverrideError::Exists(_) | OverrideError::TooMany => StatusCode::CONFLICT,
                OverrideError::NoWeight(_)
                | OverrideError::Weight(_)
                | OverrideError::Config(_) => StatusCode::UNPROCESSABLE_ENTITY,
            },
        };
        let mut refusal = Self::new(status, &error);
        match error {
            ReloadError::Config(error) | ReloadError::Override(OverrideError::Config(error)) => {
                refusal.1.problems = problems(&error);
            }
            ReloadError::Disruption(plan) => refusal.1.plan = Some(*plan),
            _ => {}
        }
        refusal
    }
}
