//! The ring and how it is built.

use core::num::NonZeroU32;

use crate::populate::{Owner, populate};
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
    let weighted: Vec<(u32, Member, NonZeroU32)> = by_key
        .into_iter()
        .filter_map(|(at, member)| Some((at, member, NonZeroU32::new(member.weight)?)))
        .collect();
    if members.is_empty() {
        return Err(RingError::NoMembers);
    }
    if weighted.is_empty() {
        return Err(RingError::NoWeight { members: members.len() });
    }
    if weighted.len() > length.slots() as usize {
        return Err(RingError::TooManyMembers { weighted: weighted.len(), length });
    }

    let weights: Vec<u32> = weighted.iter().map(|(_, member, _)| member.weight).collect();
    let quotas_by_key = largest_remainder(&weights, length.slots());
    let candidates: Vec<Owner> = weighted
        .iter()
        .zip(&quotas_by_key)
        .map(|(&(_, Member { key, .. }, weight), &quota)| Owner { key, weight, quota })
        .collect();
    let mut owners = populate(&candidates, length, seed);
    for owner in &mut owners {
        *owner = weighted[*owner as usize].0;
    }
    let mut quotas = vec![0; members.len()];
    for ((at, ..), quota) in weighted.iter().zip(quotas_by_key) {
        quotas[*at as usize] = quota;
    }
    Ok(Ring { length, owners, quotas })
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
            return Err(RingError::DuplicateKey { key: a.key, first: *first, second: *second });
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
            owners: self.owners.iter().flat_map(|&owner| [owner, owner]).collect(),
            quotas: self.quotas.iter().map(|quota| quota * 2).collect(),
        })
    }
}
