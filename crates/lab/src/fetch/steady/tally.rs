//! What has become of requests, in counts that follow each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What became of the requests that began while this was the count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that began.
    pub sent: usize,
    /// Those that were answered, at the first try or a later one.
    pub answered: usize,
    /// Those that were not: reasons of their last tries.
    pub failures: BTreeMap<String, usize>,
    /// Tries that failed and were followed by another one, by reason.
    pub repeated: BTreeMap<String, usize>,
    /// Answers by server name.
    pub by_server: BTreeMap<String, usize>,
    /// The longest time from a request's beginning to its answer, all tries included.
    pub longest: Duration,
}

impl Counts {
    /// Requests that were not answered: those that failed, and any that have no end yet.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.sent - self.answered
    }

    /// Tries that were followed by another one.
    #[must_use]
    pub fn tries_repeated(&self) -> usize {
        self.repeated.values().sum()
    }

    /// Answers of a server.
    #[must_use]
    pub fn of(&self, server: &str) -> usize {
        self.by_server.get(server).copied().unwrap_or(0)
    }

    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.answered += other.answered;
        self.longest = self.longest.max(other.longest);
        for (mine, theirs) in [
            (&mut self.failures, &other.failures),
            (&mut self.repeated, &other.repeated),
            (&mut self.by_server, &other.by_server),
        ] {
            for (name, count) in theirs {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
    }
}

/// Counts that follow each other; clones share them. A request belongs to the count that it
/// began in, whenever it ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    earlier: Vec<Counts>,
    now: Counts,
}

impl State {
    fn count(&mut self, number: usize) -> &mut Counts {
        self.earlier.get_mut(number).unwrap_or(&mut self.now)
    }
}

impl Tally {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins; the number of its count.
    pub(super) fn begin(&self) -> usize {
        let mut state = self.state();
        state.now.sent += 1;
        state.earlier.len()
    }

    pub(super) fn answered(&self, count: usize, server: String, time: Duration) {
        let mut state = self.state();
        let counts = state.count(count);
        counts.answered += 1;
        counts.longest = counts.longest.max(time);
        *counts.by_server.entry(server).or_default() += 1;
    }

    pub(super) fn again(&self, count: usize, reason: String) {
        let mut state = self.state();
        *state.count(count).repeated.entry(reason).or_default() += 1;
    }

    pub(super) fn failed(&self, count: usize, reason: String) {
        let mut state = self.state();
        *state.count(count).failures.entry(reason).or_default() += 1;
    }

    /// Begins a new count; the number of the last one.
    pub(super) fn turn(&self) -> usize {
        let mut state = self.state();
        let last = std::mem::take(&mut state.now);
        state.earlier.push(last);
        state.earlier.len() - 1
    }

    /// Whether requests of this count are under way.
    pub(super) fn is_open(&self, count: usize) -> bool {
        let mut state = self.state();
        let counts = state.count(count);
        counts.answered + counts.failures.values().sum::<usize>() < counts.sent
    }

    pub(super) fn counts(&self, count: usize) -> Counts {
        self.state().count(count).clone()
    }

    /// All counts as one.
    pub(super) fn all(&self) -> Counts {
        let state = self.state();
        let mut all = state.now.clone();
        for counts in &state.earlier {
            all.add(counts);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(3);

    #[test]
    fn a_request_belongs_to_the_count_that_it_began_in() {
        let tally = Tally::default();
        let (early, late) = (tally.begin(), tally.begin());
        tally.answered(early, "h2".to_owned(), TIME);
        let first = tally.turn();
        assert!(tally.is_open(first));
        let next = tally.begin();
        tally.again(late, "connect: refused".to_owned());
        tally.answered(late, "h3".to_owned(), 2 * TIME);
        tally.failed(next, "get: timed out".to_owned());
        assert!(!tally.is_open(first));

        let first = tally.counts(first);
        assert_eq!((first.sent, first.answered, first.failed()), (2, 2, 0));
        assert_eq!((first.of("h2"), first.of("h3")), (1, 1));
        assert_eq!(first.tries_repeated(), 1);
        assert_eq!(first.longest, 2 * TIME);
        let all = tally.all();
        assert_eq!((all.sent, all.answered, all.failed()), (3, 2, 1));
        assert_eq!(all.failures.get("get: timed out"), Some(&1));
    }

    #[test]
    fn a_request_without_an_end_counts_as_failed() {
        let tally = Tally::default();
        let _request = tally.begin();
        let count = tally.turn();
        assert_eq!(tally.counts(count).failed(), 1);
    }
}
