//! Which parts of the arena of slots belong to whom.

use std::collections::BTreeMap;

/// Slots of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// Index of the first.
    pub(crate) first: u32,
    /// log2 of how many.
    pub(crate) log2: u8,
}

impl Region {
    pub(crate) fn slots(self) -> u32 {
        1 << self.log2
    }

    /// The place in it of a flow whose hash starts with `hash`.
    pub(crate) fn place(self, hash: u32) -> u32 {
        (u64::from(hash) << self.log2 >> 32) as u32
    }
}

/// Free slots: first fit, neighbours joined.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    /// Length of each free stretch by its first slot.
    free: BTreeMap<u32, u32>,
}

impl Arena {
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            free: BTreeMap::from([(0, slots)]),
        }
    }

    /// A region of `2^log2` slots, or how many are free in all.
    pub(crate) fn take(&mut self, log2: u8) -> Result<Region, u32> {
        let wanted = 1 << log2;
        let fits = |(_, length): &(&u32, &u32)| **length >= wanted;
        let Some((&first, &length)) = self.free.iter().find(fits) else {
            return Err(self.free.values().sum());
        };
        self.free.remove(&first);
        if length > wanted {
            self.free.insert(first + wanted, length - wanted);
        }
        Ok(Region { first, log2 })
    }

    /// Takes this very region; `false` if a part of it is taken.
    pub(crate) fn claim(&mut self, region: Region) -> bool {
        let end = region.first + region.slots();
        let stretch = self.free.range(..=region.first).next_back();
        let Some((&first, &length)) = stretch else {
            return false;
        };
        if first + length < end {
            return false;
        }
        self.free.remove(&first);
        if first < region.first {
            self.free.insert(first, region.first - first);
        }
        if end < first + length {
            self.free.insert(end, first + length - end);
        }
        true
    }

    /// There are more slots, behind those there were.
    pub(crate) fn grow(&mut self, before: u32, slots: u32) {
        let mut first = before;
        let last = self.free.last_key_value();
        if let Some((&start, &length)) = last
            && start + length == before
        {
            first = start;
        }
        if slots > before {
            self.free.insert(first, slots - first);
        }
    }

    /// Takes a region back.
    pub(crate) fn give(&mut self, region: Region) {
        let (mut first, mut length) = (region.first, region.slots());
        if let Some(behind) = self.free.remove(&(first + length)) {
            length += behind;
        }
        if let Some((&before, &its_length)) = self.free.range(..first).next_back()
            && before + its_length == first
        {
            self.free.remove(&before);
            first = before;
            length += its_length;
        }
        self.free.insert(first, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_in_any_order_is_one_piece_again() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]] {
            let mut arena = Arena::new(1 << 6);
            let regions = [4, 5, 4].map(|log2| arena.take(log2).unwrap());
            assert_eq!(arena.take(0), Err(0));
            for at in order {
                arena.give(regions[at]);
            }
            assert_eq!(arena.take(6), Ok(Region { first: 0, log2: 6 }));
        }
    }

    #[test]
    fn a_region_that_is_claimed_is_nobody_elses() {
        let region = |first, log2| Region { first, log2 };
        let mut arena = Arena::new(64);
        assert!(arena.claim(region(16, 3)) && arena.claim(region(0, 4)));
        for taken in [region(16, 3), region(8, 4), region(20, 2), region(60, 3)] {
            assert!(!arena.claim(taken), "{taken:?}");
        }
        arena.give(region(0, 4));
        arena.give(region(16, 3));
        assert_eq!(arena.take(6), Ok(region(0, 6)));
    }

    #[test]
    fn room_that_comes_later_joins_what_is_free() {
        let mut arena = Arena::new(16);
        assert_eq!(arena.take(3), Ok(Region { first: 0, log2: 3 }));
        arena.grow(16, 40);
        assert_eq!(arena.take(5), Ok(Region { first: 8, log2: 5 }));
        assert_eq!(arena.take(0), Err(0));
        arena.grow(40, 41);
        assert_eq!(arena.take(0), Ok(Region { first: 40, log2: 0 }));
    }

    #[test]
    fn regions_do_not_overlap() {
        let mut arena = Arena::new(100);
        let mut used = [false; 100];
        for log2 in [3, 5, 2, 4, 0, 0, 3] {
            let region = arena.take(log2).unwrap();
            for slot in region.first..region.first + region.slots() {
                assert!(!std::mem::replace(&mut used[slot as usize], true));
            }
        }
    }

    #[test]
    fn a_place_is_the_top_bits_of_the_hash() {
        let region = |log2| Region { first: 0, log2 };
        assert_eq!(region(0).place(u32::MAX), 0);
        assert_eq!(region(1).place(0x8000_0000), 1);
        assert_eq!(region(20).place(0x1234_5678), 0x12345);
    }
}
