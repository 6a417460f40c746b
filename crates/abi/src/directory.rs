//! The service directory: which (address, port, protocol) is a service.
//!
//! An array of buckets of one cache line. User space knows every key, so it picks the seed and
//! the size so that no bucket overflows; a lookup is one array read and never a chain.

use wire::{Be16, Be32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A packet to this key is for the service in [`EntryV4::service`].
pub const SERVICE: u32 = 1 << 0;
/// The address is a source address of `nat` mode: replies of backends arrive here.
pub const NAT_SOURCE: u32 = 1 << 1;
/// Some service has this address and protocol (on an any-port key).
pub const VIP: u32 = 1 << 2;

/// Entries in a bucket.
pub const BUCKET_ENTRIES: usize = 4;

/// Port of a key that stands for every port.
pub const ANY_PORT: Be16 = Be16::new(0);

/// Address, port and protocol in one comparable word; never 0, which marks a free entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct KeyV4(u64);

impl KeyV4 {
    /// The key of a destination; `port` may be [`ANY_PORT`].
    #[inline(always)]
    #[must_use]
    pub const fn new(address: Be32, port: Be16, protocol: u8) -> Self {
        Self(address.raw() as u64 | (port.raw() as u64) << 32 | (protocol as u64) << 48 | 1 << 56)
    }

    /// The bucket of this key in a directory of `2^log2` buckets.
    #[inline(always)]
    #[must_use]
    pub const fn bucket(self, seed: u32, log2: u8) -> u32 {
        // Two rounds of multiply and fold (the finalizer of MurmurHash3 with the seed mixed in).
        let mut hash = self.0 ^ (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        // Two steps, because a shift by 64 (log2 = 0) is not defined.
        (hash >> 1 >> (63 - (log2 & 63) as u32)) as u32
    }
}

/// One key and what it leads to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EntryV4 {
    /// The key, or 0.
    pub key: KeyV4,
    /// Index of the service, if [`SERVICE`] is set.
    pub service: u32,
    /// [`SERVICE`], [`NAT_SOURCE`], [`VIP`].
    pub kind: u32,
}

/// A cache line of entries.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct BucketV4 {
    /// In no particular order; free ones have key 0.
    pub entries: [EntryV4; BUCKET_ENTRIES],
}

const _: () = assert!(size_of::<BucketV4>() == 64);

/// Which copy of the directory is active: seed (bits 0 to 31), first bucket (32 to 55), log2 of
/// the number of buckets (56 to 63). One word, so that a change is seen whole or not at all.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Active(u64);

impl Active {
    /// From its parts.
    #[must_use]
    pub const fn new(seed: u32, first_bucket: u32, log2: u8) -> Self {
        Self(seed as u64 | (first_bucket as u64 & 0xff_ffff) << 32 | (log2 as u64) << 56)
    }

    /// Index of the bucket that would hold `key`.
    #[inline(always)]
    #[must_use]
    pub const fn bucket(self, key: KeyV4) -> u32 {
        let first = (self.0 >> 32) as u32 & 0xff_ffff;
        first + key.bucket(self.0 as u32, (self.0 >> 56) as u8)
    }

    /// As it is stored.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.0
    }
}
