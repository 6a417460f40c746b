//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! All sums are over 16-bit words as they lie in memory: one's complement addition gives the same
//! bytes in either byte order (RFC 1071, section 2 (B)), so nothing here swaps bytes.

use crate::{Be16, Be32, ipv6};

/// The one's complement difference that a header rewrite makes: the sum of `~m + m'` over every
/// changed word (RFC 1624, equation 3). It depends on the changed words only, not on the rest of
/// the packet, so a flow computes it once and every packet adds one number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Delta(u32);

impl Delta {
    /// Nothing changed.
    pub const NONE: Self = Self(0);

    /// Adds the change of one 16-bit word.
    #[inline(always)]
    #[must_use]
    pub const fn word(self, old: Be16, new: Be16) -> Self {
        // Each term is below 2^17 and a rewrite has a few dozen at most: no overflow.
        Self(self.0 + (!old.raw()) as u32 + new.raw() as u32)
    }

    /// Adds the change of one 32-bit word.
    #[inline(always)]
    #[must_use]
    pub const fn double_word(self, old: Be32, new: Be32) -> Self {
        let (old, new) = (!old.raw(), new.raw());
        Self(self.0 + (old & 0xffff) + (old >> 16) + (new & 0xffff) + (new >> 16))
    }

    /// Adds the change of an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn address(self, old: ipv6::Address, new: ipv6::Address) -> Self {
        let ((a, b), (c, d)) = (old.raw(), new.raw());
        Self(self.0 + halves(!a) + halves(!b) + halves(c) + halves(d))
    }

    /// Adds what both are.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Folded to 16 bits, for storing.
    #[inline(always)]
    #[must_use]
    pub const fn fold(self) -> u16 {
        fold(self.0 as u64)
    }

    /// The reverse of [`Self::fold`].
    #[inline(always)]
    #[must_use]
    pub const fn from_folded(folded: u16) -> Self {
        Self(folded as u32)
    }
}

/// The sum of a word's four 16-bit parts: below 2^18.
#[inline(always)]
const fn halves(word: u64) -> u32 {
    let sum = (word & 0xffff_ffff) + (word >> 32);
    ((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32)) as u32
}

/// Adds the carries back in until 16 bits are left.
#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The one's complement sum of words, on its way to a checksum computed anew.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Sum(u64);

impl Sum {
    /// Nothing yet.
    #[inline(always)]
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// What has been summed already, in 32 bits.
    #[inline(always)]
    #[must_use]
    pub const fn of(sum: u32) -> Self {
        Self(sum as u64)
    }

    /// Adds 16 bits.
    #[inline(always)]
    #[must_use]
    pub const fn half(self, word: Be16) -> Self {
        Self(self.0 + word.raw() as u64)
    }

    /// Adds 32 bits.
    #[inline(always)]
    #[must_use]
    pub const fn word(self, word: Be32) -> Self {
        Self(self.0 + word.raw() as u64)
    }

    /// Adds an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn address(self, address: ipv6::Address) -> Self {
        let (first, second) = address.raw();
        Self(self.0 + halves(first) as u64 + halves(second) as u64)
    }

    /// Adds what both are. Of bytes: the first ones are an even number.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The checksum: the sum's complement.
    #[inline(always)]
    #[must_use]
    pub const fn checksum(self) -> Be16 {
        Be16::from_raw(!fold(self.0))
    }
}

/// A checksum field after the rewrite (RFC 1624, equation 3: `HC' = ~(~HC + ~m + m')`).
/// A valid checksum stays valid, a wrong one stays wrong by the same difference.
#[inline(always)]
#[must_use]
pub const fn update(checksum: Be16, delta: Delta) -> Be16 {
    Be16::from_raw(!fold((!checksum.raw()) as u64 + delta.0 as u64))
}

/// [`update`] for UDP over IPv4, where 0 means "no checksum" and stays 0, and a checksum that
/// comes out as 0 is sent as 0xffff (RFC 768).
#[inline(always)]
#[must_use]
pub const fn update_udp(checksum: Be16, delta: Delta) -> Be16 {
    if checksum.raw() == 0 {
        return checksum;
    }
    let updated = update(checksum, delta);
    if updated.raw() == 0 {
        return Be16::from_raw(0xffff);
    }
    updated
}

/// The one's complement sum of `bytes`, an odd last byte padded with zero (RFC 1071), on top of
/// `initial`. Slow and simple: for building packets and for checking, not for the packet path.
#[must_use]
pub fn sum(bytes: &[u8], initial: u16) -> u16 {
    let mut total = u64::from(initial);
    let mut words = bytes.chunks_exact(2);
    for word in &mut words {
        if let [high, low] = *word {
            total += u64::from(u16::from_ne_bytes([high, low]));
        }
    }
    if let [last] = *words.remainder() {
        total += u64::from(u16::from_ne_bytes([last, 0]));
    }
    fold(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1624, section 4: the example on which equation 2 of RFC 1141 goes wrong.
    #[test]
    fn rfc1624_example_gives_zero_not_minus_zero() {
        let delta = Delta::NONE.word(Be16::new(0x5555), Be16::new(0x3285));
        assert_eq!(update(Be16::new(0xdd2f), delta).get(), 0x0000);
    }

    #[test]
    fn udp_without_checksum_stays_without() {
        let delta = Delta::NONE.word(Be16::new(1), Be16::new(2));
        assert_eq!(update_udp(Be16::new(0), delta).get(), 0);
    }

    #[test]
    fn udp_checksum_that_comes_out_as_zero_is_sent_as_ones() {
        let delta = Delta::NONE.word(Be16::new(0x5555), Be16::new(0x3285));
        assert_eq!(update_udp(Be16::new(0xdd2f), delta).get(), 0xffff);
    }

    #[test]
    fn odd_length_is_padded_with_zero() {
        assert_eq!(sum(&[0x12], 0), sum(&[0x12, 0x00], 0));
    }

    proptest! {
        /// Words are changed at random places; the updated checksum equals the one computed anew.
        #[test]
        fn update_equals_full_recomputation(
            mut data in proptest::collection::vec(any::<u8>(), 2..128),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u16>()), 1..8),
        ) {
            data.truncate(data.len() & !1);
            let before = Be16::from_raw(!sum(&data, 0));
            let mut delta = Delta::NONE;
            for (place, value) in changes {
                let at = place.index(data.len() / 2) * 2;
                let old = Be16::from_raw(u16::from_ne_bytes([data[at], data[at + 1]]));
                let new = Be16::from_raw(value);
                delta = Delta::from_folded(delta.word(old, new).fold());
                data[at..at + 2].copy_from_slice(&value.to_ne_bytes());
            }
            let after = update(before, delta).raw();
            let fresh = !sum(&data, 0);
            // Only data that is all zero has two valid checksums, 0x0000 and 0xffff.
            prop_assert!(after == fresh || (after | fresh == 0xffff && after & fresh == 0));
            prop_assert_eq!(sum(&data, after), 0xffff);
        }

        /// The difference between a wrong checksum and the right one survives the update.
        #[test]
        fn wrong_checksum_stays_wrong(
            data in proptest::collection::vec(any::<u8>(), 4..64),
            wrong in any::<u16>(), value in any::<u16>(),
        ) {
            let mut data = data;
            data.truncate(data.len() & !1);
            prop_assume!(sum(&data, wrong) != 0xffff);
            let old = Be16::from_raw(u16::from_ne_bytes([data[0], data[1]]));
            let updated = update(Be16::from_raw(wrong), Delta::NONE.word(old, Be16::from_raw(value)));
            data[..2].copy_from_slice(&value.to_ne_bytes());
            prop_assert_ne!(sum(&data, updated.raw()), 0xffff);
        }

        #[test]
        fn double_word_equals_two_words(old in any::<u32>(), new in any::<u32>(), checksum in any::<u16>()) {
            let halves = |v: u32| (Be16::from_raw(v as u16), Be16::from_raw((v >> 16) as u16));
            let ((a, b), (c, d)) = (halves(old), halves(new));
            let whole = Delta::NONE.double_word(Be32::from_raw(old), Be32::from_raw(new));
            let parts = Delta::NONE.word(a, c).word(b, d);
            prop_assert_eq!(update(Be16::from_raw(checksum), whole), update(Be16::from_raw(checksum), parts));
        }
    }
}
