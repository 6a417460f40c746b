//! Backends by index.

use wire::ethernet::Addresses;
use wire::{Be16, Be32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The next hop is known.
pub const RESOLVED: u8 = 1 << 0;

/// An IPv6 address, or an IPv4 address in the first word and zeros.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Address(pub [Be32; 4]);

impl Address {
    /// From an IPv4 address.
    #[must_use]
    pub const fn v4(address: Be32) -> Self {
        Self([address, Be32::new(0), Be32::new(0), Be32::new(0)])
    }

    /// The IPv4 address in it.
    #[inline(always)]
    #[must_use]
    pub const fn as_v4(&self) -> Be32 {
        self.0[0]
    }
}

/// Where a frame goes next: both Ethernet addresses and the interface. Two words, for the reasons
/// that [`crate::flow::FlowKeyV4`] has. In memory: destination, source, interface index.
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Link {
    low: u64,
    high: u64,
}

impl Link {
    /// To `addresses.destination`, out of `interface`, which has `addresses.source`.
    #[inline(always)]
    #[must_use]
    pub const fn new(addresses: Addresses, interface: u32) -> Self {
        let (low, high) = addresses.words();
        Self {
            low,
            high: high as u64 | (interface as u64) << 32,
        }
    }

    /// What to write into a frame.
    #[inline(always)]
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        Addresses::from_words(self.low, self.high as u32)
    }

    /// Index of the interface to leave by.
    #[inline(always)]
    #[must_use]
    pub const fn interface(&self) -> u32 {
        (self.high >> 32) as u32
    }
}

impl core::fmt::Debug for Link {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Link({:?}, interface {})",
            self.addresses(),
            self.interface()
        )
    }
}

/// What the packet path needs to know of a backend: one cache line.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Backend {
    /// Its address.
    pub address: Address,
    /// `nat` mode: the instance's source address towards it.
    pub nat_source: Address,
    /// Next hop, valid if [`RESOLVED`] is set.
    pub link: Link,
    /// Its port; 0: the port the client asked for.
    pub port: Be16,
    /// Largest IP packet on the way to it, in bytes.
    pub mtu: u16,
    /// [`RESOLVED`].
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 11],
}

const _: () = assert!(size_of::<Backend>() == 64);
