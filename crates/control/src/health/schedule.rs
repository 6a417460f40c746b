//! When a check is run: at once when it is new, then at its interval, at a random phase.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

use super::outcome::Outcome;
use super::settings::Timing;

/// How often a check is run, and how long a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pace {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) jitter_permille: u16,
}

impl From<Timing> for Pace {
    fn from(timing: Timing) -> Self {
        Self {
            interval: timing.interval,
            timeout: timing.timeout,
            jitter_permille: timing.jitter_permille,
        }
    }
}

/// When one check is run.
pub(crate) struct Schedule {
    pub(crate) pace: Pace,
    /// First runs at one time.
    pub(crate) first: Arc<Semaphore>,
}

impl Schedule {
    /// Runs the check for ever.
    pub(crate) async fn run(
        self,
        check: impl AsyncFn() -> Outcome,
        mut report: impl FnMut(&Outcome),
    ) {
        let mut random = Random::new();
        // Nobody waits longer than an interval: silent backends must not hold up the others.
        let permit = timeout(self.pace.interval, self.first.acquire()).await;
        let mut begun = Instant::now();
        report(&check().await);
        drop(permit);
        // Checks that began together are spread over the interval from here on.
        let mut wait = self.pace.interval.mul_f64(random.part());
        loop {
            // A run that took too long is followed by the next at once.
            sleep_until(begun + wait).await;
            begun = Instant::now();
            report(&check().await);
            let jitter = f64::from(self.pace.jitter_permille) / 1_000.0;
            wait = self.pace.interval.mul_f64(1.0 - jitter * random.part());
        }
    }
}

/// Random enough to spread things (xorshift64*; Vigna 2016).
struct Random(u64);

impl Random {
    fn new() -> Self {
        // The standard library seeds its hash tables at random.
        Self(RandomState::new().build_hasher().finish() | 1)
    }

    /// From 0 to 1.
    fn part(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        high as f64 / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
