//! What `./dev bench` puts behind the IP packet of a frame under test, where Ethernet padding
//! would be. Compiled into both sides: `evenkeel-bench` in the kernel and the package in benches/.

use wire::ethernet::Addresses;
use wire::{Be16, Be32, udp};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where it starts in the frame: on the cache line after the headers'.
pub(crate) const OFFSET: usize = 64;

/// The headers' original contents and how they vary. `BPF_PROG_TEST_RUN` resets nothing between
/// its repetitions, so the counter lives here too, and no map lookup is needed to undo a rewrite.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub(crate) struct Trailer {
    /// Ethernet addresses.
    pub(crate) addresses: Addresses,
    /// TTL and protocol of the IPv4 header.
    pub(crate) ttl_protocol: Be16,
    /// IPv4 checksum.
    pub(crate) ip_checksum: Be16,
    /// IPv4 source of index 0.
    pub(crate) source: Be32,
    /// IPv4 destination.
    pub(crate) destination: Be32,
    /// Ports of index 0.
    pub(crate) ports: udp::Ports,
    /// TCP checksum.
    pub(crate) checksum: Be16,
    /// Zero.
    pub(crate) reserved: u16,
    /// Packets so far.
    pub(crate) counter: u32,
    /// How packets become indices.
    pub(crate) spread: Spread,
}

/// Turns a packet's number into an index, and the index into a source address and ports.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub(crate) struct Spread {
    /// Odd, so that successive numbers jump about the indices and visit each of them once.
    pub(crate) stride: u32,
    /// Number of indices minus 1, a power of two minus 1.
    pub(crate) mask: u32,
    /// The index's bits that go to the source address.
    pub(crate) address_mask: u32,
    /// What one more of them adds to the address, read as a little-endian word.
    pub(crate) address_unit: u32,
    /// Where the index's bits that go to the ports start.
    pub(crate) port_shift: u32,
    /// What one more of them adds to the source port (low half) and the destination port (high half).
    pub(crate) port_unit: u32,
}

impl Spread {
    /// The source address of an index.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn source(&self, first: Be32, index: u32) -> Be32 {
        let step = (index & self.address_mask).wrapping_mul(self.address_unit);
        Be32::from_raw(first.raw().wrapping_add(step))
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
