//! How many slots each member owns: exact shares, rounded by largest remainder.

use core::cmp::Reverse;
use core::num::NonZeroU32;

use crate::Length;

/// Splits the slots in proportion to `weights`, of which there are at most as many as slots. Each
/// quota is the exact share rounded down or up, and they add up to the length. Rounded up are the
/// shares with the largest remainders; among equals, the first.
pub(crate) fn largest_remainder(weights: &[NonZeroU32], length: Length) -> Vec<u32> {
    // At most 2^20 weights below 2^32, and 2^20 slots: no sum or product reaches 2^53.
    let total: u64 = weights.iter().map(|&weight| u64::from(weight.get())).sum();
    let product = |weight: &NonZeroU32| u64::from(weight.get()) * u64::from(length.slots());
    let mut quotas: Vec<u32> = weights
        .iter()
        .map(|w| (product(w) / total) as u32)
        .collect();

    let mut by_remainder: Vec<(u64, usize)> = weights
        .iter()
        .map(|w| product(w) % total)
        .zip(0..)
        .collect();
    by_remainder.sort_unstable_by_key(|&(remainder, position)| (Reverse(remainder), position));
    let left = length.slots() - quotas.iter().sum::<u32>();
    for &(_, position) in by_remainder.iter().take(left as usize) {
        quotas[position] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(weights: &[u32], slots: u32) -> Vec<u32> {
        let weights: Vec<_> = weights
            .iter()
            .map(|&w| NonZeroU32::new(w).unwrap())
            .collect();
        largest_remainder(&weights, Length::new(slots).unwrap())
    }

    #[test]
    fn shares_are_rounded_by_largest_remainder() {
        let cases: &[(&[u32], u32, &[u32])] = &[
            (&[1], 1_024, &[1_024]),
            (&[1, 1], 1_024, &[512, 512]),
            (&[1, 1, 1], 1_024, &[342, 341, 341]),
            (&[1, 2, 3], 8, &[1, 3, 4]),
            (&[6, 6, 4], 8, &[3, 3, 2]),
            (&[u32::MAX, 1], 1_048_576, &[1_048_576, 0]),
            (&[u32::MAX, u32::MAX / 3], 4, &[3, 1]),
        ];
        for &(weights, slots, expected) in cases {
            assert_eq!(quotas(weights, slots), expected, "{weights:?} over {slots}");
        }
    }

    #[test]
    fn the_greatest_sum_of_weights_on_the_longest_ring_does_not_overflow() {
        let quotas = quotas(&vec![u32::MAX; 1 << 20], 1 << 20);
        assert!(quotas.iter().all(|&quota| quota == 1));
    }
}
