//! What is balanced, described simply.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::packet::Flow;
use crate::frame::Routes;

/// How packets get to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// See the design, 3.4, here and below.
    Nat,
    /// Destination rewritten.
    Dnat,
    /// Next hop only.
    L2Dsr,
    /// An outer IP header.
    Ipip,
    /// An outer IP header, UDP and GUE.
    Gue,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// How its packets get to backends.
    pub mode: Mode,
    /// Its address, or the first of its prefix.
    pub address: IpAddr,
    /// Bits of the prefix; all of the address's for a service of one address.
    pub prefix: u8,
    /// `None`: every port.
    pub port: Option<u16>,
    /// IP protocol number.
    pub protocol: u8,
    /// Whether every flow has an entry of its own.
    pub is_tracked: bool,
    /// Whether echo requests to its address are answered.
    pub answers_echo: bool,
    /// Whether what finds no backend is refused; else it is dropped.
    pub rejects: bool,
    /// Connection-ID routing.
    pub quic: Option<Quic>,
    /// Its backends.
    pub backends: Vec<usize>,
    /// What of a flow decides about its slot.
    pub affinity: Affinity,
    /// Its slots: a power of two, or none.
    pub ring: Vec<Slot>,
}

/// What of a flow decides about its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Everything.
    None,
    /// The client's address.
    Source,
    /// The client's address and the one it asks for.
    SourceDestination,
}

impl Service {
    /// Whether it is no prefix.
    #[must_use]
    pub fn is_one_address(&self) -> bool {
        self.prefix == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

/// Connection-ID routing.
#[derive(Clone, Debug)]
pub struct Quic {
    /// Config rotation bits.
    pub config: u8,
    /// Length of server ids in bytes.
    pub server_id_length: usize,
    /// Server ids and their backends.
    pub servers: HashMap<Vec<u8>, usize>,
}

/// A way out: Ethernet destination and source, and interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// MAC of the next hop.
    pub destination: [u8; 6],
    /// MAC of the interface.
    pub source: [u8; 6],
    /// Its index.
    pub interface: u32,
}

/// A backend.
#[derive(Clone, Copy, Debug)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// The instance's address towards it.
    pub source: IpAddr,
    /// `None`: the port the client asked for. In mode `gue`, where GUE goes.
    pub port: Option<u16>,
    /// The way to it, if that is known.
    pub link: Option<Link>,
    /// Largest IP packet on that way, in bytes.
    pub mtu: usize,
    /// Whether it may have packets at all.
    pub is_alive: bool,
    /// Whether it may have new flows.
    pub takes_new: bool,
}

/// What a slot of a ring says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// All flows belong to this backend.
    Steady(usize),
    /// Changed to the first from the second.
    Transition(usize, usize),
    /// Flows belong to this backend unless they have an entry.
    Settling(usize),
}

/// The hash that decides about a flow's slot: all instances of a cluster have the same.
pub type FlowHash = Box<dyn Fn(&Flow, Affinity) -> u64>;

/// Everything that does not come from packets.
pub struct Instance {
    /// By index.
    pub services: Vec<Service>,
    /// By index.
    pub backends: Vec<Backend>,
    /// See there.
    pub hash: FlowHash,
    /// Which way the host's routes show answers of mode `dnat`.
    pub routes: Routes,
    /// Hop limit of outer headers.
    pub outer_ttl: u8,
    /// Whether the flow shows in the outer source address.
    pub outer_entropy: bool,
    /// `nat`'s own ports.
    pub nat_ports: RangeInclusive<u16>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("services", &self.services)
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// The slot of a flow: the top bits of its hash count. `None` if the service has no ring.
    pub(super) fn slot_of(&self, service: usize, flow: &Flow) -> Option<Slot> {
        let service = &self.services[service];
        let position = u128::from((self.hash)(flow, service.affinity)) * service.ring.len() as u128;
        service.ring.get((position >> 64) as usize).copied()
    }

    /// The service of one address that a packet is for: that of its port, or that of every port.
    pub(super) fn service(&self, flow: &Flow) -> Option<usize> {
        let of_address = |service: &&(usize, &Service)| service.1.is_one_address();
        let found = self.matching(flow);
        let found = found.iter().filter(of_address);
        found
            .max_by_key(|(_, service)| service.port.is_some())
            .map(|(index, _)| *index)
    }

    /// The service of a prefix: of the longest one with its port, or else with every port.
    pub(super) fn prefix_service(&self, flow: &Flow) -> Option<usize> {
        let of_prefix = |service: &&(usize, &Service)| !service.1.is_one_address();
        let found = self.matching(flow);
        let found = found.iter().filter(of_prefix);
        found
            .max_by_key(|(_, service)| (service.port.is_some(), service.prefix))
            .map(|(index, _)| *index)
    }

    fn matching(&self, flow: &Flow) -> Vec<(usize, &Service)> {
        let matches = |service: &Service| {
            service.protocol == flow.protocol
                && is_in(flow.destination.ip(), service.address, service.prefix)
                && service
                    .port
                    .is_none_or(|port| port == flow.destination.port())
        };
        let services = self.services.iter().enumerate();
        services.filter(|(_, service)| matches(service)).collect()
    }

    /// Whether some service has this address.
    pub(super) fn is_vip(&self, address: IpAddr) -> bool {
        self.services
            .iter()
            .any(|service| is_in(address, service.address, service.prefix))
    }

    /// Whether a service has exactly this address and port.
    pub(super) fn has_port(&self, address: IpAddr, port: u16, protocol: u8) -> bool {
        self.services.iter().any(|service| {
            service.is_one_address()
                && (service.address, service.port, service.protocol)
                    == (address, Some(port), protocol)
        })
    }

    /// Whether backends of mode `nat` answer to this address.
    pub(super) fn is_nat_source(&self, address: IpAddr, protocol: Option<u8>) -> bool {
        self.of_mode(Mode::Nat)
            .filter(|(_, service)| protocol.is_none_or(|protocol| service.protocol == protocol))
            .flat_map(|(_, service)| &service.backends)
            .any(|backend| self.backends[*backend].source == address)
    }

    /// Whether what passes by may be a backend's answer, or whether any address may be a VIP.
    pub(super) fn looks_at_everything(&self) -> bool {
        self.services
            .iter()
            .any(|service| service.mode == Mode::Dnat || !service.is_one_address())
    }

    /// The service of mode `dnat` that has a backend at this source.
    pub(super) fn dnat_service(&self, flow: &Flow) -> Option<usize> {
        let answers = |port: Option<u16>| {
            self.of_mode(Mode::Dnat)
                .filter(|(_, service)| service.protocol == flow.protocol)
                .find(|(_, service)| {
                    service.backends.iter().any(|backend| {
                        let backend = &self.backends[*backend];
                        backend.address == flow.source.ip() && backend.port == port
                    })
                })
                .map(|(index, _)| index)
        };
        answers(Some(flow.source.port())).or_else(|| answers(None))
    }

    fn of_mode(&self, mode: Mode) -> impl Iterator<Item = (usize, &Service)> {
        let services = self.services.iter().enumerate();
        services.filter(move |(_, service)| service.mode == mode)
    }

    pub(super) fn answers_echo(&self, address: IpAddr) -> bool {
        self.services.iter().any(|service| {
            service.answers_echo && service.is_one_address() && service.address == address
        })
    }
}

/// Whether an address is in a prefix.
fn is_in(address: IpAddr, prefix: IpAddr, bits: u8) -> bool {
    let top = |all: u128, width: u32| all.checked_shr(width - u32::from(bits)).unwrap_or(0);
    match (address, prefix) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            top(a.to_bits().into(), 32) == top(b.to_bits().into(), 32)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => top(a.to_bits(), 128) == top(b.to_bits(), 128),
        _ => false,
    }
}
