//! What is asked and what is answered.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::desired::{Backend, Mac, NextHop};

/// An address whose next hop is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where packets should go.
    pub address: IpAddr,
    /// Used instead of the neighbour's MAC; the route is looked up all the same.
    pub mac: Option<Mac>,
}

/// The backends' addresses, each once, with the MAC that any of them gives for it.
pub fn targets<'a>(backends: impl Iterator<Item = &'a Backend>) -> Vec<Target> {
    let mut macs: BTreeMap<IpAddr, Option<Mac>> = BTreeMap::new();
    for backend in backends {
        let mac = macs.entry(backend.address).or_default();
        *mac = mac.or(backend.mac);
    }
    macs.into_iter()
        .map(|(address, mac)| Target { address, mac })
        .collect()
}

/// What is known about a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Packets can be sent.
    Resolved {
        /// How.
        next_hop: NextHop,
        /// The router in between; `None` if the target is on the link, or its MAC was given.
        gateway: Option<IpAddr>,
    },
    /// They cannot, for this reason.
    Unresolved(Reason),
}

impl Resolution {
    /// The next hop, when there is one.
    #[must_use]
    pub fn next_hop(&self) -> Option<&NextHop> {
        match self {
            Self::Resolved { next_hop, .. } => Some(next_hop),
            Self::Unresolved(_) => None,
        }
    }

    /// Whether the kernel has answered, be it with yes or no.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Unresolved(Reason::Asking { .. }))
    }
}

/// Why packets cannot be sent to an address. The texts say what to do where that is not plain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The kernel was asked for the neighbour's MAC and is still at it (3 s by default).
    #[error("waiting for {next_hop} to answer on {interface}")]
    Asking {
        /// The neighbour.
        next_hop: IpAddr,
        /// Where it is asked for.
        interface: String,
    },
    /// No neighbour of that address answered; it is asked again every few seconds.
    #[error("no answer from {next_hop} on {interface}: is it up, and in this network?")]
    NoAnswer {
        /// The neighbour.
        next_hop: IpAddr,
        /// Where it was asked for.
        interface: String,
    },
    /// The kernel refused to ask the neighbour.
    #[error("cannot ask for {next_hop} on {interface}: {error}")]
    CannotAsk {
        /// The neighbour.
        next_hop: IpAddr,
        /// Where it should be asked for.
        interface: String,
        /// What the kernel said, e.g. that CAP_NET_ADMIN is missing.
        error: String,
    },
    /// No route covers the address.
    #[error("no route to {0}: is the interface towards it up, with an address of its network?")]
    NoRoute(IpAddr),
    /// A route of a kind that takes no packets.
    #[error("the route to {address} is of type {kind}: remove it, or add a more specific one")]
    Forbidden {
        /// The target.
        address: IpAddr,
        /// `blackhole`, `unreachable`, `prohibit`, ...
        kind: &'static str,
    },
    /// The address is this host's own, which XDP cannot send to.
    #[error("{0} is an address of this host: a backend has to be another host or namespace")]
    Local(IpAddr),
    /// The interface is switched off.
    #[error("interface {0} is down: ip link set {0} up")]
    InterfaceDown(String),
    /// The interface is on, but its cable, or the other end of its veth pair, is not.
    #[error("interface {0} has no carrier: is its cable plugged in, its other end up?")]
    NoCarrier(String),
    /// The interface has no MAC of 6 bytes, e.g. a tunnel.
    #[error("interface {0} is not Ethernet: packets can leave by Ethernet interfaces only")]
    NotEthernet(String),
    /// No address of this host can be the source.
    #[error("interface {0} has no address to send from: ip address add ADDRESS/LENGTH dev {0}")]
    NoSourceAddress(String),
    /// The route leads to an interface that is gone.
    #[error("the interface towards {0} has just disappeared")]
    InterfaceGone(IpAddr),
    /// The kernel's answer to the route lookup was something else.
    #[error("route lookup for {address} failed: {error}")]
    LookupFailed {
        /// The target.
        address: IpAddr,
        /// What the kernel said.
        error: String,
    },
}
