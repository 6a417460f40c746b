//! What becomes of a slot when its owner changes while flows are on their way.
//!
//! A slot remembers who owned it before, until every flow of that time that still lives has been
//! entered in a table of exceptions. **In every state each live flow either has an entry or belongs
//! to the one member that a flow without an entry is led to** ([`Slot::without_entry`]). All the
//! steps below keep that:
//!
//! | step | steady, settling `{A}` | transition `{B, A}` |
//! |---|---|---|
//! | [`change`](Slot::change) to C, A lives | transition `{C, A}` | transition `{C, A}`; settling `{A}` if C is A |
//! | `change` to C, A is dead | settling `{C}` | as from settling `{B}` |
//! | [`died`](Slot::died): A | the same (its flows died with it) | settling `{B}` |
//! | `died`: B | | the same |
//! | [`window_over`](Slot::window_over) | the same | settling `{B}` |
//! | [`settled`](Slot::settled) | steady `{A}` | the same |
//!
//! Why:
//! - Changing `{A}` to C leaves those without an entry with A. In `{C, A}` a flow that begins is
//!   entered with C, and anybody else who has no entry is older than the change, so belongs to A.
//! - A second change finds every flow of C and B entered and everybody else with A: `previous`
//!   stays right however many changes there are. If the owner is A again, nothing new has to be
//!   entered any more.
//! - When A dies in `{B, A}`, whoever had no entry died with it. From then on nobody has lived
//!   without an entry except those that are led to B, so B it is, and an A that comes back is another.
//! - When the window is over, whoever has no entry has been silent for that long: the only flows
//!   that may move.
//! - `settled` is for slots without an entry that leads elsewhere: then entries say what the slot says.

/// A slot: which member takes flows that begin, and what is to be done about the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Every flow belongs to `current`; no entry says otherwise.
    Steady {
        /// The owner.
        current: u32,
    },
    /// Flows that begin are entered with `current`; a flow without an entry belongs to `previous`
    /// and is entered, too.
    Transition {
        /// The owner.
        current: u32,
        /// The owner before the first change of those that are not over.
        previous: u32,
    },
    /// A flow without an entry belongs to `current`, and none is entered.
    Settling {
        /// The owner.
        current: u32,
    },
}

impl Slot {
    /// The owner: who gets the flows that begin.
    #[must_use]
    pub const fn current(self) -> u32 {
        match self {
            Self::Steady { current }
            | Self::Transition { current, .. }
            | Self::Settling { current } => current,
        }
    }

    /// Who owned it before, in transition.
    #[must_use]
    pub const fn previous(self) -> Option<u32> {
        match self {
            Self::Transition { previous, .. } => Some(previous),
            Self::Steady { .. } | Self::Settling { .. } => None,
        }
    }

    /// Whether entries need not be looked at.
    #[must_use]
    pub const fn is_steady(self) -> bool {
        matches!(self, Self::Steady { .. })
    }

    /// Whom a flow without an entry belongs to.
    #[must_use]
    pub fn without_entry(self, is_alive: impl FnOnce(u32) -> bool) -> u32 {
        match self.previous() {
            Some(previous) if is_alive(previous) => previous,
            _ => self.current(),
        }
    }

    /// Gives the slot to `to`, which is alive.
    #[must_use]
    pub fn change(self, to: u32, is_alive: impl Fn(u32) -> bool) -> Self {
        let slot = match self.previous() {
            Some(previous) if !is_alive(previous) => self.died(previous),
            _ => self,
        };
        if to == slot.current() {
            return slot;
        }
        match slot {
            Self::Transition { previous, .. } if previous == to => Self::Settling { current: to },
            Self::Transition { previous, .. } => Self::Transition {
                current: to,
                previous,
            },
            Self::Steady { current } | Self::Settling { current } if is_alive(current) => {
                Self::Transition {
                    current: to,
                    previous: current,
                }
            }
            Self::Steady { .. } | Self::Settling { .. } => Self::Settling { current: to },
        }
    }

    /// After the death of `member`, which never comes back: its successor has another number.
    #[must_use]
    pub fn died(self, member: u32) -> Self {
        match self {
            Self::Transition { current, previous } if previous == member => {
                Self::Settling { current }
            }
            _ => self,
        }
    }

    /// After a time in which every flow but those silent for all of it has been entered.
    #[must_use]
    pub fn window_over(self) -> Self {
        match self {
            Self::Transition { current, .. } => Self::Settling { current },
            _ => self,
        }
    }

    /// When no entry leads elsewhere than to `current`.
    #[must_use]
    pub fn settled(self) -> Self {
        match self {
            Self::Settling { current } => Self::Steady { current },
            _ => self,
        }
    }
}

/// The slots of a ring of twice the length, in which every flow finds what it found before: slot
/// `i` becomes the slots `2i` and `2i + 1` ([`crate::Ring::doubled`]).
#[must_use]
pub fn doubled(slots: &[Slot]) -> Vec<Slot> {
    slots.iter().flat_map(|&slot| [slot, slot]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u32 = 1;
    const B: u32 = 2;
    const C: u32 = 3;

    fn steady(current: u32) -> Slot {
        Slot::Steady { current }
    }

    fn settling(current: u32) -> Slot {
        Slot::Settling { current }
    }

    fn transition(current: u32, previous: u32) -> Slot {
        Slot::Transition { current, previous }
    }

    fn all(_: u32) -> bool {
        true
    }

    fn all_but(dead: u32) -> impl Fn(u32) -> bool {
        move |member| member != dead
    }

    #[test]
    fn a_change_remembers_the_owner_before_the_first_change() {
        let cases = [
            (steady(A), B, transition(B, A)),
            (settling(A), B, transition(B, A)),
            (transition(B, A), C, transition(C, A)),
        ];
        for (slot, to, expected) in cases {
            assert_eq!(slot.change(to, all), expected, "{slot:?} to {to}");
        }
    }

    #[test]
    fn a_change_to_the_owner_changes_nothing() {
        for slot in [steady(A), settling(A), transition(A, B)] {
            assert_eq!(slot.change(A, all), slot);
        }
    }

    #[test]
    fn a_change_back_settles() {
        assert_eq!(transition(B, A).change(A, all), settling(A));
    }

    #[test]
    fn a_dead_owner_is_not_remembered() {
        assert_eq!(steady(A).change(B, all_but(A)), settling(B));
        assert_eq!(settling(A).change(B, all_but(A)), settling(B));
    }

    #[test]
    fn a_dead_previous_gives_way_to_the_owner_even_if_nobody_said_so_before_the_change() {
        assert_eq!(transition(B, A).change(C, all_but(A)), transition(C, B));
        assert_eq!(transition(B, A).change(B, all_but(A)), settling(B));
        let nobody = |_| false;
        assert_eq!(transition(B, A).change(C, nobody), settling(C));
    }

    #[test]
    fn only_the_death_of_previous_matters_before_the_next_change() {
        let cases = [
            (transition(B, A), A, settling(B)),
            (transition(B, A), B, transition(B, A)),
            (transition(B, A), C, transition(B, A)),
            (steady(A), A, steady(A)),
            (settling(A), A, settling(A)),
        ];
        for (slot, dead, expected) in cases {
            assert_eq!(slot.died(dead), expected, "{slot:?}, {dead} died");
        }
    }

    #[test]
    fn the_window_ends_transition_and_nothing_else() {
        let cases = [
            (transition(B, A), settling(B)),
            (settling(B), settling(B)),
            (steady(B), steady(B)),
        ];
        for (slot, expected) in cases {
            assert_eq!(slot.window_over(), expected);
        }
    }

    #[test]
    fn only_settling_slots_become_steady() {
        let cases = [
            (settling(B), steady(B)),
            (transition(B, A), transition(B, A)),
            (steady(B), steady(B)),
        ];
        for (slot, expected) in cases {
            assert_eq!(slot.settled(), expected);
        }
    }

    #[test]
    fn without_an_entry_a_flow_belongs_to_previous_while_that_lives() {
        assert_eq!(transition(B, A).without_entry(all), A);
        assert_eq!(transition(B, A).without_entry(all_but(A)), B);
        assert_eq!(settling(B).without_entry(all), B);
        assert_eq!(steady(B).without_entry(all), B);
    }

    /// The invariant, for each step that user space makes without waiting.
    #[test]
    fn no_change_and_no_death_of_another_moves_a_flow_without_an_entry() {
        let slots = [steady(A), settling(A), transition(B, A), transition(A, B)];
        for slot in slots {
            let before = slot.without_entry(all);
            for to in [A, B, C] {
                assert_eq!(slot.change(to, all).without_entry(all), before);
            }
            for dead in [A, B, C] {
                if dead != before {
                    let after = slot.died(dead);
                    assert_eq!(after.without_entry(all_but(dead)), before, "{dead} died");
                    let changed = after.change(C, all_but(dead));
                    assert_eq!(changed.without_entry(all_but(dead)), before);
                }
            }
        }
    }

    #[test]
    fn a_doubled_ring_leads_every_hash_to_the_slot_it_had() {
        let slots = [steady(A), transition(B, A), settling(C), steady(B)];
        let doubled = doubled(&slots);
        for hash in (0..=u32::MAX).step_by(0x0100_0001) {
            assert_eq!(slots[(hash >> 30) as usize], doubled[(hash >> 29) as usize]);
        }
    }
}
