//! What the configuration says about health, already validated.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use engine::desired::Backend;

/// All that a service says about health. A service without any of it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceHealth {
    /// How its backends are checked.
    pub check: Option<Check>,
    /// An agent beside the check: it can take a backend out or weigh it, and its silence means
    /// nothing.
    pub agent: Option<Check>,
    /// What becomes of the flows of a backend that is down.
    pub on_down: OnDown,
    /// Over this time the weight of a backend that comes back rises from a tenth to all of it;
    /// zero: at once.
    pub slow_start: Duration,
    /// Percent, 0 to 100: with a smaller part of the backends up, all are used. 0: never.
    pub panic_threshold: u8,
    /// Used only while no other backend takes new flows. Not checked themselves.
    pub sorry: Vec<Backend>,
}

/// What becomes of the flows of a backend that is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnDown {
    /// They go elsewhere at once: the backend is dead.
    #[default]
    Move,
    /// They stay, and the backend takes no new ones.
    Keep,
}

impl OnDown {
    /// Every choice with its word.
    pub const ALL: [(&'static str, Self); 2] = [("move", Self::Move), ("keep", Self::Keep)];
}

/// One kind of check of the backends of one service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// What is asked, and what counts as an answer.
    pub kind: CheckKind,
    /// Asked instead of the backend; with [`Via::Service`] the VIP that is asked.
    pub address: Option<IpAddr>,
    /// Asked instead of the backend's port. Present where backends have none, except for
    /// [`CheckKind::Command`].
    pub port: Option<u16>,
    /// The way there.
    pub via: Via,
    /// When, and how often.
    pub timing: Timing,
}

/// When a check is run, and how many results decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// From the beginning of a run to that of the next: 100 ms to an hour.
    pub interval: Duration,
    /// A run that takes longer has failed. At most the interval.
    pub timeout: Duration,
    /// Successes in a row until a backend that is down is up: 1 to 100.
    pub rise: u8,
    /// Failures in a row until a backend is down: 1 to 100.
    pub fall: u8,
    /// Thousandths of the interval, 0 to 500: by up to so much a run comes earlier, at random.
    pub jitter_permille: u16,
}

impl Timing {
    /// The longest timeout that is not configured.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
}

impl Default for Timing {
    fn default() -> Self {
        let interval = Duration::from_secs(2);
        Self {
            interval,
            timeout: interval.min(Self::TIMEOUT),
            rise: 2,
            fall: 3,
            jitter_permille: 100,
        }
    }
}

/// The way of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Via {
    /// To the backend's own address, as any connection of this host.
    #[default]
    Direct,
    /// To the service's address, the way clients' packets go. Only in modes that do not rewrite
    /// the destination.
    Service,
}

impl Via {
    /// Every way with its word.
    pub const ALL: [(&'static str, Self); 2] =
        [("direct", Self::Direct), ("service", Self::Service)];
}

/// What is asked, and what counts as an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// A connection is opened.
    Tcp,
    /// A request is answered as expected.
    Http(HttpCheck),
    /// A datagram is answered as expected, or not refused.
    Udp {
        /// The datagram's payload; may be empty.
        send: Vec<u8>,
        /// What the answer contains; `None`: whatever is not refused is good.
        expect: Option<Vec<u8>>,
    },
    /// grpc.health.v1 says SERVING.
    Grpc {
        /// The service that is asked for; empty: the server as a whole.
        service: String,
        /// With TLS.
        tls: Option<TlsSettings>,
    },
    /// A program ends with code 0.
    Command {
        /// The program and its arguments; never empty.
        command: Vec<String>,
    },
    /// HAProxy's agent-check: a line of words.
    Agent {
        /// Sent first; may be empty.
        send: Vec<u8>,
    },
}

impl CheckKind {
    /// Its word in the configuration.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(http) if http.version == HttpVersion::Http2 => "http2",
            Self::Http(http) if http.tls.is_some() => "https",
            Self::Http(_) => "http",
            Self::Udp { .. } => "udp",
            Self::Grpc { .. } => "grpc",
            Self::Command { .. } => "command",
            Self::Agent { .. } => "agent",
        }
    }
}

/// A request and its expected answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpCheck {
    /// HTTP/1.1, or HTTP/2: over TLS by ALPN, otherwise with prior knowledge.
    pub version: HttpVersion,
    /// With TLS.
    pub tls: Option<TlsSettings>,
    /// `GET`, `HEAD` or `OPTIONS`.
    pub method: String,
    /// Begins with `/`.
    pub path: String,
    /// The request's host; `None`: address and port that are asked.
    pub host: Option<String>,
    /// The status is one of these.
    pub status: StatusRanges,
    /// The body's first 64 KiB contain this.
    pub body: Option<String>,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            version: HttpVersion::Http1,
            tls: None,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            status: StatusRanges::default(),
            body: None,
        }
    }
}

/// Version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Sets of status codes, as in `200-299,301`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

impl StatusRanges {
    /// Whether `status` is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl Default for StatusRanges {
    fn default() -> Self {
        Self(vec![(200, 299)])
    }
}

impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// How a certificate is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    /// The name asked for and expected; `None`: the request's host, else the address.
    pub sni: Option<String>,
    /// Who may have signed the certificate.
    pub trust: Trust,
}

/// Who may have signed a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The CAs that this host trusts.
    #[default]
    System,
    /// The CAs of a PEM file.
    File(PathBuf),
    /// Anybody: neither signer nor name are looked at.
    Anybody,
}
