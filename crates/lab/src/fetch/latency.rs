//! Percentiles of times.

use std::time::Duration;

use serde::Serialize;

/// How long answers took, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50_us: u64,
    /// Nine of ten were faster.
    pub p90_us: u64,
    /// 99 of 100 were faster.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl Latency {
    /// Percentiles by nearest rank; all zero for no times at all.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut sorted: Vec<u64> = times.into_iter().map(micros).collect();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(at).copied().unwrap_or(0)
        };
        Self {
            p50_us: rank(50),
            p90_us: rank(90),
            p99_us: rank(99),
            max_us: rank(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let all = (1..=100).rev().map(Duration::from_micros);
        let expected = Latency {
            p50_us: 50,
            p90_us: 90,
            p99_us: 99,
            max_us: 100,
        };
        assert_eq!(Latency::of(all), expected);
        let one = Latency::of([Duration::from_micros(7)]);
        assert_eq!(
            one,
            Latency {
                p50_us: 7,
                p90_us: 7,
                p99_us: 7,
                max_us: 7
            }
        );
        assert_eq!(Latency::of([]), Latency::default());
    }
}
