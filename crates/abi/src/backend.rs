//! Backends by index.

use wire::ethernet::Addresses;
use wire::{Be16, Be32, ipv6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The next hop is known.
pub const RESOLVED: u16 = 1 << 0;
/// It may have packets at all; without it, whatever led here is as if it were not there.
pub const ALIVE: u16 = 1 << 1;
/// It takes new flows: alive and not draining.
pub const TAKES_NEW: u16 = 1 << 2;
/// Its address and source are IPv6: of its packets, or of the outer header in mode `ipip` and `gue`.
pub const IPV6: u16 = 1 << 3;

/// An IPv6 address, or an IPv4 address in the first four bytes and zeros.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Address(ipv6::Address);

impl Address {
    /// From an IPv4 address.
    #[must_use]
    pub const fn v4(address: Be32) -> Self {
        Self(ipv6::Address::from_raw(address.raw() as u64, 0))
    }

    /// From an IPv6 address.
    #[must_use]
    pub const fn v6(address: ipv6::Address) -> Self {
        Self(address)
    }

    /// The IPv4 address in it.
    #[inline(always)]
    #[must_use]
    pub const fn as_v4(&self) -> Be32 {
        Be32::from_raw(self.0.raw().0 as u32)
    }

    /// The IPv6 address in it.
    #[inline(always)]
    #[must_use]
    pub const fn as_v6(&self) -> ipv6::Address {
        self.0
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (first, second) = self.0.raw();
        if second == 0 && first >> 32 == 0 {
            return write!(f, "{}", core::net::Ipv4Addr::from(self.as_v4().get()));
        }
        write!(f, "{:?}", self.0)
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
    /// The instance's source address towards it: of packets in mode `nat`, of the outer header in
    /// `ipip` and `gue`.
    pub source: Address,
    /// Next hop, valid if [`RESOLVED`] is set.
    pub link: Link,
    /// Its port; 0: the port the client asked for. In mode `gue`: the outer UDP destination port.
    pub port: Be16,
    /// Largest IP packet on the way to it, in bytes.
    pub mtu: u16,
    /// [`RESOLVED`], [`ALIVE`], [`TAKES_NEW`], [`IPV6`].
    pub flags: u16,
    /// Zero.
    pub padding: u16,
    /// Index of its service. For user space, which finds its backends again in the map.
    pub service: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Backend>() == 64);
