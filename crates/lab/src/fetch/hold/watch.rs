//! What has become of held connections so far.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::fetch::Latency;

/// Tells how held connections are, also while they are being held. Clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    begun: Option<Instant>,
    stories: Vec<Story>,
    times: Vec<Duration>,
}

/// What has become of one connection.
#[derive(Debug, Clone, Default)]
struct Story {
    source: Option<SocketAddr>,
    server: Option<String>,
    answered: usize,
    /// Why and when it broke.
    broken: Option<(String, Duration)>,
}

/// A connection that broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Which one, counted from 0.
    pub connection: usize,
    /// Where it came from, if it was ever open.
    pub source: Option<SocketAddr>,
    /// Who answered it, if anybody ever did.
    pub server: Option<String>,
    /// Requests that it had answered.
    pub answered: usize,
    /// When it was found broken, in milliseconds since the first was opened.
    pub after_ms: u64,
    /// Why it broke.
    pub reason: String,
}

/// What became of held connections.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HoldReport {
    /// Connections wanted.
    pub connections: usize,
    /// Connections that opened and answered a first request.
    pub opened: usize,
    /// Requests that were answered.
    pub answered: usize,
    /// Requests that each connection that lives has had answered, at least.
    pub answered_each: usize,
    /// Connections by the name of the server that answered their first request.
    pub by_server: BTreeMap<String, usize>,
    /// Those of them that have not broken.
    pub alive: BTreeMap<String, usize>,
    /// Connections that broke, or were answered by two servers.
    pub broken: Vec<Broken>,
    /// Times of the answered requests.
    pub latency: Latency,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything and expects this many.
    pub(super) fn begin(&self, count: usize) {
        *self.state() = State {
            begun: Some(Instant::now()),
            stories: vec![Story::default(); count],
            times: Vec::new(),
        };
    }

    pub(super) fn opened(&self, index: usize, source: SocketAddr) {
        if let Some(story) = self.state().stories.get_mut(index) {
            story.source = Some(source);
        }
    }

    /// Notes an answer; false when another server had answered before.
    pub(super) fn answered(&self, index: usize, server: String, time: Duration) -> bool {
        let mut state = self.state();
        let Some(story) = state.stories.get_mut(index) else {
            return false;
        };
        let before = story.server.get_or_insert_with(|| server.clone());
        if *before != server {
            let reason = format!("answered by {before}, then by {server}");
            drop(state);
            self.broke(index, reason);
            return false;
        }
        story.answered += 1;
        state.times.push(time);
        true
    }

    pub(super) fn broke(&self, index: usize, reason: String) {
        let mut state = self.state();
        let after = state.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        if let Some(story) = state.stories.get_mut(index) {
            story.broken = Some((reason, after));
        }
    }

    /// How they are now. The order of [`HoldReport::broken`] is that of the connections.
    #[must_use]
    pub fn report(&self) -> HoldReport {
        let state = self.state();
        let mut report = HoldReport {
            connections: state.stories.len(),
            answered: state.times.len(),
            latency: Latency::of(state.times.iter().copied()),
            ..HoldReport::default()
        };
        let living = state.stories.iter().filter(|one| one.broken.is_none());
        report.answered_each = living.map(|one| one.answered).min().unwrap_or(0);
        for (connection, story) in state.stories.iter().enumerate() {
            if let Some(server) = &story.server {
                report.opened += 1;
                *report.by_server.entry(server.clone()).or_default() += 1;
                if story.broken.is_none() {
                    *report.alive.entry(server.clone()).or_default() += 1;
                }
            }
            if let Some((reason, after)) = &story.broken {
                report.broken.push(Broken {
                    connection,
                    source: story.source,
                    server: story.server.clone(),
                    answered: story.answered,
                    after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                    reason: reason.clone(),
                });
            }
        }
        report
    }
}

impl fmt::Display for HoldReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} connections opened, {} requests answered, {} broke",
            self.opened,
            self.connections,
            self.answered,
            self.broken.len()
        )?;
        for (server, count) in &self.by_server {
            let alive = self.alive.get(server).copied().unwrap_or(0);
            writeln!(f, "  {server:<12} {count}, of these alive {alive}")?;
        }
        for one in &self.broken {
            let source = one
                .source
                .map_or_else(|| "never open".to_owned(), |source| source.to_string());
            let server = one.server.as_deref().unwrap_or("nobody");
            writeln!(
                f,
                "  broke after {} ms: {source}, with {server}: {}",
                one.after_ms, one.reason
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(1);

    #[test]
    fn a_report_counts_by_server_and_names_each_break() {
        let watch = Watch::default();
        watch.begin(4);
        let source: SocketAddr = "[fd00:1::1]:40000".parse().unwrap();
        for (index, server) in [(0, "h2"), (1, "h2"), (2, "h3")] {
            watch.opened(index, source);
            assert!(watch.answered(index, server.to_owned(), TIME));
        }
        watch.broke(3, "connect: timed out".to_owned());
        assert!(!watch.answered(1, "h3".to_owned(), TIME));
        assert!(watch.answered(2, "h3".to_owned(), TIME));
        let report = watch.report();
        assert_eq!((report.opened, report.answered), (3, 4));
        assert_eq!(report.answered_each, 1);
        assert_eq!((report.by_server["h2"], report.alive["h2"]), (2, 1));
        assert_eq!((report.by_server["h3"], report.alive["h3"]), (1, 1));
        let broken: Vec<_> = report
            .broken
            .iter()
            .map(|one| (one.connection, one.answered, one.reason.as_str()))
            .collect();
        assert_eq!(
            broken,
            [
                (1, 1, "answered by h2, then by h3"),
                (3, 0, "connect: timed out")
            ]
        );
    }
}
