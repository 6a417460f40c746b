//! One ring entry: 8 bytes, read and written in one piece.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `current` backend (bits 0 to 27), `previous` backend (bits 28 to 55), state (bits 56 to 63).
/// All zero is an empty slot.
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Slot(u64);

/// State of an unused slot.
pub const EMPTY: u8 = 0;
/// Every flow of the slot belongs to `current`.
pub const STEADY: u8 = 1;
/// The slot changed from `previous` to `current`; flows of before are being entered.
pub const TRANSITION: u8 = 2;
/// Nothing new is entered; entries still decide.
pub const SETTLING: u8 = 3;

const BACKEND_BITS: u32 = 28;
const BACKEND_MASK: u64 = (1 << BACKEND_BITS) - 1;

impl Slot {
    /// A slot whose flows all belong to `current`.
    #[inline(always)]
    #[must_use]
    pub const fn steady(current: u32) -> Self {
        Self(current as u64 & BACKEND_MASK | (STEADY as u64) << (2 * BACKEND_BITS))
    }

    /// A slot that changed from `previous` to `current`.
    #[inline(always)]
    #[must_use]
    pub const fn transition(current: u32, previous: u32) -> Self {
        Self(
            current as u64 & BACKEND_MASK
                | (previous as u64 & BACKEND_MASK) << BACKEND_BITS
                | (TRANSITION as u64) << (2 * BACKEND_BITS),
        )
    }

    /// A slot whose flows belong to `current` unless they have an entry.
    #[inline(always)]
    #[must_use]
    pub const fn settling(current: u32) -> Self {
        Self(current as u64 & BACKEND_MASK | (SETTLING as u64) << (2 * BACKEND_BITS))
    }

    /// The backend of new flows. Meaningless if [`Self::state`] is [`EMPTY`].
    #[inline(always)]
    #[must_use]
    pub const fn current(self) -> u32 {
        (self.0 & BACKEND_MASK) as u32
    }

    /// The backend before the change, in [`TRANSITION`].
    #[inline(always)]
    #[must_use]
    pub const fn previous(self) -> u32 {
        (self.0 >> BACKEND_BITS & BACKEND_MASK) as u32
    }

    /// [`EMPTY`], [`STEADY`], [`TRANSITION`] or [`SETTLING`].
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> u8 {
        (self.0 >> (2 * BACKEND_BITS)) as u8
    }
}

impl core::fmt::Debug for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Slot({}, {}, {})",
            self.state(),
            self.current(),
            self.previous()
        )
    }
}

const _: () = assert!(size_of::<Slot>() == 8);
const _: () = assert!(crate::limits::MAX_BACKENDS as u64 <= BACKEND_MASK);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_overlap() {
        let slot = Slot::steady(0x0fff_ffff);
        assert_eq!(
            (slot.current(), slot.previous(), slot.state()),
            (0x0fff_ffff, 0, STEADY)
        );
        assert_eq!(Slot::default().state(), EMPTY);
        let slot = Slot::transition(1, 0x0fff_ffff);
        assert_eq!(
            (slot.current(), slot.previous(), slot.state()),
            (1, 0x0fff_ffff, TRANSITION)
        );
        assert_eq!(Slot::settling(7).state(), SETTLING);
    }
}
