//! Builds the service directory: finds a seed and a size with which no bucket overflows.

use std::collections::BTreeMap;
use std::net::IpAddr;

use abi::backend::Address;
use abi::directory::{
    Active, BUCKET_ENTRIES, BucketV4, BucketV6, DirectoryKey as _, EntryV4, EntryV6, KeyV4, KeyV6,
    Target,
};
use abi::family::{Address as _, Family, V4, V6};
use abi::limits::MAX_DIRECTORY_LOG2;
use wire::{Be16, Be32, ipv6};
use zerocopy::FromZeros as _;

use crate::EngineError;

/// Seeds tried for a size before the next larger one.
const SEEDS_PER_SIZE: u32 = 64;

/// Address, port and protocol, in host byte order, so that they can be sorted: the same entries
/// always give the same directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// IPv4 comes before IPv6.
    pub address: IpAddr,
    /// 0: every port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl Key {
    /// As it stands in the map. Without meaning for the other family's.
    #[must_use]
    pub fn stored<F: Family>(&self) -> F::DirectoryKey {
        let address = F::Address::from_stored(&address(self.address));
        F::DirectoryKey::new(address, Be16::new(self.port), self.protocol)
    }
}

/// An address as the maps have it.
pub(crate) fn address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => Address::v4(Be32::new(v4.to_bits())),
        IpAddr::V6(v6) => Address::v6(ipv6::Address::new(v6.octets())),
    }
}

/// The address that [`address`] made this of.
pub(crate) fn ip_address(stored: &Address, is_v6: bool) -> IpAddr {
    match is_v6 {
        false => IpAddr::V4(stored.as_v4().get().into()),
        true => IpAddr::V6(stored.as_v6().octets().into()),
    }
}

/// A family's buckets can be filled, and read.
pub trait Fill: Family {
    /// Puts a key into a bucket; `false` if that is full.
    fn put(bucket: &mut Self::Bucket, key: Self::DirectoryKey, target: Target) -> bool;
    /// All its entries, free ones too.
    fn entries(bucket: &Self::Bucket) -> [(Self::DirectoryKey, Target); BUCKET_ENTRIES];
}

/// The keys of buckets, and what they lead to.
pub(crate) fn keys<F: Fill>(buckets: &[F::Bucket]) -> impl Iterator<Item = (Key, Target)> {
    let entries = buckets.iter().flat_map(F::entries);
    let taken = entries.filter(|(key, _)| *key != F::DirectoryKey::new_zeroed());
    taken.map(|(key, target)| {
        let (address, port, protocol) = key.parts();
        let key = Key {
            address: ip_address(&address.stored(), F::IS_V6),
            port: port.get(),
            protocol,
        };
        (key, target)
    })
}

impl Fill for V4 {
    fn put(bucket: &mut BucketV4, key: KeyV4, target: Target) -> bool {
        let mut entries = bucket.entries.iter_mut();
        let free = entries.find(|entry| entry.key == KeyV4::default());
        free.map(|free| *free = EntryV4 { key, target }).is_some()
    }

    fn entries(bucket: &BucketV4) -> [(KeyV4, Target); BUCKET_ENTRIES] {
        bucket.entries.map(|entry| (entry.key, entry.target))
    }
}

impl Fill for V6 {
    fn put(bucket: &mut BucketV6, key: KeyV6, target: Target) -> bool {
        let mut entries = bucket.entries.iter_mut();
        let free = entries.find(|entry| entry.key == KeyV6::default());
        free.map(|free| *free = EntryV6 { key, target }).is_some()
    }

    fn entries(bucket: &BucketV6) -> [(KeyV6, Target); BUCKET_ENTRIES] {
        bucket.entries.map(|entry| (entry.key, entry.target))
    }
}

/// The buckets of one copy and the seed they were filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory<F: Family> {
    /// `2^log2` of them.
    pub buckets: Vec<F::Bucket>,
    /// See [`abi::directory::DirectoryKey::bucket`].
    pub seed: u32,
    /// log2 of the number of buckets.
    pub log2: u8,
}

impl<F: Fill> Directory<F> {
    /// Fills the smallest directory that one of the seeds fits, at most three quarters full, with
    /// the keys of its family.
    pub fn build(keys: &BTreeMap<Key, Target>) -> Result<Self, EngineError> {
        let family = keys
            .iter()
            .filter(|(key, _)| key.address.is_ipv6() == F::IS_V6);
        let entries: Vec<(F::DirectoryKey, Target)> = family
            .map(|(key, target)| (key.stored::<F>(), *target))
            .collect();
        let enough = entries.len().div_ceil(BUCKET_ENTRIES * 3 / 4).max(1);
        let mut log2 = enough.next_power_of_two().trailing_zeros() as u8;
        while log2 <= MAX_DIRECTORY_LOG2 {
            for seed in 0..SEEDS_PER_SIZE {
                if let Some(buckets) = fill::<F>(&entries, seed, log2) {
                    return Ok(Self {
                        buckets,
                        seed,
                        log2,
                    });
                }
            }
            log2 += 1;
        }
        let keys = entries.len();
        Err(EngineError::Directory { keys })
    }
}

impl<F: Family> Directory<F> {
    /// The word that makes this copy, written from `first_bucket` on, the active one.
    #[must_use]
    pub fn active(&self, first_bucket: u32) -> Active {
        Active::new(self.seed, first_bucket, self.log2)
    }
}

fn fill<F: Fill>(
    entries: &[(F::DirectoryKey, Target)],
    seed: u32,
    log2: u8,
) -> Option<Vec<F::Bucket>> {
    let mut buckets = vec![F::Bucket::new_zeroed(); 1 << log2];
    for (key, target) in entries {
        let bucket = buckets.get_mut(key.bucket(seed, log2) as usize)?;
        F::put(bucket, *key, *target).then_some(())?;
    }
    Some(buckets)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use abi::directory::{Bucket as _, SERVICE};

    use super::*;

    fn keys(count: u32, v6: bool) -> BTreeMap<Key, Target> {
        let address = |i: u32| {
            let bits = 0x0a00_0000 + i / 7;
            if v6 {
                IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(bits)))
            } else {
                IpAddr::V4(Ipv4Addr::from_bits(bits))
            }
        };
        let key = |i| Key {
            address: address(i),
            port: (8000 + i % 7) as u16,
            protocol: 6,
        };
        let target = |service| Target {
            service,
            kind: SERVICE,
        };
        (0..count).map(|i| (key(i), target(i))).collect()
    }

    fn assert_found<F: Fill>(count: u32) {
        let (mut keys, others) = (keys(count, F::IS_V6), keys(100, !F::IS_V6));
        let directory = Directory::<F>::build(&keys).unwrap();
        let active = directory.active(0);
        let read: BTreeMap<_, _> = super::keys::<F>(&directory.buckets).collect();
        assert_eq!(read, keys);
        for (key, target) in &keys {
            let key = key.stored::<F>();
            let bucket = &directory.buckets[active.bucket(&key) as usize];
            assert_eq!(bucket.find(&key), Some(*target), "{count} keys, {key:?}");
        }
        keys.extend(others);
        let both = Directory::<F>::build(&keys).unwrap();
        assert_eq!(
            both.buckets, directory.buckets,
            "the other family's keys are left out"
        );
    }

    #[test]
    fn every_key_is_found_in_its_bucket() {
        for count in [0, 1, 4, 5, 100, 10_000, 2 * abi::limits::MAX_SERVICES] {
            assert_found::<V4>(count);
            assert_found::<V6>(count);
        }
    }

    #[test]
    fn ten_thousand_keys_take_two_megabytes_at_most() {
        let directory = Directory::<V4>::build(&keys(10_000, false)).unwrap();
        assert!(directory.buckets.len() * size_of::<BucketV4>() <= 2 << 20);
    }

    #[test]
    fn the_second_copy_is_addressed_by_its_first_bucket() {
        let keys = keys(100, false);
        let directory = Directory::<V4>::build(&keys).unwrap();
        let key = keys.keys().next().unwrap().stored::<V4>();
        assert_eq!(
            directory.active(1024).bucket(&key),
            directory.active(0).bucket(&key) + 1024
        );
    }
}
