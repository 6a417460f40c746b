//! Rings: which backend owns which slot, computed from nothing but the backends and a seed; and
//! what becomes of a slot whose owner changes ([`transition`]).
//!
//! A flow's backend is looked up in a *ring*: an array of slots, indexed by the top bits of the
//! flow's hash. This crate decides who owns each slot, after Maglev (Eisenbud et al., "Maglev: A
//! Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4). There each backend
//! prefers the slots in an order of its own, and the backends take slots in turns. Here:
//!
//! - **Every member owns its exact share of the slots, rounded down or up.** Weights are any `u32`;
//!   rounding is by largest remainder.
//! - **The same members and seed give the same ring on every machine, in whatever order the members
//!   come**: integers only, and hashing of our own.
//! - **A ring of twice the length can keep every flow where it is** ([`Ring::doubled`]): lengths are
//!   powers of two.
//! - **When a member goes, little moves but its own slots.** Instead of taking turns, a slot goes to
//!   the member that claims it first, at times that do not depend on who else is there; turns move
//!   about twice as much. `populate.rs` has the matching, `clock.rs` the times and `permutation.rs`
//!   the preferences.
//!
//! Deliberately absent from building: memory. A ring is not derived from the one before it, so instances that
//! never heard of each other agree; and a member that returns gets its old slots back.
//!
//! # What moves needlessly
//!
//! When one member goes, slots that change hands beyond its own, in percent of all slots: the mean
//! of 1,000 removals and, in brackets, the greatest of them. A member that comes moves the same.
//!
//! | members | default length | equal weights | 1 to 10 | 1, 2, 4 .. 128 | on 65,536 slots, equal |
//! |---:|---:|---|---|---|---|
//! |     2 |   1,024 | 0           | 0           | 0           | 0           |
//! |     3 |   4,096 | 0.23 (1.05) | 0.16 (0.73) | 0.05 (0.34) | 0.06 (0.31) |
//! |     4 |   4,096 | 0.40 (1.17) | 0.29 (1.51) | 0.11 (0.46) | 0.10 (0.34) |
//! |     8 |   4,096 | 0.69 (1.51) | 0.60 (1.49) | 0.35 (1.46) | 0.18 (0.37) |
//! |    16 |   4,096 | 0.91 (1.64) | 0.80 (1.71) | 0.52 (1.83) | 0.23 (0.37) |
//! |    32 |   8,192 | 0.75 (1.15) | 0.68 (1.22) | 0.45 (1.46) | 0.26 (0.36) |
//! |    64 |   8,192 | 0.83 (1.17) | 0.79 (1.28) | 0.52 (1.49) | 0.29 (0.39) |
//! |   128 |  16,384 | 0.64 (0.86) | 0.62 (0.96) | 0.41 (1.08) | 0.31 (0.38) |
//! |   256 |  32,768 | 0.56 (0.67) | 0.48 (0.76) | 0.31 (0.81) | 0.34 (0.39) |
//! | 1,000 | 131,072 | 0.28 (0.31) | 0.29 (0.40) | 0.19 (0.47) | 0.33 (0.38) |
//!
//! `cargo run --release -p evenkeel-ring --example build_time 1000` measures this, what halving or
//! doubling a weight moves (about the same on average, at most 2.2 %; with 2 members on 1,024 slots
//! 3.9 %), and how long building takes.
//!
//! Exact shares have this price: the slots of a member that goes fall to the others at random, and
//! what one of them gets too much of, others take from it. How much that is falls with the square
//! root of the ring's length, so [`Length::for_backends`] keeps it below 2 % by making the rings of
//! few backends longer than even shares alone would need. It is not below 2 %
//!
//! - on shorter rings: with 8 members on 1,024 slots, 7 removals in 100 move more, at most 3.2 %;
//! - once in a great while: of 40,000 removals with 16 members of weights 1 to 128 on 4,096 slots,
//!   one moved 2.03 %, and of 100,000 with 3 members of equal weight, one moved 3.2 %;
//! - when half of all slots lose their owner at once and many others share them: with one member as
//!   heavy as all others together, 1.6 % (at most 2.2 %) with 64 members on 8,192 slots, 2.3 % (at
//!   most 2.5 %) with 1,000 on 65,536.

#![forbid(unsafe_code)]

mod clock;
mod error;
mod length;
mod permutation;
mod populate;
mod quota;
mod table;
pub mod transition;

pub use error::RingError;
pub use length::Length;
pub use table::{Member, Ring, build};
