//! The two IP versions, as types: everything that differs between them hangs on [`Family`].
//!
//! Code that is generic over the family is compiled twice, each time with keys as small as its
//! addresses allow: an IPv4 flow hashes 16 bytes, not 40.

use core::fmt::Debug;
use core::hash::Hash;

use wire::checksum::Delta;
use wire::{Be32, ipv4, ipv6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::backend;
use crate::directory::{BucketV4, BucketV6, DirectoryKey, EntryV4, EntryV6, KeyV4, KeyV6};
use crate::flow::{
    Flow, FlowKey, FlowKeyV4, FlowKeyV6, FlowV4, FlowV6, Rewrite, RewriteV4, RewriteV6,
};
use crate::hash::mix;
use crate::prefix::{PrefixKey, PrefixKeyV4, PrefixKeyV6};

/// What every type in a map is.
pub trait Plain:
    Copy + Debug + PartialEq + FromBytes + IntoBytes + Immutable + KnownLayout
{
}
impl<T: Copy + Debug + PartialEq + FromBytes + IntoBytes + Immutable + KnownLayout> Plain for T {}

/// An IP version.
pub trait Family: Copy + Debug + PartialEq + Eq + 'static {
    /// Its addresses.
    type Address: Address;
    /// 5-tuple.
    type FlowKey: FlowKey<Address = Self::Address, Rewrite = Self::Rewrite>
        + Plain
        + Eq
        + Hash
        + Ord;
    /// What `nat` writes into packets.
    type Rewrite: Rewrite<Address = Self::Address> + Plain;
    /// `nat` flow.
    type Flow: Flow<Rewrite = Self::Rewrite> + Plain;
    /// Key of the service directory.
    type DirectoryKey: DirectoryKey<Address = Self::Address> + Plain;
    /// Entry of the service directory.
    type Entry: Plain;
    /// Bucket of the service directory.
    type Bucket: crate::directory::Bucket<Key = Self::DirectoryKey> + Plain;
    /// Key of a prefix service.
    type PrefixKey: PrefixKey<Address = Self::Address> + Plain;

    /// Whether this is IPv6.
    const IS_V6: bool;
    /// Protocol number of its ICMP.
    const ICMP: u8;
}

/// IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V6;

impl Family for V4 {
    type Address = Be32;
    type FlowKey = FlowKeyV4;
    type Rewrite = RewriteV4;
    type Flow = FlowV4;
    type DirectoryKey = KeyV4;
    type Entry = EntryV4;
    type Bucket = BucketV4;
    type PrefixKey = PrefixKeyV4;
    const IS_V6: bool = false;
    const ICMP: u8 = ipv4::ICMP;
}

impl Family for V6 {
    type Address = ipv6::Address;
    type FlowKey = FlowKeyV6;
    type Rewrite = RewriteV6;
    type Flow = FlowV6;
    type DirectoryKey = KeyV6;
    type Entry = EntryV6;
    type Bucket = BucketV6;
    type PrefixKey = PrefixKeyV6;
    const IS_V6: bool = true;
    const ICMP: u8 = ipv6::ICMP;
}

/// An address of either family.
pub trait Address: Plain + Eq + Hash + Ord {
    /// Adds the change from one address to another to a checksum's difference.
    fn delta(delta: Delta, old: Self, new: Self) -> Delta;
    /// Mixes it into a hash.
    fn mix(self, hash: u64) -> u64;
    /// From the form that backends and services have it in. Meaningless for the other family's.
    fn from_stored(stored: &backend::Address) -> Self;
    /// In the form that backends and services have it in.
    fn stored(self) -> backend::Address;
}

impl Address for Be32 {
    #[inline(always)]
    fn delta(delta: Delta, old: Self, new: Self) -> Delta {
        delta.double_word(old, new)
    }

    #[inline(always)]
    fn mix(self, hash: u64) -> u64 {
        mix(hash ^ u64::from(self.raw()))
    }

    #[inline(always)]
    fn from_stored(stored: &backend::Address) -> Self {
        stored.as_v4()
    }

    fn stored(self) -> backend::Address {
        backend::Address::v4(self)
    }
}

impl Address for ipv6::Address {
    #[inline(always)]
    fn delta(delta: Delta, old: Self, new: Self) -> Delta {
        delta.address(old, new)
    }

    #[inline(always)]
    fn mix(self, hash: u64) -> u64 {
        let (first, second) = self.raw();
        mix(mix(hash ^ first) ^ second)
    }

    #[inline(always)]
    fn from_stored(stored: &backend::Address) -> Self {
        stored.as_v6()
    }

    fn stored(self) -> backend::Address {
        backend::Address::v6(self)
    }
}
