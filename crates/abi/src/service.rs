//! Services by index.

use wire::Be16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::backend::Address;

/// `nat` forwarding mode.
pub const MODE_NAT: u8 = 0;
/// `dnat` forwarding mode.
pub const MODE_DNAT: u8 = 1;
/// `l2-dsr` forwarding mode.
pub const MODE_L2_DSR: u8 = 2;
/// `ipip` forwarding mode.
pub const MODE_IPIP: u8 = 3;
/// `gue` forwarding mode.
pub const MODE_GUE: u8 = 4;

/// The flow hash covers the client's address only.
pub const AFFINITY_SOURCE: u8 = 1 << 0;
/// The flow hash covers the client's address and the VIP.
pub const AFFINITY_SOURCE_DESTINATION: u8 = 1 << 1;
/// Every flow is entered in the exception table, whatever its slot's state (`track = "always"`).
pub const TRACK_ALWAYS: u8 = 1 << 2;
/// UDP packets are routed by the server id in their QUIC connection id where they have one.
pub const QUIC: u8 = 1 << 3;
/// What finds no backend is refused (`no_backend = "reject"`).
pub const REJECT: u8 = 1 << 4;
/// Its address is IPv6. For user space, which finds its services again in the map.
pub const IPV6: u8 = 1 << 7;

/// What the packet path needs to know of a service.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Service {
    /// Where its slots lie.
    pub ring: Ring,
    /// [`MODE_NAT`], [`MODE_DNAT`], ...
    pub mode: u8,
    /// [`AFFINITY_SOURCE`], ...
    pub flags: u8,
    /// Its port; 0: every port. What `dnat` gives to answers.
    pub port: Be16,
    /// With [`QUIC`]: length of a server id in bytes, 1 to [`crate::quic::MAX_SERVER_ID`].
    pub quic_server_id_length: u8,
    /// With [`QUIC`]: the config rotation bits that mark a routable id, 0 to 6.
    pub quic_config: u8,
    /// Its IP protocol number; never 0 in a service that is there.
    pub protocol: u8,
    /// How many bits the addresses share that it has: 32 or 128 if it has only one.
    pub prefix_length: u8,
    /// The VIP, which `dnat` gives to answers; the first address of a prefix.
    pub address: Address,
}

const _: () = assert!(size_of::<Service>() == 32);

/// A ring's place in the arena: first slot (bits 0 to 31), log2 of its length (32 to 39), and
/// bit 40 set, so that 0 is "no ring". One word, so that a longer ring replaces a shorter one at once.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Ring(u64);

impl Ring {
    /// No backend takes new flows.
    pub const NONE: Self = Self(0);

    /// A ring of `2^log2` slots from `first_slot` on.
    #[must_use]
    pub const fn new(first_slot: u32, log2: u8) -> Self {
        Self(first_slot as u64 | (log2 as u64) << 32 | 1 << 40)
    }

    /// Whether there is a ring.
    #[inline(always)]
    #[must_use]
    pub const fn exists(self) -> bool {
        self.0 != 0
    }

    /// Arena index of its first slot.
    #[must_use]
    pub const fn first_slot(self) -> u32 {
        self.0 as u32
    }

    /// Number of its slots; 0 if there is no ring.
    #[must_use]
    pub const fn length(self) -> u32 {
        if self.exists() {
            1 << ((self.0 >> 32) as u32 & 31)
        } else {
            0
        }
    }

    /// The arena index of the slot that `hash` falls on: the hash's top bits.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self, hash: u64) -> u32 {
        let log2 = (self.0 >> 32) as u32 & 63;
        // Two steps, because a shift by 64 (log2 = 0) is not defined.
        (self.0 as u32).wrapping_add((hash >> 1 >> (63 - log2)) as u32)
    }
}
