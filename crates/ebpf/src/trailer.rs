//! What `./dev bench` puts behind the IP packet of a frame under test, where Ethernet padding
//! would be. Compiled into both sides: `evenkeel-bench` in the kernel and the package in benches/.

use abi::backend::Address;
use abi::family;
use wire::ethernet::Addresses;
use wire::{Be16, Be32, ipv6, udp};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where it starts in the frame: on a cache line behind the headers'.
pub(crate) const OFFSET: usize = 128;
/// Length of a frame under test. One that is longer has been encapsulated.
pub(crate) const FRAME_LENGTH: usize = OFFSET + size_of::<Trailer>();

/// The headers' original contents and how they vary. `BPF_PROG_TEST_RUN` resets nothing between
/// its repetitions, so the counter lives here too, and no map lookup is needed to undo a rewrite.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub(crate) struct Trailer {
    /// The first eight bytes of the IP header.
    pub(crate) head: u64,
    /// Source of index 0.
    pub(crate) source: Address,
    /// Destination of index 0.
    pub(crate) destination: Address,
    /// Ethernet addresses.
    pub(crate) addresses: Addresses,
    /// What the frame carries.
    pub(crate) ethertype: Be16,
    /// IPv4: the header's checksum of index 0.
    pub(crate) ip_checksum: Be16,
    /// IPv4: TTL and protocol.
    pub(crate) ttl_protocol: Be16,
    /// TCP or UDP checksum of index 0.
    pub(crate) checksum: Be16,
    /// Ports of index 0.
    pub(crate) ports: udp::Ports,
    /// IP protocol number of the transport.
    pub(crate) protocol: u32,
    /// Packets so far.
    pub(crate) counter: u32,
    /// How packets become indices.
    pub(crate) spread: Spread,
}

/// Turns a packet's number into an index, and the index into addresses and ports.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub(crate) struct Spread {
    /// Odd, so that successive numbers jump about the indices and visit each of them once.
    pub(crate) stride: u32,
    /// Number of indices minus 1, a power of two minus 1.
    pub(crate) mask: u32,
    /// The index's bits that are added to the source address.
    pub(crate) source_mask: u32,
    /// Number of destination addresses, 1 to 65,536: one after the other, an index picks one.
    pub(crate) destinations: u32,
    /// Where the index's bits that go to the ports start.
    pub(crate) port_shift: u32,
    /// What one more of them adds to the source port (low half) and the destination port (high half).
    pub(crate) port_unit: u32,
}

/// An address that can be varied.
pub(crate) trait Vary: family::Address {
    /// The address so many further on.
    fn plus(self, count: u32) -> Self;
}

impl Vary for Be32 {
    #[inline(always)]
    fn plus(self, count: u32) -> Self {
        Self::new(self.get().wrapping_add(count))
    }
}

impl Vary for ipv6::Address {
    /// Without a carry beyond the lower half.
    #[inline(always)]
    fn plus(self, count: u32) -> Self {
        let (first, second) = self.raw();
        let varied = u64::from_be(second).wrapping_add(u64::from(count));
        Self::from_raw(first, varied.to_be())
    }
}

impl Spread {
    /// The source address of an index.
    #[inline(always)]
    #[must_use]
    pub(crate) fn source<A: Vary>(&self, first: A, index: u32) -> A {
        first.plus(index & self.source_mask)
    }

    /// The destination address of an index: unrelated to its source.
    #[inline(always)]
    #[must_use]
    pub(crate) fn destination<A: Vary>(&self, first: A, index: u32) -> A {
        let scattered = index.wrapping_mul(0x9e37_79b1) >> 16;
        first.plus(scattered.wrapping_mul(self.destinations) >> 16)
    }

    /// The ports of an index.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn ports(&self, first: udp::Ports, index: u32) -> udp::Ports {
        let word = first.source.get() as u32 | (first.destination.get() as u32) << 16;
        let step = (index >> (self.port_shift & 31)).wrapping_mul(self.port_unit);
        let word = word.wrapping_add(step);
        udp::Ports {
            source: Be16::new(word as u16),
            destination: Be16::new((word >> 16) as u16),
        }
    }
}
