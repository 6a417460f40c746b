//! Ring lengths: powers of two, so that the top bits of a flow hash are the index.

use crate::RingError;

/// A ring's length in slots: a power of two from 1 to 1,048,576 (2^20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Length {
    log2: u8,
}

impl Length {
    /// The shortest ring: one slot.
    pub const MIN: Self = Self { log2: 0 };
    /// The longest ring: 1,048,576 slots.
    pub const MAX: Self = Self { log2: 20 };

    /// A length of `slots` slots.
    ///
    /// # Errors
    /// [`RingError::BadLength`] if `slots` is not a power of two or is above 1,048,576.
    pub const fn new(slots: u32) -> Result<Self, RingError> {
        if slots.is_power_of_two() && slots <= Self::MAX.slots() {
            Ok(Self {
                log2: slots.ilog2() as u8,
            })
        } else {
            Err(RingError::BadLength { slots })
        }
    }

    /// The default length for a service with `backends` backends: 1,024 slots for one or two of
    /// them, 4,096 for up to 16, 8,192 for up to 64, and from there on 128 for each, rounded up to a
    /// power of two; never more than 1,048,576. Fewer would often be enough for even shares, but
    /// what moves needlessly when a backend goes depends on the ring's length more than on the
    /// number of backends.
    ///
    /// Keep a service's length while it has 128 slots for each backend: rings of different lengths
    /// have little in common, so a new length moves most slots.
    #[must_use]
    pub fn for_backends(backends: usize) -> Self {
        let shortest = match backends {
            0..=2 => 1_024,
            3..=16 => 4_096,
            _ => 8_192,
        };
        let slots = backends
            .saturating_mul(128)
            .clamp(shortest, 1 << Self::MAX.log2);
        // At most 2^20, so this neither overflows nor exceeds the longest length.
        Self {
            log2: slots.next_power_of_two().ilog2() as u8,
        }
    }

    /// The number of bits of an index: the slot of a 32-bit flow hash is its top `log2` bits.
    #[must_use]
    pub const fn log2(self) -> u32 {
        self.log2 as u32
    }

    /// The number of slots, 1 to 1,048,576.
    #[must_use]
    pub const fn slots(self) -> u32 {
        1 << self.log2
    }

    /// Twice this length, or `None` if this is the longest.
    #[must_use]
    pub fn doubled(self) -> Option<Self> {
        (self < Self::MAX).then(|| Self {
            log2: self.log2 + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_power_of_two_up_to_the_longest_is_a_length() {
        for log2 in 0..=20 {
            let length = Length::new(1 << log2).unwrap();
            assert_eq!((length.log2(), length.slots()), (log2, 1 << log2));
        }
    }

    #[test]
    fn anything_but_a_power_of_two_in_range_is_refused() {
        for slots in [0, 3, 1_000, 65_535, 65_537, 1 << 21, 1 << 31, u32::MAX] {
            assert_eq!(Length::new(slots), Err(RingError::BadLength { slots }));
        }
    }

    #[test]
    fn the_default_length_follows_the_number_of_backends() {
        let cases = [
            (0, 1_024),
            (2, 1_024),
            (3, 4_096),
            (16, 4_096),
            (17, 8_192),
            (64, 8_192),
            (65, 16_384),
            (1_000, 131_072),
            (8_192, 1_048_576),
            (10_000, 1_048_576),
            (usize::MAX, 1_048_576),
        ];
        for (backends, slots) in cases {
            assert_eq!(
                Length::for_backends(backends).slots(),
                slots,
                "{backends} backends"
            );
        }
    }

    #[test]
    fn the_default_length_has_128_slots_for_each_backend_until_it_is_the_longest() {
        for backends in 0..=8_192 {
            let slots = Length::for_backends(backends).slots() as usize;
            assert!(
                slots >= 1_024 && slots >= 128 * backends,
                "{backends} backends: {slots}"
            );
        }
    }

    #[test]
    fn doubling_ends_at_the_longest_length() {
        assert_eq!(Length::MIN.doubled(), Some(Length::new(2).unwrap()));
        assert_eq!(Length::new(1 << 19).unwrap().doubled(), Some(Length::MAX));
        assert_eq!(Length::MAX.doubled(), None);
    }
}
