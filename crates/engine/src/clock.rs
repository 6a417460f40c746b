//! The kernel's tick.

use std::time::Duration;

/// The length of a jiffy: what the coarse clock's resolution is.
#[must_use]
pub fn tick() -> Duration {
    let clock = nix::time::ClockId::CLOCK_MONOTONIC_COARSE;
    // Every Linux has this clock; 10 ms is the longest tick there is.
    nix::time::clock_getres(clock).map_or(Duration::from_millis(10), Duration::from)
}
