//! Desired state: what the operator asked for, already validated.
//!
//! Nothing past this point checks again: `control` builds these from a file or from flags, the
//! rest of `engine` turns them into map contents. What a field's documentation says of its value
//! is what `control` has seen to.

mod address;
mod service;
mod settings;

use std::net::IpAddr;

pub use address::{Mac, Prefix, Protocol, ServiceId, ServicePort};
pub use service::{
    Affinity, Backend, BackendState, ForwardingMode, GUE_PORT, NoBackend, Quic, QuicServerId,
    Service, Track,
};
pub use settings::{Limits, NatSettings, Timeouts, TunnelSettings};

/// Everything one instance should do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Names of the network interfaces the program is attached to, without duplicates.
    pub interfaces: Vec<String>,
    /// In the order of the configuration, without duplicate ids.
    pub services: Vec<Service>,
    /// `nat` mode's addresses and ports.
    pub nat: NatSettings,
    /// Outer headers of `ipip` and `gue`.
    pub tunnel: TunnelSettings,
    /// Idle times.
    pub timeouts: Timeouts,
    /// Table sizes and rates.
    pub limits: Limits,
    /// Seed of the flow hash and the rings; instances of one cluster share it.
    pub seed: u64,
}

impl Desired {
    /// The backends of all services.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.services.iter().flat_map(|service| &service.backends)
    }

    /// The source that is configured for packets to `backend` in the service's mode: of the packet
    /// itself in `nat`, of the outer header in `ipip` and `gue`. `None`: what the route prefers.
    #[must_use]
    pub fn source(&self, mode: ForwardingMode, backend: IpAddr) -> Option<IpAddr> {
        let (v4, v6) = if mode.encapsulates() {
            (self.tunnel.source, self.tunnel.source6)
        } else {
            (self.nat.address, self.nat.address6)
        };
        match backend {
            IpAddr::V4(_) => v4.map(IpAddr::V4),
            IpAddr::V6(_) => v6.map(IpAddr::V6),
        }
    }
}

/// How to send to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The interface packets leave by.
    pub interface_index: u32,
    /// That interface's MAC.
    pub source_mac: Mac,
    /// The MAC of the neighbour: the address itself where it is on the link, else the gateway.
    pub destination_mac: Mac,
    /// The address that the route prefers as source.
    pub source_address: IpAddr,
    /// Largest IP packet in bytes: the smaller of the interface's and the route's.
    pub mtu: u32,
}
