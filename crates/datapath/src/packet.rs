//! Access to a frame.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A received frame. Offsets count bytes from its start.
///
/// In the kernel every access is a comparison with the frame's end, which the verifier insists
/// on; there are no slices over packet memory.
pub trait Packet {
    /// A copy of the value at `offset`, or `None` if the frame ends before it does.
    fn read<V: FromBytes>(&self, offset: usize) -> Option<V>;

    /// Overwrites the bytes at `offset`, or does nothing and returns `None` if the frame ends before.
    fn write<V: IntoBytes + Immutable>(&mut self, offset: usize, value: &V) -> Option<()>;

    /// Whether the frame has at least `length` bytes, those beyond its first buffer included.
    fn is_at_least(&self, length: usize) -> bool;

    /// Index of the interface it came in by.
    fn ingress_interface(&self) -> u32;
}
