//! What became of requests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::Latency;

/// What became of one request.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Which request, counted from 0.
    pub index: usize,
    /// Where it came from, when a connection was made.
    pub source: Option<SocketAddr>,
    /// Who answered.
    pub server: Option<String>,
    /// Why it failed; `None` is success.
    pub failure: Option<String>,
    /// From before connecting to the last byte of the answer, in microseconds.
    pub micros: u64,
}

/// Counts over all requests.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Requests made.
    pub requests: usize,
    /// Those that were answered in full.
    pub answered: usize,
    /// Those that were not.
    pub failed: usize,
    /// Answers by server name.
    pub by_server: BTreeMap<String, usize>,
    /// Failures by reason.
    pub failures: BTreeMap<String, usize>,
    /// Times of the answered ones.
    pub latency: Latency,
    /// Time for all of them, in milliseconds.
    pub elapsed_ms: u64,
}

/// Counts, and each request by itself.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The counts.
    #[serde(flatten)]
    pub summary: Summary,
    /// Each request, in order.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Counts outcomes.
    #[must_use]
    pub fn of(mut outcomes: Vec<Outcome>, elapsed: Duration) -> Self {
        outcomes.sort_by_key(|outcome| outcome.index);
        let mut summary = Summary {
            requests: outcomes.len(),
            ..Summary::default()
        };
        summary.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        for outcome in &outcomes {
            if let Some(failure) = &outcome.failure {
                summary.failed += 1;
                *summary.failures.entry(failure.clone()).or_default() += 1;
            } else {
                summary.answered += 1;
                let server = outcome
                    .server
                    .clone()
                    .unwrap_or_else(|| "unnamed".to_owned());
                *summary.by_server.entry(server).or_default() += 1;
            }
        }
        let answered = outcomes.iter().filter(|outcome| outcome.failure.is_none());
        summary.latency = Latency::of(answered.map(|o| Duration::from_micros(o.micros)));
        Self { summary, outcomes }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            answered,
            elapsed_ms,
            latency,
            ..
        } = self;
        writeln!(
            f,
            "{answered} of {requests} requests answered in {elapsed_ms} ms"
        )?;
        for (server, count) in &self.by_server {
            writeln!(f, "  {server:<12} {count}")?;
        }
        for (failure, count) in &self.failures {
            writeln!(f, "  failed: {failure}: {count}")?;
        }
        let Latency {
            p50_us,
            p90_us,
            p99_us,
            max_us,
        } = latency;
        writeln!(
            f,
            "  latency in us: p50 {p50_us}, p90 {p90_us}, p99 {p99_us}, max {max_us}"
        )
    }
}
