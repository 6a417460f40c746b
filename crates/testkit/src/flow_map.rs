//! A table of flows in memory.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use datapath::InsertError;

/// What happens when a table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// New entries are refused.
    Refuse,
    /// The entry that was looked at longest ago gives way.
    EvictOldest,
}

/// A table of flows with a capacity.
#[derive(Clone, Debug)]
pub struct FlowMap<K, V> {
    capacity: usize,
    when_full: WhenFull,
    /// With the tick of the last look.
    entries: HashMap<K, (V, u64)>,
    /// The keys by the tick of the last look.
    order: BTreeMap<u64, K>,
    tick: u64,
}

impl<K: Copy + Eq + Ord + Hash, V: Copy> FlowMap<K, V> {
    /// An empty table for `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize, when_full: WhenFull) -> Self {
        Self {
            capacity,
            when_full,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            tick: 0,
        }
    }

    /// The entry of `key`, which becomes the youngest.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (flow, seen) = self.entries.get_mut(key)?;
        self.tick += 1;
        self.order.remove(seen);
        self.order.insert(self.tick, *key);
        *seen = self.tick;
        Some(flow)
    }

    /// Enters `flow` if `key` is free.
    pub fn insert(&mut self, key: &K, flow: &V) -> Result<(), InsertError> {
        if self.entries.contains_key(key) {
            return Err(InsertError::Exists);
        }
        if self.entries.len() >= self.capacity {
            let oldest = self.order.values().next().copied();
            match (self.when_full, oldest) {
                (WhenFull::EvictOldest, Some(oldest)) => self.remove(&oldest),
                _ => return Err(InsertError::Full),
            }
        }
        self.tick += 1;
        self.order.insert(self.tick, *key);
        self.entries.insert(*key, (*flow, self.tick));
        Ok(())
    }

    /// Enters `flow` in place of whatever `key` has.
    pub fn replace(&mut self, key: &K, flow: &V) -> Result<(), InsertError> {
        if let Some(present) = self.get_mut(key) {
            *present = *flow;
            return Ok(());
        }
        self.insert(key, flow)
    }

    /// Removes the entry of `key`, if there is one.
    pub fn remove(&mut self, key: &K) {
        if let Some((_, seen)) = self.entries.remove(key) {
            self.order.remove(&seen);
        }
    }

    /// All entries in the order of their keys.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<K, V> {
        let entry = |(key, (flow, _)): (&K, &(V, u64))| (*key, *flow);
        self.entries.iter().map(entry).collect()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use abi::flow::{FlowKey as _, FlowKeyV4, FlowV4};
    use wire::{Be16, Be32};

    use super::*;

    fn key(n: u16) -> FlowKeyV4 {
        let address = Be32::new(1);
        FlowKeyV4::new(address, address, Be16::new(n), Be16::new(80), 6)
    }

    #[test]
    fn the_entry_that_was_looked_at_longest_ago_gives_way() {
        let mut map = FlowMap::new(2, WhenFull::EvictOldest);
        let flow = FlowV4::default();
        map.insert(&key(1), &flow).unwrap();
        map.insert(&key(2), &flow).unwrap();
        assert!(map.get_mut(&key(1)).is_some());
        map.insert(&key(3), &flow).unwrap();
        let keys: Vec<_> = map.entries().into_keys().collect();
        assert_eq!(keys, [key(1), key(3)]);
    }

    #[test]
    fn a_table_that_refuses_keeps_what_it_has() {
        let mut map = FlowMap::new(1, WhenFull::Refuse);
        let flow = FlowV4::default();
        map.insert(&key(1), &flow).unwrap();
        assert_eq!(map.insert(&key(1), &flow), Err(InsertError::Exists));
        assert_eq!(map.insert(&key(2), &flow), Err(InsertError::Full));
        map.remove(&key(1));
        assert!(map.is_empty());
        assert_eq!(map.insert(&key(2), &flow), Ok(()));
    }
}
