//! Access to a frame.

use abi::backend::Link;
use abi::family::Family;
use wire::checksum::Sum;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A received frame. Offsets count bytes from its start.
///
/// In the kernel every access is a comparison with the frame's end, which the verifier insists
/// on; there are no slices over packet memory.
pub trait Packet {
    /// See [`Self::local`].
    type Local<'p>: Packet
    where
        Self: 'p;

    /// The same frame, for a function of its own. In the kernel its ends are loaded anew, so that
    /// they stay in that function's registers.
    fn local(&mut self) -> Self::Local<'_>;

    /// Forgets what is known about the frame's end. In the kernel: the compiler leaves out a
    /// comparison with the end that an earlier one answers, and the verifier may not see why. So
    /// each part of the packet's way begins with this, and goes from the front to the back.
    fn refresh(&mut self);

    /// A copy of the value at `offset`, or `None` if the frame ends before it does.
    fn read<V: FromBytes>(&self, offset: usize) -> Option<V>;

    /// Overwrites the bytes at `offset`, or does nothing and returns `None` if the frame ends before.
    fn write<V: IntoBytes + Immutable>(&mut self, offset: usize, value: &V) -> Option<()>;

    /// Whether the frame has at least `length` bytes, those beyond its first buffer included.
    fn is_at_least(&self, length: usize) -> bool;

    /// The one's complement sum of `LENGTH` bytes, a multiple of four.
    fn sum<const LENGTH: usize>(&self, offset: usize) -> Option<Sum>;

    /// Index of the interface it came in by.
    fn ingress_interface(&self) -> u32;

    /// The MTU of an interface, if IP packets of `length` bytes are larger.
    fn too_big_for(&self, interface: u32, length: u32) -> Option<u32>;

    /// Makes room for `bytes` in front of the frame. What they contain is not defined.
    fn grow_front(&mut self, bytes: usize) -> Option<()>;

    /// Cuts `bytes` off the frame's front.
    fn shrink_front(&mut self, bytes: usize) -> Option<()>;

    /// Cuts the frame to `length` bytes, which it must have.
    fn truncate(&mut self, length: usize) -> Option<()>;

    /// The way that a packet with these addresses takes from here, as the host's routes say.
    fn route<F: Family>(&self, query: &RouteQuery<F>) -> Way;
}

/// Which packet asks for its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteQuery<F: Family> {
    /// Sender.
    pub source: F::Address,
    /// Receiver.
    pub destination: F::Address,
    /// Length of the IP packet in bytes.
    pub length: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Differentiated services and ECN.
    pub traffic_class: u8,
}

/// The way a packet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// This way.
    Link(Link),
    /// It is larger than this, in bytes.
    TooBig(u32),
    /// Only the host's stack can tell: a neighbour is not known yet, or the host does not forward.
    Host,
    /// None: it is for the host itself, or no route leads there.
    Nowhere,
}
