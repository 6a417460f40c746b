//! Where everything lies that a packet is led by: services, backends, directories and rings are one
//! entry of one map, so that a packet asks the kernel for an address once, and everything behind
//! that is arithmetic whose bounds the verifier knows. User space has the same bytes mapped.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::backend::Backend;
use crate::control::Control;
use crate::directory::{BucketV4, BucketV6};
use crate::limits::MAX_SERVICES;
use crate::service::Service;
use crate::slot::Slot;

/// Nothing begins in the middle of a cache line.
const LINE: u64 = 64;

/// Words that the object declares the entry to have. The loader puts [`Layout::length`] in place of
/// this number, which must therefore appear in the object's type information just once.
pub const PLACEHOLDER_WORDS: u32 = 0x000e_e7e1;

/// Offset of the [`Control`] in bytes.
pub const CONTROL: u64 = 0;
/// Offset of the [`Service`]s, [`MAX_SERVICES`] of them.
pub const SERVICES: u64 = LINE;
/// Offset of the buckets of IPv4.
pub const DIRECTORY_V4: u64 = SERVICES + MAX_SERVICES as u64 * size_of::<Service>() as u64;

const _: () = assert!(size_of::<Control>() as u64 <= SERVICES && DIRECTORY_V4.is_multiple_of(LINE));

/// Lives in `.rodata`: what is decided when the program is loaded. Numbers of entries, and offsets
/// in bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Layout {
    /// [`BucketV4`]s, of both copies.
    pub buckets_v4: u64,
    /// [`BucketV6`]s, of both copies.
    pub buckets_v6: u64,
    /// [`Backend`]s.
    pub backends: u64,
    /// [`Slot`]s, of all rings.
    pub slots: u64,
    /// Offset of the [`BucketV6`]s.
    pub directory_v6_at: u64,
    /// Offset of the [`Backend`]s.
    pub backends_at: u64,
    /// Offset of the [`Slot`]s.
    pub slots_at: u64,
}

impl Layout {
    /// One after the other.
    #[must_use]
    pub const fn new(buckets_v4: u64, buckets_v6: u64, backends: u64, slots: u64) -> Self {
        let directory_v6_at = DIRECTORY_V4 + buckets_v4 * size_of::<BucketV4>() as u64;
        let backends_at = directory_v6_at + buckets_v6 * size_of::<BucketV6>() as u64;
        let slots_at = backends_at + backends * size_of::<Backend>() as u64;
        Self {
            buckets_v4,
            buckets_v6,
            backends,
            slots,
            directory_v6_at,
            backends_at,
            slots_at,
        }
    }

    /// Length of all of it in bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.slots_at + self.slots * size_of::<Slot>() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_everything_begins_with_a_cache_line() {
        let layout = Layout::new(3, 5, 7, 11);
        let v6 = DIRECTORY_V4 + 3 * 64;
        assert_eq!(layout.directory_v6_at, v6);
        assert_eq!(layout.backends_at, v6 + 5 * 128);
        assert_eq!(layout.slots_at, v6 + 5 * 128 + 7 * 64);
        assert_eq!(layout.length(), layout.slots_at + 11 * 8);
        for offset in [
            SERVICES,
            DIRECTORY_V4,
            v6,
            layout.backends_at,
            layout.slots_at,
        ] {
            assert_eq!(offset % LINE, 0);
        }
    }
}
