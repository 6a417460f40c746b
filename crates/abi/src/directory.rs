//! The service directory: which (address, port, protocol) is a service.
//!
//! An array of buckets of one cache line. User space knows every key, so it picks the seed and
//! the size so that no bucket overflows; a lookup is one array read and never a chain.

use wire::{Be16, Be32, ipv6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A packet to this key is for the service in [`EntryV4::service`].
pub const SERVICE: u32 = 1 << 0;
/// The address is a source address of `nat` mode: replies of backends arrive here.
pub const NAT_SOURCE: u32 = 1 << 1;
/// Some service has this address and protocol (on an any-port key).
pub const VIP: u32 = 1 << 2;

/// Echo requests to the address are answered (on a key of the family's ICMP, port 0).
pub const ECHO: u32 = 1 << 3;
/// A backend of mode `dnat` answers from here: its packets get the address of [`EntryV4::service`].
pub const DNAT_BACKEND: u32 = 1 << 4;

/// Entries in a bucket.
pub const BUCKET_ENTRIES: usize = 4;

/// Port of a key that stands for every port.
pub const ANY_PORT: Be16 = Be16::new(0);

/// Key of either family.
pub trait DirectoryKey {
    /// Address of the family.
    type Address;
    /// The key of a destination; `port` may be [`ANY_PORT`].
    fn new(address: Self::Address, port: Be16, protocol: u8) -> Self;
    /// Address, port and protocol.
    fn parts(&self) -> (Self::Address, Be16, u8);
    /// The bucket of this key in a directory of `2^log2` buckets.
    fn bucket(&self, seed: u32, log2: u8) -> u32;
}

/// Bucket of either family.
pub trait Bucket {
    /// Its key.
    type Key;
    /// What `key` leads to.
    fn find(&self, key: &Self::Key) -> Option<Target>;
}

/// What a key leads to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Target {
    /// Index of the service, if [`SERVICE`] or [`DNAT_BACKEND`] is set.
    pub service: u32,
    /// [`SERVICE`], [`NAT_SOURCE`], ...
    pub kind: u32,
}

/// Address, port and protocol in one comparable word; never 0, which marks a free entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct KeyV4(u64);

/// One key and what it leads to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EntryV4 {
    /// The key, or 0.
    pub key: KeyV4,
    /// What it leads to.
    pub target: Target,
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

/// Address, port and protocol of IPv6. The second part is never 0, which marks a free entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct KeyV6 {
    address: ipv6::Address,
    port_protocol: u64,
}

/// One key and what it leads to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EntryV6 {
    /// The key, or 0.
    pub key: KeyV6,
    /// What it leads to.
    pub target: Target,
}

/// Two adjacent cache lines of entries.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct BucketV6 {
    /// In no particular order; free ones have key 0.
    pub entries: [EntryV6; BUCKET_ENTRIES],
}

const _: () = assert!(size_of::<BucketV6>() == 128);

/// What keys are multiplied with: odd, so that no bit of theirs is lost (multiply-shift hashing:
/// Dietzfelbinger, Hagerup, Katajainen, Penttonen, 1997). That is weak as hashes go, and enough:
/// whoever fills the directory tries seeds until every key has its place, and nobody else's keys
/// are in it. It is one multiplication on a packet's way, because this one does not wait for the packet.
#[inline(always)]
const fn multiplier(seed: u32) -> u64 {
    (2 * seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The top `log2` bits of a hash.
#[inline(always)]
const fn top(hash: u64, log2: u8) -> u32 {
    // Two steps, because a shift by 64 (log2 = 0) is not defined.
    (hash >> 1 >> (63 - (log2 & 63) as u32)) as u32
}

impl DirectoryKey for KeyV4 {
    type Address = Be32;

    #[inline(always)]
    fn new(address: Be32, port: Be16, protocol: u8) -> Self {
        Self(
            u64::from(address.raw())
                | u64::from(port.raw()) << 32
                | u64::from(protocol) << 48
                | 1 << 56,
        )
    }

    fn parts(&self) -> (Be32, Be16, u8) {
        (
            Be32::from_raw(self.0 as u32),
            Be16::from_raw((self.0 >> 32) as u16),
            (self.0 >> 48) as u8,
        )
    }

    #[inline(always)]
    fn bucket(&self, seed: u32, log2: u8) -> u32 {
        top(self.0.wrapping_mul(multiplier(seed)), log2)
    }
}

impl DirectoryKey for KeyV6 {
    type Address = ipv6::Address;

    #[inline(always)]
    fn new(address: ipv6::Address, port: Be16, protocol: u8) -> Self {
        Self {
            address,
            port_protocol: u64::from(port.raw()) | u64::from(protocol) << 16 | 1 << 24,
        }
    }

    fn parts(&self) -> (ipv6::Address, Be16, u8) {
        let word = self.port_protocol;
        (
            self.address,
            Be16::from_raw(word as u16),
            (word >> 16) as u8,
        )
    }

    #[inline(always)]
    fn bucket(&self, seed: u32, log2: u8) -> u32 {
        let (first, second) = self.address.raw();
        let multiplier = multiplier(seed);
        let sum = first
            .wrapping_mul(multiplier)
            .wrapping_add(second.wrapping_mul(multiplier.rotate_left(21) | 1))
            .wrapping_add(
                self.port_protocol
                    .wrapping_mul(multiplier.rotate_left(42) | 1),
            );
        top(sum, log2)
    }
}

impl Bucket for BucketV4 {
    type Key = KeyV4;

    #[inline(always)]
    fn find(&self, key: &KeyV4) -> Option<Target> {
        let entry = self.entries.iter().find(|entry| entry.key == *key)?;
        Some(entry.target)
    }
}

impl Bucket for BucketV6 {
    type Key = KeyV6;

    #[inline(always)]
    fn find(&self, key: &KeyV6) -> Option<Target> {
        let entry = self.entries.iter().find(|entry| entry.key == *key)?;
        Some(entry.target)
    }
}

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

    /// Index of its first bucket.
    #[must_use]
    pub const fn first_bucket(self) -> u32 {
        (self.0 >> 32) as u32 & 0xff_ffff
    }

    /// How many buckets it has.
    #[must_use]
    pub const fn buckets(self) -> u32 {
        1 << ((self.0 >> 56) as u32 & 31)
    }

    /// The same copy in another place.
    #[must_use]
    pub const fn moved_to(self, first_bucket: u32) -> Self {
        Self::new(self.0 as u32, first_bucket, (self.0 >> 56) as u8)
    }

    /// Index of the bucket that would hold `key`.
    #[inline(always)]
    #[must_use]
    pub fn bucket(self, key: &impl DirectoryKey) -> u32 {
        let first = (self.0 >> 32) as u32 & 0xff_ffff;
        first + key.bucket(self.0 as u32, (self.0 >> 56) as u8)
    }

    /// As it is stored.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.0
    }
}
