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
use crate::permutation::Permutation;

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
    // The last slots are found faster by asking who wants one than by asking what one wants. Half
    // octaves and a sixteenth of the slots were the fastest measured.
    let few = length.slots() as usize / 16;
    while !(matching.claim(until) && matching.open_pairs() <= few) {
        until = until.saturating_add(OCTAVE / 2);
    }
    matching.complete();
    matching.slots.into_iter().map(Claim::claimant).collect()
}

/// A candidate on its way through its permutation.
#[derive(Clone, Copy)]
struct Claimant {
    permutation: Permutation,
    /// Added to the clock's time of each of its claims.
    delay: Time,
    /// How many slots it still lacks.
    lacks: u32,
    /// The rank of the slot it claims next.
    next: u32,
}

/// The earliest claim on a slot so far: the time in the upper half, the claimant's position in the
/// lower, so that the smaller number is the better claim and no two are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim(u64);

impl Claim {
    fn new(time: Time, claimant: u32) -> Self {
        Self((u64::from(time) << 32) | u64::from(claimant))
    }

    fn claimant(self) -> u32 {
        self.0 as u32
    }
}

struct Matching {
    /// The candidates, and after them one who stands for nobody: owns what is free, claims nothing,
    /// and always lacks something.
    claimants: Vec<Claimant>,
    slots: Vec<Claim>,
    clock: Clock,
    /// The least delay of all.
    head_start: Time,
}

impl Matching {
    fn new(candidates: &[Candidate], length: Length, seed: u64) -> Self {
        let mut claimants: Vec<Claimant> = candidates
            .iter()
            .map(|candidate| Claimant {
                permutation: Permutation::new(candidate.key, seed, length),
                delay: delay(candidate.weight),
                lacks: candidate.quota,
                next: 0,
            })
            .collect();
        let head_start = claimants.iter().map(|claimant| claimant.delay).min().unwrap_or(0);
        let nobody = Claim::new(Time::MAX, claimants.len() as u32);
        claimants.push(Claimant {
            permutation: Permutation::new(0, seed, length),
            delay: Time::MAX,
            lacks: 1,
            next: length.slots(),
        });
        let slots = vec![nobody; length.slots() as usize];
        Self { claimants, slots, clock: Clock::new(length), head_start }
    }
}
