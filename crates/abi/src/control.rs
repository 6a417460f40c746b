//! Settings fixed at load time, and the words that user space flips at run time.

use wire::Be16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::directory::Active;

/// Lives in `.rodata`: the verifier knows every value and deletes the code of what is off.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Settings {
    /// Seed of the flow hash.
    pub flow_seed: u64,
    /// Not 0: write a [`crate::counters::Report`] for every packet.
    pub report: u32,
    /// Not 0: some key of the directory stands for every port.
    pub any_port: u32,
    /// First port of `nat`'s own range, host byte order.
    pub first_port: u32,
    /// Number of ports in that range, at least 1.
    pub port_count: u32,
}

/// Lives in a mmapped array; each word is read once per packet and written whole.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Control {
    /// The active copy of the IPv4 directory.
    pub directory_v4: Active,
}

impl Settings {
    /// The `i`-th port of `nat`'s own range that a flow with this hash tries.
    #[inline(always)]
    #[must_use]
    pub const fn port_candidate(&self, hash: u32, i: u32) -> Be16 {
        // A flow walks the range with a stride of its own, so that neighbours part at once.
        let stride = (hash >> 16) | 1;
        let step = hash.wrapping_add(i.wrapping_mul(stride));
        // Scales the low 16 bits to the range without a division.
        let offset = ((step & 0xffff) * self.port_count) >> 16;
        Be16::new((self.first_port + offset) as u16)
    }
}
