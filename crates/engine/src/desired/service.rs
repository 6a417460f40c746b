//! Services, their backends, and what is chosen for each service.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Mac, ServiceId, ServicePort};

/// How a packet gets to a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForwardingMode {
    /// Source becomes the instance's address and a port of its own, destination the backend.
    #[default]
    Nat,
    /// Destination becomes the backend; answers come back through the instance.
    Dnat,
    /// Only the destination MAC changes; the backend has the VIP and answers the client itself.
    L2Dsr,
    /// In an outer IPv4 or IPv6 header; the backend has the VIP and answers the client itself.
    Ipip,
    /// The same with outer UDP and GUE headers.
    Gue,
}

impl ForwardingMode {
    /// Every mode with its word in config, flags and status.
    pub const ALL: [(&'static str, Self); 5] = [
        ("nat", Self::Nat),
        ("dnat", Self::Dnat),
        ("l2-dsr", Self::L2Dsr),
        ("ipip", Self::Ipip),
        ("gue", Self::Gue),
    ];

    /// Whether the packet itself is sent to the backend's address, and so to its port.
    #[must_use]
    pub fn rewrites_destination(self) -> bool {
        matches!(self, Self::Nat | Self::Dnat)
    }

    /// Whether packets travel inside an outer header.
    #[must_use]
    pub fn encapsulates(self) -> bool {
        matches!(self, Self::Ipip | Self::Gue)
    }
}

impl fmt::Display for ForwardingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nat => "nat",
            Self::Dnat => "dnat",
            Self::L2Dsr => "l2-dsr",
            Self::Ipip => "ipip",
            Self::Gue => "gue",
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
    /// The client's address and the VIP: all connections of one client to one address.
    SourceAndDestination,
}

impl Affinity {
    /// Every affinity with its word.
    pub const ALL: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("source", Self::SourceAddress),
        ("source-destination", Self::SourceAndDestination),
    ];
}

impl fmt::Display for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::SourceAddress => "source",
            Self::SourceAndDestination => "source-destination",
        })
    }
}

/// Which flows get an entry in the exception table. Mode `nat` has a table of all its flows
/// whatever is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Track {
    /// Those whose slot is changing.
    #[default]
    Auto,
    /// All of them, whatever their slot's state.
    Always,
    /// None: a change moves the flows of the slots it touches.
    Never,
}

impl Track {
    /// Every choice with its word.
    pub const ALL: [(&'static str, Self); 3] = [
        ("auto", Self::Auto),
        ("always", Self::Always),
        ("never", Self::Never),
    ];
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        })
    }
}

/// What a packet meets whose service has no backend for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NoBackend {
    /// A refusal: TCP gets a reset, everything else ICMP "port unreachable".
    #[default]
    Reject,
    /// Nothing: it is dropped.
    Drop,
}

impl NoBackend {
    /// Every choice with its word.
    pub const ALL: [(&'static str, Self); 2] = [("reject", Self::Reject), ("drop", Self::Drop)];
}

impl fmt::Display for NoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reject => "reject",
            Self::Drop => "drop",
        })
    }
}

/// How routable QUIC connection IDs are made (draft-ietf-quic-load-balancers, plaintext).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quic {
    /// Bytes of a server id, 1 to [`QuicServerId::MAX_LENGTH`].
    pub server_id_length: u8,
    /// The config rotation bits, 0 to 6.
    pub config: u8,
}

impl Default for Quic {
    fn default() -> Self {
        Self {
            server_id_length: 4,
            config: 0,
        }
    }
}

/// A backend's id in QUIC connection IDs: 1 to [`Self::MAX_LENGTH`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuicServerId {
    /// Zeros behind `length`.
    bytes: [u8; Self::MAX_LENGTH],
    length: u8,
}

impl QuicServerId {
    /// The draft allows 15; the data plane's keys have room for eight.
    pub const MAX_LENGTH: usize = abi::quic::MAX_SERVER_ID as usize;

    /// `None` unless there are 1 to [`Self::MAX_LENGTH`] bytes.
    #[must_use]
    pub fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LENGTH];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        let length = u8::try_from(id.len()).ok().filter(|length| *length > 0)?;
        Some(Self { bytes, length })
    }

    /// Its bytes in the order of the connection ID.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Display for QuicServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the operator wants of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BackendState {
    /// It takes flows according to its weight.
    #[default]
    Up,
    /// It keeps its flows and takes no new ones.
    Drain,
    /// It is dead: its flows go elsewhere, and when it comes back it is a new one.
    Down,
}

impl BackendState {
    /// Every state with its word.
    pub const ALL: [(&'static str, Self); 3] = [
        ("up", Self::Up),
        ("drain", Self::Drain),
        ("down", Self::Down),
    ];
}

impl fmt::Display for BackendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Drain => "drain",
            Self::Down => "down",
        })
    }
}

/// The UDP port that GUE is sent to unless configured (IANA `gue`).
pub const GUE_PORT: u16 = 6080;

/// A server behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address: of the service's family unless the mode encapsulates. Never a link-local or
    /// group address, never one that packets to it would be balanced at again.
    pub address: IpAddr,
    /// Its port; `None`: the port the client asked for. Never another than the service's in the
    /// modes that do not rewrite the destination.
    pub port: Option<u16>,
    /// Share of new flows relative to the other backends' weights; 0 takes none.
    pub weight: u32,
    /// Overrides the neighbour lookup of the next hop.
    pub mac: Option<Mac>,
    /// Whether it takes new flows, and keeps its old ones.
    pub state: BackendState,
    /// Destination port of the outer UDP header, in mode `gue`.
    pub gue_port: u16,
    /// Of the service's [`Quic::server_id_length`] and no other backend's; present exactly if the
    /// service has [`Service::quic`].
    pub quic_server_id: Option<QuicServerId>,
}

impl Backend {
    /// A backend with every default: the service's port, weight 1, up.
    #[must_use]
    pub fn new(address: impl Into<IpAddr>) -> Self {
        Self {
            address: address.into(),
            port: None,
            weight: 1,
            mac: None,
            state: BackendState::Up,
            gue_port: GUE_PORT,
            quic_server_id: None,
        }
    }
}

/// A service and its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Address, port, protocol. Not a prefix in mode `dnat`.
    pub id: ServiceId,
    /// How packets get to the backends.
    pub mode: ForwardingMode,
    /// What the flow hash covers.
    pub affinity: Affinity,
    /// Which flows are entered in the exception table.
    pub track: Track,
    /// How long a changed slot enters flows: every flow of before the change that is not idle for
    /// longer keeps its backend. From a second to a day.
    pub transition_window: Duration,
    /// Echo requests to the VIP are answered. The services of one address agree.
    pub echo: bool,
    /// What packets meet that no backend takes.
    pub no_backend: NoBackend,
    /// Routing by QUIC connection ID; UDP only.
    pub quic: Option<Quic>,
    /// At least one, without duplicates of (address, port). In mode `dnat` no other `dnat` service
    /// of the protocol has the same (address, port), so that an answer tells its service.
    pub backends: Vec<Backend>,
    /// Slots of the ring as a power of two's exponent; `None`: by the number of backends.
    pub ring_log2: Option<u8>,
}

impl Service {
    /// [`Service::transition_window`] unless configured.
    pub const TRANSITION_WINDOW: Duration = Duration::from_secs(15 * 60);

    /// A service with every default: mode `nat`, no affinity.
    #[must_use]
    pub fn new(id: ServiceId, backends: Vec<Backend>) -> Self {
        Self {
            id,
            mode: ForwardingMode::default(),
            affinity: Affinity::default(),
            track: Track::default(),
            transition_window: Self::TRANSITION_WINDOW,
            echo: true,
            no_backend: NoBackend::default(),
            quic: None,
            backends,
            ring_log2: None,
        }
    }

    /// The port a backend is reached on; `None` for an any-port service without a fixed port.
    #[must_use]
    pub fn backend_port(&self, backend: &Backend) -> Option<u16> {
        backend.port.or(match self.id.port {
            ServicePort::Exact(port) => Some(port),
            ServicePort::Any => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_displayed_as_they_are_read() {
        for (word, mode) in ForwardingMode::ALL {
            assert_eq!(mode.to_string(), word);
        }
        for (word, affinity) in Affinity::ALL {
            assert_eq!(affinity.to_string(), word);
        }
        for (word, track) in Track::ALL {
            assert_eq!(track.to_string(), word);
        }
        for (word, no_backend) in NoBackend::ALL {
            assert_eq!(no_backend.to_string(), word);
        }
        for (word, state) in BackendState::ALL {
            assert_eq!(state.to_string(), word);
        }
    }

    #[test]
    fn a_server_id_has_one_to_eight_bytes() {
        assert_eq!(QuicServerId::new(&[]), None);
        assert_eq!(QuicServerId::new(&[0; 9]), None);
        let id = QuicServerId::new(&[0x0a, 0, 0xff]).unwrap();
        assert_eq!(
            (id.as_bytes(), id.to_string()),
            (&[0x0a, 0, 0xff][..], "0a00ff".into())
        );
        assert_ne!(Some(id), QuicServerId::new(&[0x0a, 0, 0xff, 0]));
    }
}
