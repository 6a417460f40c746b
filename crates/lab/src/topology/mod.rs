//! Topologies as data: which hosts there are and what they are connected to.
//!
//! A topology says nothing about how it is built; that is `plan`'s work.
//!
//! - `network`: the addresses of one network, in both families.
//! - `flat`: `tutorial`, `crowd` and `l2dsr`, where everyone is on one network.
//! - `routed`: `routed` and `tunnel`, which have routers.

mod flat;
mod network;
mod routed;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use flat::{CROWD, L2DSR, TUTORIAL};
pub use routed::{ROUTED, TUNNEL};

/// A set of hosts and the bridges that connect them.
#[derive(Debug)]
pub struct Topology {
    /// Short name, `a-z` and digits only: it becomes part of namespace names.
    pub name: &'static str,
    /// One line for `list` and the documents.
    pub about: &'static str,
    /// Bridges, all of them in the switch namespace.
    pub bridges: &'static [&'static str],
    /// The hosts, each a namespace of its own.
    pub hosts: &'static [HostSpec],
    /// The address that clients of a load balancer use.
    pub vip: Ipv4Addr,
    /// The same in IPv6. Without one, the whole lab has no IPv6.
    pub vip6: Option<Ipv6Addr>,
}

/// One host: a namespace.
#[derive(Debug)]
pub struct HostSpec {
    /// Short name, `a-z` and digits only.
    pub name: &'static str,
    /// What the host is for.
    pub role: Role,
    /// Its interfaces.
    pub interfaces: &'static [InterfaceSpec],
    /// Its routes beyond the connected ones.
    pub routes: &'static [RouteSpec],
    /// Settings beyond those that every host has.
    pub sysctls: &'static [Sysctl],
    /// The interface that has the VIPs as further addresses, if one has.
    pub vip_on: Option<&'static str>,
    /// An XDP program may run on its interfaces: the far ends of its links get what that needs.
    pub runs_xdp: bool,
}

/// A kernel setting of a host.
#[derive(Debug)]
pub struct Sysctl {
    /// As `sysctl` takes it: `KEY=VALUE`.
    pub setting: &'static str,
    /// What it is for.
    pub why: &'static str,
}

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends requests.
    Client,
    /// Runs the load balancer.
    Balancer,
    /// Answers requests.
    Backend,
    /// Forwards packets between networks.
    Router,
}

/// One interface: a veth whose far end is a port of a bridge.
#[derive(Debug)]
pub struct InterfaceSpec {
    /// Name inside the host.
    pub name: &'static str,
    /// Hardware address.
    pub mac: Mac,
    /// Address on the bridge's network.
    pub address: Cidr,
    /// The same in IPv6; in all interfaces of a topology or in none.
    pub address6: Option<Cidr>,
    /// The bridge, one of [`Topology::bridges`].
    pub bridge: &'static str,
}

/// One static route.
#[derive(Debug)]
pub struct RouteSpec {
    /// `default` or a prefix, of the next hop's family.
    pub to: &'static str,
    /// The next hop.
    pub via: IpAddr,
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An address and the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Every topology, in the order of the documents.
pub static ALL: [&Topology; 5] = [&TUTORIAL, &CROWD, &ROUTED, &L2DSR, &TUNNEL];

impl Topology {
    /// The topology of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|topology| topology.name == name)
    }

    /// The host of this name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&'static HostSpec>
    where
        Self: 'static,
    {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// The hosts with this role, in order.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &'static HostSpec> + use<> {
        self.hosts.iter().filter(move |host| host.role == role)
    }

    /// The VIPs that there are: one, or one of each family.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let vip6 = self.vip6.map(IpAddr::V6);
        std::iter::once(IpAddr::V4(self.vip)).chain(vip6)
    }
}

impl HostSpec {
    /// The IPv4 address of the first interface.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.interfaces
            .first()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |interface| {
                interface.address.address
            })
    }

    /// The IPv6 address of the first interface, where there is IPv6.
    #[must_use]
    pub fn address6(&self) -> Option<IpAddr> {
        Some(self.interfaces.first()?.address6?.address)
    }

    /// The addresses of the first interface, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        std::iter::once(self.address()).chain(self.address6())
    }
}

impl InterfaceSpec {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = Cidr> + use<> {
        std::iter::once(self.address).chain(self.address6)
    }
}

/// Every address of a host, the VIPs too, in both families: where a backend's server listens.
#[must_use]
pub fn everywhere(port: u16) -> [SocketAddr; 2] {
    [
        (Ipv4Addr::UNSPECIFIED, port).into(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_tables_hold_together() {
        for topology in ALL {
            let mut seen = HashSet::new();
            for host in topology.hosts {
                assert!(seen.insert(host.name.to_owned()), "{} twice", host.name);
                assert!(
                    host.name
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                );
                assert!(!host.interfaces.is_empty());
                for interface in host.interfaces {
                    assert!(topology.bridges.contains(&interface.bridge));
                    assert!(seen.insert(interface.mac.to_string()), "{}", interface.mac);
                    for address in interface.addresses() {
                        assert!(seen.insert(address.to_string()), "{address} twice");
                    }
                    assert_eq!(interface.address6.is_some(), topology.vip6.is_some());
                }
                for route in host.routes {
                    assert!(topology.vip6.is_some() || route.via.is_ipv4());
                    assert!(route.to == "default" || route.to.contains(':') == route.via.is_ipv6());
                }
                for vip in topology.vips() {
                    assert!(!seen.contains(&format!("{vip}/64")), "{vip} is a host's");
                }
            }
            assert_eq!(topology.with_role(Role::Balancer).count(), 1);
        }
    }

    #[test]
    fn the_tutorial_has_the_published_addresses() {
        let expected = [
            ("client", "de:ad:be:ef:00:01", "10.0.0.1/24"),
            ("lb", "de:ad:be:ef:00:10", "10.0.0.10/24"),
            ("h2", "de:ad:be:ef:00:02", "10.0.0.2/24"),
            ("h3", "de:ad:be:ef:00:03", "10.0.0.3/24"),
        ];
        for (name, mac, address) in expected {
            let port = &TUTORIAL.host(name).unwrap().interfaces[0];
            assert_eq!(
                (
                    port.mac.to_string().as_str(),
                    port.address.to_string().as_str()
                ),
                (mac, address)
            );
        }
        assert_eq!(TUTORIAL.host("lb").unwrap().interfaces[0].name, "veth6");
    }
}
