//! What the kernel says, in our own words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use engine::desired::Mac;

/// Names an entry of the kernel's neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NeighbourKey {
    pub(super) interface_index: u32,
    pub(super) address: IpAddr,
}

/// State of a neighbour entry, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Being asked for, or without a MAC.
    Unknown,
    /// It did not answer.
    Failed,
    /// Its MAC is good, or being confirmed by the kernel.
    Confirmed(Mac),
    /// It had this MAC a while ago, or claims so itself (gratuitous ARP).
    Stale(Mac),
}

impl Neighbour {
    pub(super) fn mac(&self) -> Option<Mac> {
        match self {
            Self::Confirmed(mac) | Self::Stale(mac) => Some(*mac),
            Self::Unknown | Self::Failed => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    /// `None` unless Ethernet.
    pub(super) mac: Option<Mac>,
    /// In bytes.
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) carrier: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) interface_index: u32,
    /// The gateway, or the target itself.
    pub(super) next_hop: IpAddr,
    pub(super) source_address: Option<IpAddr>,
    pub(super) mtu: Option<u32>,
}

impl Route {
    /// The neighbour entry that has the MAC.
    pub(super) fn neighbour(&self) -> NeighbourKey {
        NeighbourKey {
            interface_index: self.interface_index,
            address: self.next_hop,
        }
    }
}

/// Addresses that share their first `length` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) address: IpAddr,
    pub(super) length: u8,
}

impl Prefix {
    /// From the first to the last address.
    pub(super) fn range(self) -> RangeInclusive<IpAddr> {
        match self.address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                let first = v4.to_bits() & !host;
                IpAddr::V4(Ipv4Addr::from_bits(first))
                    ..=IpAddr::V4(Ipv4Addr::from_bits(first | host))
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                let first = v6.to_bits() & !host;
                IpAddr::V6(Ipv6Addr::from_bits(first))
                    ..=IpAddr::V6(Ipv6Addr::from_bits(first | host))
            }
        }
    }
}

/// A change in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A link is now like this, or gone.
    Link(u32, Option<Link>),
    /// A neighbour entry is now like this, or gone.
    Neighbour(NeighbourKey, Option<Neighbour>),
    /// A route to this prefix came or went.
    Route(Prefix),
    /// Something that every route may depend on.
    AnyRoute,
}
