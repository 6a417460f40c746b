//! Rings: which backend owns which slot.

#![forbid(unsafe_code)]

mod clock;
mod error;
mod length;
mod permutation;
mod populate;
mod quota;
mod table;

pub use error::RingError;
pub use length::Length;
pub use table::{Member, Ring, build};
