//! Rates limited in the data plane, on each CPU by itself.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Index of the pace at which flows are entered in the exception table.
pub const EXCEPTIONS: u32 = 0;
/// Index of the pace at which ICMP errors are sent.
pub const ICMP_ERRORS: u32 = 1;
/// Index of the pace at which packets without a backend are refused: its own, so that a service without
/// backends does not use up what tells the others' clients of their path's MTU.
pub const REJECTIONS: u32 = 2;
/// Number of paces.
pub const COUNT: u32 = 3;

/// log2 of the length of a window in jiffies: a quarter of a second to 2.6 s.
pub const WINDOW_LOG2: u32 = 8;

/// How much of a window's allowance is used.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Pace {
    /// The window, `jiffies >> WINDOW_LOG2`.
    pub window: u32,
    /// Uses in it.
    pub used: u32,
    /// jiffies (low 32 bits) when something was refused last, for this limit or for lack of room.
    pub refused_at: u32,
    /// How often something was refused; wraps.
    pub refused: u32,
}

impl Pace {
    /// Whether one more is allowed at `now` (jiffies), with `limit` for each window; notes it.
    #[inline(always)]
    pub fn allows(&mut self, now: u32, limit: u32) -> bool {
        let window = now >> WINDOW_LOG2;
        if self.window != window {
            self.window = window;
            self.used = 0;
        }
        if self.used >= limit {
            self.refuse(now);
            return false;
        }
        self.used += 1;
        true
    }

    /// Notes that something was refused.
    #[inline(always)]
    pub fn refuse(&mut self, now: u32) {
        self.refused_at = now;
        self.refused = self.refused.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_has_its_own_allowance() {
        let mut pace = Pace::default();
        let first = (0..5).filter(|_| pace.allows(300, 3)).count();
        let second = (0..5).filter(|_| pace.allows(600, 3)).count();
        assert_eq!(
            (first, second, pace.refused, pace.refused_at),
            (3, 3, 4, 600)
        );
    }
}
