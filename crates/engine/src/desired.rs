//! Desired state: what the operator asked for, already validated.
//!
//! Nothing past this point checks again: `control` builds these from a file or from flags, the
//! rest of `engine` turns them into map contents.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// An Ethernet address in transmission order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Transport protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Port of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServicePort {
    /// One port, never 0.
    Exact(u16),
    /// Every port without a service of its own; the backend gets the port the client asked for.
    Any,
}

/// What clients reach: address, port and protocol. Unique within an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The VIP.
    pub address: IpAddr,
    /// One port or every port.
    pub port: ServicePort,
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.protocol)?;
        match self.address {
            IpAddr::V4(a) => write!(f, "{a}")?,
            IpAddr::V6(a) => write!(f, "[{a}]")?,
        }
        match self.port {
            ServicePort::Exact(p) => write!(f, ":{p}"),
            ServicePort::Any => f.write_str(":*"),
        }
    }
}

/// How a packet gets to a backend. The other modes of the design come with the next issue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ForwardingMode {
    /// Source becomes the instance's address and a port of its own, destination the backend.
    #[default]
    Nat,
}

impl fmt::Display for ForwardingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nat => "nat",
        })
    }
}

/// Which part of a flow's 5-tuple decides its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Affinity {
    /// All of it: connections of one client spread over the backends.
    #[default]
    None,
    /// The client's address only: all connections of one client reach one backend.
    SourceAddress,
}

/// A server behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address, of the same family as the service's in `nat` mode.
    pub address: IpAddr,
    /// Its port; `None`: the port the client asked for.
    pub port: Option<u16>,
    /// Share of new flows relative to the other backends' weights; 0 takes none.
    pub weight: u32,
    /// Overrides the neighbour lookup of the next hop.
    pub mac: Option<Mac>,
}

/// A service and its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Address, port, protocol.
    pub id: ServiceId,
    /// How packets get to the backends.
    pub mode: ForwardingMode,
    /// What the flow hash covers.
    pub affinity: Affinity,
    /// At least one, without duplicates of (address, port).
    pub backends: Vec<Backend>,
    /// Slots of the ring as a power of two's exponent; `None`: by the number of backends.
    pub ring_log2: Option<u8>,
}

impl Service {
    /// The port a backend is reached on; `None` for an any-port service without a fixed port.
    #[must_use]
    pub fn backend_port(&self, backend: &Backend) -> Option<u16> {
        backend.port.or(match self.id.port {
            ServicePort::Exact(port) => Some(port),
            ServicePort::Any => None,
        })
    }
}

/// Source addresses and ports of `nat` mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatSettings {
    /// Source address towards backends; `None`: the address the route to the backend prefers.
    pub address: Option<Ipv4Addr>,
    /// First port of the range used when the client's own port is taken.
    pub first_port: u16,
    /// Last port of that range, inclusive.
    pub last_port: u16,
}

impl Default for NatSettings {
    fn default() -> Self {
        // Below Linux's default ephemeral range (32768..=60999), above the well-known ports.
        Self {
            address: None,
            first_port: 10_240,
            last_port: 32_767,
        }
    }
}

/// How long a flow may be silent before it is forgotten, by state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, handshake not complete; UDP without an answer yet.
    pub half_open: Duration,
    /// TCP, handshake complete.
    pub established: Duration,
    /// UDP, answered.
    pub udp: Duration,
    /// How long a closed flow's reverse tuple rests before another client may have it.
    pub rest: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            half_open: Duration::from_secs(30),
            // RFC 5382 REQ-5: not less than 2 hours 4 minutes.
            established: Duration::from_secs(2 * 3600 + 4 * 60),
            // RFC 4787 REQ-5 recommends 5 minutes; 2 is its lower bound.
            udp: Duration::from_secs(300),
            // Linux's TCP_TIMEWAIT_LEN, which the backend still holds the tuple for.
            rest: Duration::from_secs(60),
        }
    }
}

/// Sizes of the kernel tables, fixed when the program is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Established flows; each takes two entries of about 130 bytes.
    pub flows: u32,
    /// Half-open flows; the oldest give way when there are more.
    pub half_open_flows: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 262_144,
            half_open_flows: 32_768,
        }
    }
}

/// Everything one instance should do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Names of the network interfaces the program is attached to, without duplicates.
    pub interfaces: Vec<String>,
    /// In the order of the configuration, without duplicate ids.
    pub services: Vec<Service>,
    /// `nat` mode's addresses and ports.
    pub nat: NatSettings,
    /// Idle times.
    pub timeouts: Timeouts,
    /// Table sizes.
    pub limits: Limits,
    /// Seed of the flow hash and the rings; instances of one cluster share it.
    pub seed: u64,
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
