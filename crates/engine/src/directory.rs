//! Builds the service directory: finds a seed and a size with which no bucket overflows.

use std::collections::BTreeMap;

use abi::directory::{Active, BUCKET_ENTRIES, BucketV4, DirectoryKey as _, EntryV4, KeyV4};
use abi::limits::MAX_DIRECTORY_LOG2;

use crate::EngineError;

/// Seeds tried for a size before the next larger one.
const SEEDS_PER_SIZE: u32 = 64;

/// The buckets of one copy and the seed they were filled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// `2^log2` of them.
    pub buckets: Vec<BucketV4>,
    /// See [`abi::directory::DirectoryKey::bucket`].
    pub seed: u32,
    /// log2 of the number of buckets.
    pub log2: u8,
}

impl Directory {
    /// Fills the smallest directory that one of the seeds fits, at most three quarters full.
    pub fn build(entries: &BTreeMap<KeyOrder, EntryV4>) -> Result<Self, EngineError> {
        let enough = entries.len().div_ceil(BUCKET_ENTRIES * 3 / 4).max(1);
        let mut log2 = enough.next_power_of_two().trailing_zeros() as u8;
        while log2 <= MAX_DIRECTORY_LOG2 {
            for seed in 0..SEEDS_PER_SIZE {
                if let Some(buckets) = fill(entries, seed, log2) {
                    return Ok(Self {
                        buckets,
                        seed,
                        log2,
                    });
                }
            }
            log2 += 1;
        }
        Err(EngineError::Directory {
            keys: entries.len(),
        })
    }

    /// The word that makes this copy, written from `first_bucket` on, the active one.
    #[must_use]
    pub fn active(&self, first_bucket: u32) -> Active {
        Active::new(self.seed, first_bucket, self.log2)
    }
}

/// A key that can be sorted, so that the same entries always give the same directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyOrder {
    /// Address in host byte order.
    pub address: u32,
    /// Port in host byte order; 0: every port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl KeyOrder {
    /// As it stands in the map.
    #[must_use]
    pub fn key(self) -> KeyV4 {
        KeyV4::new(
            wire::Be32::new(self.address),
            wire::Be16::new(self.port),
            self.protocol,
        )
    }
}

fn fill(entries: &BTreeMap<KeyOrder, EntryV4>, seed: u32, log2: u8) -> Option<Vec<BucketV4>> {
    let mut buckets = vec![BucketV4::default(); 1 << log2];
    for entry in entries.values() {
        let bucket = buckets.get_mut(entry.key.bucket(seed, log2) as usize)?;
        let free = bucket
            .entries
            .iter_mut()
            .find(|entry| entry.key == KeyV4::default())?;
        *free = *entry;
    }
    Some(buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u32) -> BTreeMap<KeyOrder, EntryV4> {
        (0..count)
            .map(|i| {
                let order = KeyOrder {
                    address: 0x0a00_0000 + i / 7,
                    port: (8000 + i % 7) as u16,
                    protocol: 6,
                };
                let entry = EntryV4 {
                    key: order.key(),
                    target: abi::directory::Target {
                        service: i,
                        kind: abi::directory::SERVICE,
                    },
                };
                (order, entry)
            })
            .collect()
    }

    #[test]
    fn every_key_is_found_in_its_bucket() {
        for count in [0, 1, 4, 5, 100, 10_000, 2 * abi::limits::MAX_SERVICES] {
            let entries = entries(count);
            let directory = Directory::build(&entries).unwrap();
            let active = directory.active(0);
            for entry in entries.values() {
                let bucket = &directory.buckets[active.bucket(&entry.key) as usize];
                assert!(bucket.entries.contains(entry), "{count} keys, {entry:?}");
            }
        }
    }

    #[test]
    fn ten_thousand_keys_take_two_megabytes_at_most() {
        let directory = Directory::build(&entries(10_000)).unwrap();
        assert!(directory.buckets.len() * size_of::<BucketV4>() <= 2 << 20);
    }

    #[test]
    fn the_second_copy_is_addressed_by_its_first_bucket() {
        let directory = Directory::build(&entries(100)).unwrap();
        let key = KeyOrder {
            address: 0x0a00_0000,
            port: 8000,
            protocol: 6,
        }
        .key();
        assert_eq!(
            directory.active(1024).bucket(&key),
            directory.active(0).bucket(&key) + 1024
        );
    }
}
