//! What is chosen once for an instance.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Source addresses and ports of `nat` mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatSettings {
    /// Source address towards IPv4 backends; `None`: the one the route to the backend prefers.
    pub address: Option<Ipv4Addr>,
    /// The same towards IPv6 backends.
    pub address6: Option<Ipv6Addr>,
    /// First port of the range used when the client's own port is taken.
    pub first_port: u16,
    /// Last port of that range, inclusive.
    pub last_port: u16,
}

impl NatSettings {
    /// How many ports of the range the host keeps for its own connections to backends.
    const KEPT: u16 = 1_024;

    /// The last ports of the range, which no flow gets: the host's own connections to backends,
    /// health checks above all, come from them, and so their answers are nobody else's. `None` if
    /// the range is too small to spare them.
    #[must_use]
    pub fn kept_ports(&self) -> Option<RangeInclusive<u16>> {
        let all = self.last_port.saturating_sub(self.first_port);
        (all >= 4 * Self::KEPT - 1).then(|| self.last_port - (Self::KEPT - 1)..=self.last_port)
    }
}

impl Default for NatSettings {
    fn default() -> Self {
        // Below Linux's default ephemeral range (32768..=60999), above the well-known ports.
        Self {
            address: None,
            address6: None,
            first_port: 10_240,
            last_port: 32_767,
        }
    }
}

/// Outer headers of modes `ipip` and `gue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// Outer source towards IPv4 backends; `None`: the one the route to the backend prefers.
    pub source: Option<Ipv4Addr>,
    /// The same towards IPv6 backends.
    pub source6: Option<Ipv6Addr>,
    /// Outer TTL or hop limit, never 0.
    pub ttl: u8,
    /// The lowest bits of the outer source carry the flow's hash, for the backend's RSS.
    pub entropy: bool,
}

impl Default for TunnelSettings {
    fn default() -> Self {
        Self {
            source: None,
            source6: None,
            // RFC 1700: the current recommended default.
            ttl: 64,
            entropy: false,
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

/// Sizes of the kernel tables and rates of the data plane, fixed when the program is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Established flows; each takes two entries of about 130 bytes.
    pub flows: u32,
    /// Half-open flows; the oldest give way when there are more.
    pub half_open_flows: u32,
    /// Entries of the exception table, which never evicts.
    pub exceptions: u32,
    /// Flows that each CPU may enter in it in a second.
    pub exceptions_per_second: u32,
    /// ICMP errors about packets that are too big that each CPU may send in a second; 0: none are sent.
    pub icmp_errors_per_second: u32,
    /// Packets without a backend that each CPU may refuse in a second; 0: all are dropped.
    pub rejections_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 262_144,
            half_open_flows: 32_768,
            exceptions: 262_144,
            exceptions_per_second: 100_000,
            icmp_errors_per_second: 1_000,
            rejections_per_second: 10_000,
        }
    }
}
