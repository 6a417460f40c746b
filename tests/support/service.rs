//! Services as the configuration file has them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use lab::Host;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// That of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Whether an address is of this family.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        Self::of(address) == self
    }

    /// The address of this family of a host's first interface.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn address_of(self, host: &Host) -> IpAddr {
        let addresses = [host.address(), host.address6()];
        let mut addresses = addresses.into_iter().flatten();
        let address = addresses.find(|address| self.has(*address));
        address.unwrap_or_else(|| panic!("{} has no address of {self:?}", host.name()))
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// One `[[service]]`.
#[derive(Clone, Debug)]
pub struct Service {
    address: String,
    mode: &'static str,
    backends: Vec<String>,
    more: String,
}

impl Service {
    /// A service over TCP.
    #[must_use]
    pub fn tcp(address: SocketAddr, mode: &'static str) -> Self {
        Self::at(format!("tcp://{address}"), mode)
    }

    /// A service over UDP.
    #[must_use]
    pub fn udp(address: SocketAddr, mode: &'static str) -> Self {
        Self::at(format!("udp://{address}"), mode)
    }

    /// A service at an address as the file has it.
    #[must_use]
    pub fn at(address: impl Into<String>, mode: &'static str) -> Self {
        Self {
            address: address.into(),
            mode,
            backends: Vec::new(),
            more: String::new(),
        }
    }

    /// Over both protocols.
    #[must_use]
    pub fn both(address: SocketAddr, mode: &'static str, backends: &[IpAddr]) -> [Self; 2] {
        [Self::tcp(address, mode), Self::udp(address, mode)].map(|service| service.to(backends))
    }

    /// Adds backends with nothing but an address.
    #[must_use]
    pub fn to(self, backends: &[IpAddr]) -> Self {
        backends.iter().fold(self, |service, backend| {
            service.backend(&format!("address = \"{backend}\""))
        })
    }

    /// Adds a backend: the fields of its table.
    #[must_use]
    pub fn backend(mut self, fields: &str) -> Self {
        self.backends.push(format!("{{ {fields} }}"));
        self
    }

    /// Adds a line of its own.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.more.push_str(line);
        self.more.push('\n');
        self
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            mode,
            backends,
            more,
        } = self;
        writeln!(f, "[[service]]\naddress = \"{address}\"\nmode = \"{mode}\"")?;
        writeln!(f, "backends = [{}]\n{more}", backends.join(", "))
    }
}
