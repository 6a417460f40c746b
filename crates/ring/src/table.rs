//! The ring and how it is built.

use core::num::NonZeroU32;

use crate::populate::{Candidate, populate};
use crate::quota::largest_remainder;
use crate::{Length, RingError};

/// A backend as a ring sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// The backend's stable identity, for instance a hash of its address and port. Two members of a
    /// ring never have the same.
    pub key: u64,
    /// Its share of the slots, relative to the weights of the others. 0 owns no slot.
    pub weight: u32,
}

/// Which member owns which slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    length: Length,
    owners: Vec<u32>,
    quotas: Vec<u32>,
}

/// Builds the ring of `members` with `length` slots.
///
/// The same members, length and seed give the same ring on every machine, in whatever order the
/// members come.
///
/// Each member owns its exact share of the slots rounded down or up. A share below one slot can
/// thus be rounded to none, whatever the weight; a longer ring helps.
///
/// # Errors
/// - [`RingError::NoMembers`] and [`RingError::NoWeight`] if nobody can own a slot,
/// - [`RingError::DuplicateKey`] if two members have the same key, whatever their weights,
/// - [`RingError::TooManyMembers`] if more members than slots have a weight above 0.
pub fn build(members: &[Member], length: Length, seed: u64) -> Result<Ring, RingError> {
    let by_key = sorted_by_key(members)?;
    if by_key.is_empty() {
        return Err(RingError::NoMembers);
    }
    let (positions, weighted): (Vec<u32>, Vec<(u64, NonZeroU32)>) = by_key
        .into_iter()
        .filter_map(|(at, member)| Some((at, (member.key, NonZeroU32::new(member.weight)?))))
        .unzip();
    if weighted.is_empty() {
        return Err(RingError::NoWeight {
            members: members.len(),
        });
    }
    if weighted.len() > length.slots() as usize {
        return Err(RingError::TooManyMembers {
            weighted: weighted.len(),
            length,
        });
    }

    let weights: Vec<NonZeroU32> = weighted.iter().map(|&(_, weight)| weight).collect();
    let candidates: Vec<Candidate> = weighted
        .into_iter()
        .zip(largest_remainder(&weights, length))
        .map(|((key, weight), quota)| Candidate { key, weight, quota })
        .collect();
    let mut quotas = vec![0; members.len()];
    for (&at, candidate) in positions.iter().zip(&candidates) {
        quotas[at as usize] = candidate.quota;
    }
    let mut owners = populate(&candidates, length, seed);
    for owner in &mut owners {
        *owner = positions[*owner as usize];
    }
    Ok(Ring {
        length,
        owners,
        quotas,
    })
}

/// The members with their positions in the caller's slice, in ascending order of their keys.
fn sorted_by_key(members: &[Member]) -> Result<Vec<(u32, Member)>, RingError> {
    let mut by_key: Vec<(u32, Member)> = (0..).zip(members.iter().copied()).collect();
    // Stable, so that of two equal keys the earlier position comes first.
    by_key.sort_by_key(|(_, member)| member.key);
    for pair in by_key.windows(2) {
        if let [(first, a), (second, b)] = pair
            && a.key == b.key
        {
            return Err(RingError::DuplicateKey {
                key: a.key,
                first: *first,
                second: *second,
            });
        }
    }
    Ok(by_key)
}

impl Ring {
    /// The number of slots.
    #[must_use]
    pub fn length(&self) -> Length {
        self.length
    }

    /// For each slot the position of its owner in the slice the ring was built from.
    #[must_use]
    pub fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// For each member, by its position in the slice the ring was built from, how many slots it
    /// owns.
    #[must_use]
    pub fn quotas(&self) -> &[u32] {
        &self.quotas
    }

    /// The ring of twice the length in which every flow keeps its owner: slot `i` becomes the slots
    /// `2i` and `2i + 1`, because the index is the top bits of the flow's hash. `None` if the ring
    /// has the greatest length already.
    ///
    /// This is *not* what [`build`] gives for twice the length.
    #[must_use]
    pub fn doubled(&self) -> Option<Self> {
        Some(Self {
            length: self.length.doubled()?,
            owners: self
                .owners
                .iter()
                .flat_map(|&owner| [owner, owner])
                .collect(),
            quotas: self.quotas.iter().map(|quota| quota * 2).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(slots: u32) -> Length {
        Length::new(slots).unwrap()
    }

    fn members(weights: &[u32]) -> Vec<Member> {
        (100..)
            .zip(weights)
            .map(|(key, &weight)| Member { key, weight })
            .collect()
    }

    #[test]
    fn without_members_there_is_no_ring() {
        assert_eq!(build(&[], length(8), 1), Err(RingError::NoMembers));
    }

    #[test]
    fn without_any_weight_there_is_no_ring() {
        assert_eq!(
            build(&members(&[0, 0]), length(8), 1),
            Err(RingError::NoWeight { members: 2 })
        );
    }

    #[test]
    fn equal_keys_are_refused_whatever_their_weights() {
        let twin = |key, weight| Member { key, weight };
        let members = [twin(1, 1), twin(7, 0), twin(3, 1), twin(7, 5), twin(7, 5)];
        assert_eq!(
            build(&members, length(8), 1),
            Err(RingError::DuplicateKey {
                key: 7,
                first: 1,
                second: 3
            })
        );
    }

    #[test]
    fn more_weighted_members_than_slots_are_refused_and_others_do_not_count() {
        assert_eq!(
            build(&members(&[1, 1, 1, 0]), length(2), 1),
            Err(RingError::TooManyMembers {
                weighted: 3,
                length: length(2)
            })
        );
        assert!(build(&members(&[1, 0, 1, 0]), length(2), 1).is_ok());
    }

    #[test]
    fn one_member_owns_every_slot_at_every_length() {
        for slots in [1, 2, 4_096, 1 << 20] {
            let ring = build(&members(&[0, 5, 0]), length(slots), 1).unwrap();
            assert_eq!(ring.quotas(), [0, slots, 0]);
            assert!(ring.owners().iter().all(|&owner| owner == 1));
        }
    }

    #[test]
    fn the_longest_doubled_ring_is_the_longest_ring() {
        let ring = build(&members(&[1, 2]), length(1 << 19), 1).unwrap();
        let doubled = ring.doubled().unwrap();
        assert_eq!(doubled.length(), Length::MAX);
        assert_eq!(doubled.doubled(), None);
    }

    #[test]
    fn a_small_ring_is_the_same_everywhere() {
        let ring = build(&members(&[1, 2, 3]), length(16), 42).unwrap();
        assert_eq!(ring.quotas(), [3, 5, 8]);
        assert_eq!(
            ring.owners(),
            [1, 2, 1, 0, 2, 0, 1, 2, 0, 1, 2, 1, 2, 2, 2, 2]
        );
    }
}
