//! When a member claims its slots: on a logarithmic scale, and in integers only.
//!
//! Imagine that each member claims each slot at an exponentially distributed time whose rate is the
//! member's weight. Then any given member is the first to claim a slot with a probability of
//! exactly its share, whoever else takes part, and one that leaves moves no slot but its own: this
//! is weighted rendezvous hashing. Here a member goes through its slots in the order of a
//! permutation. The slot at rank `r` of `L` gets the time by which a share of `(r + 1/2) / L` of
//! such claims is made: `-ln(1 - (r + 1/2) / L) / weight`.
//!
//! On a logarithmic scale the division by the weight is a subtraction: all members read the same
//! clock, and a lighter one only starts later.

use core::num::{NonZeroU32, NonZeroU64};

use crate::Length;

/// The logarithm of a time, in units of 2^-26 octaves; an octave later is twice as late.
pub(crate) type Time = u32;

/// One octave.
pub(crate) const OCTAVE: Time = 1 << TIME_BITS;

const TIME_BITS: u32 = 26;

/// Binary places of what [`log2`] returns.
const LOG_BITS: u32 = 40;

/// By which time a member of the greatest weight has made a share of `1 - 1/e` of its claims, in
/// octaves. Its first claim, even on the longest ring, comes 21 octaves earlier, which leaves none
/// before 0. The last claim of the lightest member is at most 37 octaves later, at 58 of the 64 that
/// fit.
const START: u32 = 21;

/// The times of a member that weighs 2^32, just more than the heaviest there is.
pub(crate) struct Clock {
    length: Length,
    /// The times of the first ranks, as far as somebody asked for them.
    times: Vec<Time>,
}

impl Clock {
    pub(crate) fn new(length: Length) -> Self {
        Self {
            length,
            times: Vec::new(),
        }
    }

    /// The time of the slot at `rank`; a rank past the end is the last one.
    pub(crate) fn time(&self, rank: u32) -> Time {
        // Both in halves of a slot. At least 1, so its logarithm is less than that of `whole`.
        let left = 2 * u64::from((self.length.slots() - 1).saturating_sub(rank)) + 1;
        let whole = u64::from(self.length.log2() + 1) << LOG_BITS;
        let elapsed = whole - log2(NonZeroU64::new(left).unwrap_or(NonZeroU64::MIN));
        // In units of 2^-40, of which the first claim has at least 2^19.
        let elapsed = log2(NonZeroU64::new(elapsed).unwrap_or(NonZeroU64::MIN));
        to_time(elapsed.saturating_sub(octaves(LOG_BITS - START)))
    }

    /// The times of the ranks 0, 1, .. in ascending order, at least all up to `until`.
    pub(crate) fn times(&mut self, until: Time) -> &[Time] {
        while self.times.last().is_none_or(|&last| last <= until)
            && self.times.len() < self.length.slots() as usize
        {
            self.times.push(self.time(self.times.len() as u32));
        }
        &self.times
    }
}

/// What a member's weight adds to the times of [`Clock`]: one octave for each halving.
pub(crate) fn delay(weight: NonZeroU32) -> Time {
    to_time(octaves(u32::BITS) - log2(weight.into()))
}

/// By when members of this weight in total have made about as many claims as there are slots.
pub(crate) fn one_claim_per_slot(total_weight: NonZeroU64) -> Time {
    to_time(octaves(u32::BITS + START).saturating_sub(log2(total_weight)))
}

const fn octaves(count: u32) -> u64 {
    (count as u64) << LOG_BITS
}

const fn to_time(logarithm: u64) -> Time {
    (logarithm >> (LOG_BITS - TIME_BITS)) as Time
}

/// The binary logarithm in units of 2^-40, by linear interpolation between 257 points per octave:
/// exact at those, elsewhere at most 2.8 millionths too small.
fn log2(x: NonZeroU64) -> u64 {
    let zeros = x.leading_zeros();
    // What follows the leading one: 8 bits for the point, 24 for the way to the next.
    let mantissa = (x.get() << zeros) << 1;
    let point = (mantissa >> 56) as usize;
    let rest = (mantissa >> 32) & 0xFF_FFFF;
    let (low, high) = (POINTS[point], POINTS[point + 1]);
    octaves(63 - zeros) + low + (((high - low) * rest) >> 24)
}

/// `log2(1 + i / 256)` in units of 2^-40 for i = 0 to 256.
static POINTS: [u64; 257] = {
    let mut points = [0; 257];
    let mut i = 0;
    while i < 256 {
        points[i] = log2_of_1_to_2(256 + i as u64);
        i += 1;
    }
    points[256] = octaves(1);
    points
};

/// `log2(x / 256)` in units of 2^-40 for x = 256 to 511, one binary place at a time: squaring
/// doubles a logarithm, and when the square reaches 2 the next place is a 1.
const fn log2_of_1_to_2(x: u64) -> u64 {
    const ONE: u128 = 1 << 63;
    let mut value = x as u128 * (ONE / 256);
    let mut logarithm = 0;
    let mut place = 0;
    while place < LOG_BITS {
        value = (value * value) >> 63;
        logarithm <<= 1;
        if value >= 2 * ONE {
            value >>= 1;
            logarithm |= 1;
        }
        place += 1;
    }
    logarithm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right_to_three_millionths() {
        let mut x = 1_u64;
        while x < u64::MAX / 3 {
            for x in [x, x + 1, 2 * x + 1] {
                let found = log2(NonZeroU64::new(x).unwrap()) as f64 / octaves(1) as f64;
                let error = (found - (x as f64).log2()).abs();
                assert!(error < 3e-6, "log2({x}) = {found}, off by {error}");
            }
            x += x / 37 + 1;
        }
    }

    #[test]
    fn the_share_of_claims_made_follows_an_exponential_distribution() {
        for slots in [1, 2, 1_024, 1 << 20] {
            let clock = Clock::new(Length::new(slots).unwrap());
            for rank in [0, slots / 3, slots / 2, slots - 1] {
                let octaves = f64::from(clock.time(rank)) / f64::from(OCTAVE) - f64::from(START);
                // Octaves count from where -log2, not -ln, of what is left is 1.
                let left = (-octaves.exp2()).exp2();
                let expected = 1.0 - (f64::from(rank) + 0.5) / f64::from(slots);
                let error = (left - expected).abs() / (1.0 - expected);
                assert!(
                    error < 0.002,
                    "rank {rank} of {slots}: {left}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn times_ascend_and_are_the_same_in_parts_and_one_by_one() {
        let mut clock = Clock::new(Length::new(4_096).unwrap());
        for until in [0, 9 * OCTAVE, 20 * OCTAVE, u32::MAX] {
            let times = clock.times(until).to_vec();
            assert!(times.is_sorted() && !times.is_empty());
            assert!(times.len() == 4_096 || times.last().is_some_and(|&last| last > until));
            assert!(
                times
                    .into_iter()
                    .eq((0..).map(|r| clock.time(r)).take(clock.times.len()))
            );
        }
        assert_eq!(clock.times.len(), 4_096);
    }

    #[test]
    fn the_latest_time_of_the_lightest_member_fits() {
        let latest = Clock::new(Length::MAX).time(u32::MAX) + delay(NonZeroU32::MIN);
        assert!(latest < 58 * OCTAVE);
        assert!(delay(NonZeroU32::MAX) < delay(NonZeroU32::MIN));
        assert_eq!(delay(NonZeroU32::MIN), u32::BITS * OCTAVE);
    }
}
