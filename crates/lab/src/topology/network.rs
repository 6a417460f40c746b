//! One network's addresses, so that both families and the MAC of a host follow from a number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Cidr, HostSpec, InterfaceSpec, Mac, Role, RouteSpec, Sysctl};

/// A network: a bridge and what the addresses on it start with.
pub(super) struct Network {
    pub(super) bridge: &'static str,
    /// Fifth byte of the MACs; the sixth is the host's number.
    pub(super) mac: u8,
    /// The first three bytes of its /24.
    pub(super) v4: [u8; 3],
    /// N of its fd00:N::/64.
    pub(super) v6: u16,
}

impl Network {
    /// A host's interface on this network, with IPv6.
    pub(super) const fn port(&self, name: &'static str, host: u8) -> InterfaceSpec {
        InterfaceSpec {
            name,
            mac: Mac([0xde, 0xad, 0xbe, 0xef, self.mac, host]),
            address: Cidr {
                address: self.at(host),
                prefix: 24,
            },
            address6: Some(Cidr {
                address: self.at6(host),
                prefix: 64,
            }),
            bridge: self.bridge,
        }
    }

    /// The IPv4 address of a host.
    pub(super) const fn at(&self, host: u8) -> IpAddr {
        let [a, b, c] = self.v4;
        IpAddr::V4(Ipv4Addr::new(a, b, c, host))
    }

    /// The IPv6 address of a host.
    pub(super) const fn at6(&self, host: u8) -> IpAddr {
        IpAddr::V6(fd00(self.v6, host))
    }
}

/// fd00:N::HOST, which is read as the IPv4 address's last number is: 10.1.0.254 is next to
/// fd00:1::254.
pub(super) const fn fd00(network: u16, host: u8) -> Ipv6Addr {
    let (hundreds, tens, ones) = (host / 100, host / 10 % 10, host % 10);
    // `From` is not const yet.
    let digits = (hundreds as u16) << 8 | (tens as u16) << 4 | ones as u16;
    Ipv6Addr::new(0xfd00, network, 0, 0, 0, 0, 0, digits)
}

/// A route; the next hop's family is the route's.
pub(super) const fn route(to: &'static str, via: IpAddr) -> RouteSpec {
    RouteSpec { to, via }
}

/// A host without any of the special things.
pub(super) const fn host(
    name: &'static str,
    role: Role,
    interfaces: &'static [InterfaceSpec],
    routes: &'static [RouteSpec],
) -> HostSpec {
    HostSpec {
        name,
        role,
        interfaces,
        routes,
        sysctls: &[],
        vip_on: None,
        runs_xdp: matches!(role, Role::Balancer),
    }
}

/// What makes a host a router of the plain kind.
pub(super) const FORWARDS: &[Sysctl] = &[
    Sysctl {
        setting: "net.ipv4.ip_forward=1",
        why: "forwards between its networks",
    },
    Sysctl {
        setting: "net.ipv6.conf.all.forwarding=1",
        why: "forwards between its networks",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_read_alike() {
        for (number, text) in [(2, "fd00:1::2"), (10, "fd00:1::10"), (254, "fd00:1::254")] {
            assert_eq!(fd00(1, number).to_string(), text);
        }
    }
}
