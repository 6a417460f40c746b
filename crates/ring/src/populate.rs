//! Who owns which slot: a stable matching of members and slots.
//!
//! Each member claims slots in the order of its permutation, at the times of the clock, until it
//! owns its quota; a slot belongs to whoever claims it first. Such a matching is *stable*: no member
//! and slot would both rather have each other. As no preference is a tie, deferred acceptance (Gale
//! and Shapley, 1962) arrives at the same matching whatever the order in which claims are made, so
//! they are made in an order that is fast: each member many at a time, and a slot that is claimed
//! earlier than by its owner changes hands.

use core::num::{NonZeroU32, NonZeroU64};

use crate::Length;
use crate::clock::{Clock, OCTAVE, Time, delay, one_claim_per_slot};
use crate::permutation::{Inverse, Permutation};

/// A member to be given slots.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) key: u64,
    pub(crate) weight: NonZeroU32,
    /// How many slots it owns in the end.
    pub(crate) quota: u32,
}

/// For each slot, the position of its owner in `candidates`. These come in ascending order of their
/// keys, and their quotas add up to the length.
pub(crate) fn populate(candidates: &[Candidate], length: Length, seed: u64) -> Vec<u32> {
    let total: u64 = candidates.iter().map(|c| u64::from(c.weight.get())).sum();
    let mut until = one_claim_per_slot(NonZeroU64::new(total).unwrap_or(NonZeroU64::MIN));
    let mut matching = Matching::new(candidates, length, seed);
    // Half octaves, and completing at a sixteenth, were the fastest measured.
    let few_pairs = u64::from(length.slots() / 16);
    loop {
        let settled = matching.claim(until);
        if matching.open_pairs() > few_pairs {
            until = until.saturating_add(OCTAVE / 2);
        } else if settled {
            break;
        }
    }
    matching.complete();
    matching.owners
}

/// A candidate on its way through its permutation.
struct Claimant {
    permutation: Permutation,
    /// Added to the clock's time of each of its claims.
    delay: Time,
    /// The rank of the slot it claims next.
    next: u32,
}

struct Matching {
    claimants: Vec<Claimant>,
    /// How many slots each claimant still lacks. One more stands for nobody, who owns what is free
    /// and never has enough.
    lacks: Vec<u32>,
    /// For each slot the time of the earliest claim on it so far.
    claimed_at: Vec<Time>,
    /// For each slot the claimant whose claim that is.
    owners: Vec<u32>,
    clock: Clock,
    /// The least delay of all.
    head_start: Time,
}

impl Matching {
    fn new(candidates: &[Candidate], length: Length, seed: u64) -> Self {
        let claimant = |candidate: &Candidate| Claimant {
            permutation: Permutation::new(candidate.key, seed, length),
            delay: delay(candidate.weight),
            next: 0,
        };
        let claimants: Vec<Claimant> = candidates.iter().map(claimant).collect();
        let nobody = candidates.len() as u32;
        let quotas = candidates.iter().map(|candidate| candidate.quota);
        Self {
            head_start: claimants.iter().map(|c| c.delay).min().unwrap_or(0),
            lacks: quotas.chain([1]).collect(),
            claimed_at: vec![Time::MAX; length.slots() as usize],
            owners: vec![nobody; length.slots() as usize],
            clock: Clock::new(length),
            claimants,
        }
    }

    fn nobody(&self) -> u32 {
        self.claimants.len() as u32
    }

    /// Lets everyone who lacks slots make its claims up to a point in time. False if that took a
    /// slot from somebody who had all it needs and has not gone on claiming yet.
    fn claim(&mut self, until: Time) -> bool {
        let times = self.clock.times(until.saturating_sub(self.head_start));
        let mut settled = true;
        for (position, claimant) in (0..).zip(&mut self.claimants) {
            let mut lacks = self.lacks[position as usize];
            let Some(last) = until.checked_sub(claimant.delay) else {
                continue;
            };
            if lacks == 0 {
                continue;
            }
            let times = times.get(claimant.next as usize..).unwrap_or_default();
            let slots = claimant.permutation.slots_from(claimant.next);
            let mut made = 0;
            for (&time, slot) in times.iter().zip(slots) {
                if time > last {
                    break;
                }
                made += 1;
                let time = time + claimant.delay;
                let claimed_at = &mut self.claimed_at[slot as usize];
                if time <= *claimed_at {
                    let owner = &mut self.owners[slot as usize];
                    // No two claims are equal: at the same time the lower key wins.
                    if time == *claimed_at && position > *owner {
                        continue;
                    }
                    let loser = &mut self.lacks[*owner as usize];
                    settled &= *loser > 0;
                    *loser += 1;
                    *claimed_at = time;
                    *owner = position;
                    lacks -= 1;
                    if lacks == 0 {
                        break;
                    }
                }
            }
            claimant.next += made;
            self.lacks[position as usize] = lacks;
        }
        settled
    }

    /// Those who lack slots, in ascending order.
    fn lacking(&self) -> impl Iterator<Item = u32> {
        (0..self.nobody()).filter(|&position| self.lacks[position as usize] > 0)
    }

    /// How many pairs there are of a free slot and somebody who lacks one.
    fn open_pairs(&self) -> u64 {
        let free: u64 = self
            .lacking()
            .map(|at| u64::from(self.lacks[at as usize]))
            .sum();
        free * self.lacking().count() as u64
    }

    /// Makes all claims on free slots at once. Right only when everyone who lacks slots has claimed
    /// up to the same time: from then on no slot changes hands any more.
    fn complete(&mut self) {
        let lacking: Vec<(u32, Time, Inverse)> = self
            .lacking()
            .map(|position| {
                let claimant = &self.claimants[position as usize];
                (position, claimant.delay, claimant.permutation.inverse())
            })
            .collect();
        let nobody = self.nobody();
        let mut claims: Vec<(Time, u32, u32)> = Vec::new();
        for (slot, &owner) in (0..).zip(&self.owners) {
            if owner == nobody {
                claims.extend(lacking.iter().map(|(position, delay, ranks)| {
                    let time = self.clock.time(ranks.rank(slot)) + delay;
                    (time, *position, slot)
                }));
            }
        }
        claims.sort_unstable();
        for (_, position, slot) in claims {
            let owner = &mut self.owners[slot as usize];
            let lacks = &mut self.lacks[position as usize];
            if *owner == nobody && *lacks > 0 {
                *owner = position;
                *lacks -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::largest_remainder;

    fn candidates(weights: &[u32], length: Length) -> Vec<Candidate> {
        let weights: Vec<_> = weights
            .iter()
            .map(|&w| NonZeroU32::new(w).unwrap())
            .collect();
        let quotas = largest_remainder(&weights, length);
        (0..)
            .zip(weights)
            .zip(quotas)
            .map(|((key, weight), quota)| Candidate { key, weight, quota })
            .collect()
    }

    /// The same matching by its definition: all claims there can be, one by one, earliest first.
    fn one_by_one(candidates: &[Candidate], length: Length, seed: u64) -> Vec<u32> {
        let clock = Clock::new(length);
        let mut claims: Vec<(Time, usize, u32)> = Vec::new();
        for (position, candidate) in candidates.iter().enumerate() {
            let slots = Permutation::new(candidate.key, seed, length).slots_from(0);
            claims.extend(
                (0..length.slots()).zip(slots).map(|(rank, slot)| {
                    (clock.time(rank) + delay(candidate.weight), position, slot)
                }),
            );
        }
        claims.sort_unstable();
        let mut owners = vec![u32::MAX; length.slots() as usize];
        let mut lacks: Vec<u32> = candidates.iter().map(|c| c.quota).collect();
        for (_, position, slot) in claims {
            if owners[slot as usize] == u32::MAX && lacks[position] > 0 {
                owners[slot as usize] = position as u32;
                lacks[position] -= 1;
            }
        }
        owners
    }

    #[test]
    fn the_fast_way_gives_what_claims_made_one_by_one_give() {
        let weights: &[&[u32]] = &[
            &[1],
            &[1, 1],
            &[1, 2, 3, 4, 5],
            &[7; 16],
            &[1, 1, 1, 1_000],
            &[u32::MAX, 1, 1 << 16, 1 << 30, 3],
            &[100, 1, 50, 3, 80, 80, 80, 7, 9, 12, 64, 31, 2, 2, 45],
        ];
        for weights in weights {
            for slots in [16, 64, 1_024, 4_096] {
                let length = Length::new(slots).unwrap();
                let candidates = candidates(weights, length);
                for seed in 0..4 {
                    assert_eq!(
                        populate(&candidates, length, seed),
                        one_by_one(&candidates, length, seed),
                        "weights {weights:?}, {slots} slots, seed {seed}"
                    );
                }
            }
        }
    }

    #[test]
    fn as_many_candidates_as_slots_get_one_each() {
        for slots in [1, 2, 256] {
            let length = Length::new(slots).unwrap();
            let mut owners = populate(&candidates(&vec![9; slots as usize], length), length, 3);
            owners.sort_unstable();
            assert!(owners.into_iter().eq(0..slots), "{slots} slots");
        }
    }
}
