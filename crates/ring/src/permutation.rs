//! The order in which a member would like to have the slots.

use crate::Length;

/// A bijection from ranks (0 is liked best) to slots, made of a member's key and the seed.
///
/// It multiplies by an odd number, which permutes the integers modulo 2^k, three times, and folds
/// the upper bits onto the lower ones in between. The first multiplication alone would be Maglev's
/// offset and skip. But when the skips of two members are in a simple ratio modulo 2^k, those two
/// want the same slots at the same time, or never: on 2,048 slots one removal in a hundred then
/// moved more than 2 % of them needlessly, and some 10 %.
#[derive(Clone, Copy)]
pub(crate) struct Permutation {
    offset: u32,
    factors: [u32; 3],
    mask: u32,
    shift: u32,
}

impl Permutation {
    pub(crate) fn new(key: u64, seed: u64, length: Length) -> Self {
        let one = scramble(key ^ scramble(seed));
        let two = scramble(one);
        Self {
            offset: (one >> 32) as u32,
            factors: [one as u32 | 1, (two >> 32) as u32 | 1, two as u32 | 1],
            mask: length.slots() - 1,
            // At least half the bits, so that folding twice changes nothing.
            shift: length.log2().div_ceil(2),
        }
    }

    /// The slots from `rank` on; after the last rank come the first ones again.
    pub(crate) fn slots_from(self, rank: u32) -> impl Iterator<Item = u32> {
        let [skip, second, third] = self.factors;
        let mut position = rank.wrapping_add(self.offset).wrapping_mul(skip);
        core::iter::repeat_with(move || {
            let x = self.fold(position).wrapping_mul(second);
            position = position.wrapping_add(skip);
            self.fold(x).wrapping_mul(third) & self.mask
        })
    }

    /// The way back.
    pub(crate) fn inverse(self) -> Inverse {
        Inverse {
            forward: self,
            inverses: self.factors.map(inverse),
        }
    }

    /// Flips the lower half of an index by the upper half.
    fn fold(self, x: u32) -> u32 {
        let x = x & self.mask;
        x ^ (x >> self.shift)
    }
}

/// A [`Permutation`] from slots to ranks.
#[derive(Clone, Copy)]
pub(crate) struct Inverse {
    forward: Permutation,
    inverses: [u32; 3],
}

impl Inverse {
    /// The rank of `slot`.
    pub(crate) fn rank(&self, slot: u32) -> u32 {
        let [skip, second, third] = self.inverses;
        let x = self
            .forward
            .fold(slot.wrapping_mul(third))
            .wrapping_mul(second);
        let x = self.forward.fold(x).wrapping_mul(skip);
        x.wrapping_sub(self.forward.offset) & self.forward.mask
    }
}

/// The number whose product with `odd` is 1 modulo 2^32, by Newton's iteration: the start is right
/// to 3 bits, each step doubles them.
const fn inverse(odd: u32) -> u32 {
    let mut x = odd;
    let mut bits = 3;
    while bits < u32::BITS {
        x = x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x)));
        bits *= 2;
    }
    x
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection in which every bit
/// of `x` flips about half of the result.
const fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_rank_and_the_inverse_finds_it() {
        for log2 in 0..=11 {
            let length = Length::new(1 << log2).unwrap();
            for key in 0..8 {
                let permutation = Permutation::new(key, 1, length);
                let mut seen = vec![false; length.slots() as usize];
                for (rank, slot) in (0..length.slots()).zip(permutation.slots_from(0)) {
                    assert!(
                        !seen[slot as usize],
                        "2^{log2} slots, key {key}, slot {slot}"
                    );
                    seen[slot as usize] = true;
                    assert_eq!(
                        permutation.inverse().rank(slot),
                        rank,
                        "2^{log2} slots, key {key}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_permutation_can_be_entered_at_any_rank() {
        let permutation = Permutation::new(7, 1, Length::new(1_024).unwrap());
        for rank in [1, 5, 1_000] {
            let all = permutation.slots_from(0).skip(rank as usize);
            assert!(permutation.slots_from(rank).take(100).eq(all.take(100)));
        }
    }

    #[test]
    fn key_and_seed_both_make_a_difference() {
        let length = Length::new(65_536).unwrap();
        let first = |key, seed| Permutation::new(key, seed, length).slots_from(0).next();
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(3, 2));
        assert_ne!(first(1, 2), first(2, 1));
    }

    #[test]
    fn scrambling_gives_the_outputs_of_splitmix64() {
        // The generator seeded with 0 adds the golden ratio to its state and then mixes.
        assert_eq!(scramble(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(scramble(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
    }
}
