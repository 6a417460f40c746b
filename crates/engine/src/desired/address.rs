//! What names a service: prefix, protocol, port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

/// The addresses that share their first `length` bits. One address is a prefix of full length:
/// 32 bits of IPv4, 128 of IPv6. The bits behind are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix of `length` bits that `address` is in; `None` if the family has fewer bits.
    #[must_use]
    pub fn around(address: IpAddr, length: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if length <= 32 => {
                let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & !host).into()
            }
            IpAddr::V6(v6) if length <= 128 => {
                let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & !host).into()
            }
            _ => return None,
        };
        Some(Self { address, length })
    }

    /// Its first address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses share.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// The address, if it is only one.
    #[must_use]
    pub fn single(self) -> Option<IpAddr> {
        let full = if self.is_ipv6() { 128 } else { 32 };
        (self.length == full).then_some(self.address)
    }

    /// Whether its addresses are IPv6.
    #[must_use]
    pub fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6() && Self::around(address, self.length) == Some(self)
    }

    /// Whether every address of `other` is in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }
}

impl<A: Into<IpAddr>> From<A> for Prefix {
    fn from(address: A) -> Self {
        let address = address.into();
        Self {
            address,
            length: if address.is_ipv6() { 128 } else { 32 },
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(address) => write!(f, "{address}"),
            None => write!(f, "{}/{}", self.address, self.length),
        }
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
///
/// Where several cover a packet, one of its address comes before one of a prefix, one of its port
/// before one of every port, a longer prefix before a shorter one, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The VIP, or a whole prefix of them.
    pub address: Prefix,
    /// One port or every port.
    pub port: ServicePort,
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.protocol)?;
        if self.address.is_ipv6() {
            write!(f, "[{}]", self.address)?;
        } else {
            write!(f, "{}", self.address)?;
        }
        match self.port {
            ServicePort::Exact(p) => write!(f, ":{p}"),
            ServicePort::Any => f.write_str(":*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix::around(address.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn a_prefix_has_no_bits_behind_its_length() {
        assert_eq!(prefix("10.1.2.3", 24).to_string(), "10.1.2.0/24");
        assert_eq!(prefix("10.1.2.3", 0).to_string(), "0.0.0.0/0");
        assert_eq!(prefix("10.1.2.3", 32).to_string(), "10.1.2.3");
        assert_eq!(
            prefix("2001:db8::ffff:1", 112).to_string(),
            "2001:db8::ffff:0/112"
        );
        assert_eq!(prefix("2001:db8::1", 128).to_string(), "2001:db8::1");
        assert_eq!(Prefix::around([10, 0, 0, 1].into(), 33), None);
    }

    #[test]
    fn families_do_not_cover_each_other() {
        let v4 = prefix("0.0.0.0", 0);
        let v6 = prefix("::", 0);
        assert!(v4.contains([10, 0, 0, 1].into()) && !v6.contains([10, 0, 0, 1].into()));
        assert!(v4.covers(prefix("10.0.0.0", 8)) && !prefix("10.0.0.0", 8).covers(v4));
        assert!(!v4.covers(v6) && !v6.covers(v4));
    }

    #[test]
    fn a_service_is_written_the_way_it_is_read() {
        let id = |address: Prefix, port| ServiceId {
            protocol: Protocol::Udp,
            address,
            port,
        };
        assert_eq!(
            id(prefix("2001:db8::", 64), ServicePort::Exact(443)).to_string(),
            "udp://[2001:db8::/64]:443"
        );
        assert_eq!(
            id(prefix("10.1.0.0", 24), ServicePort::Any).to_string(),
            "udp://10.1.0.0/24:*"
        );
    }
}
