//! Topologies as data: which hosts there are and what they are connected to.
//!
//! A topology says nothing about how it is built; that is `plan`'s work.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

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
    pub sysctls: &'static [(&'static str, &'static str)],
}

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends requests.
    Client,
    /// Runs the load balancer; the far ends of its links get what XDP needs.
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
    /// The bridge, one of [`Topology::bridges`].
    pub bridge: &'static str,
}

/// One static route.
#[derive(Debug)]
pub struct RouteSpec {
    /// `default` or a prefix.
    pub to: &'static str,
    /// The next hop.
    pub via: Ipv4Addr,
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

/// The published tutorial's network: everyone on one bridge.
pub static TUTORIAL: Topology = Topology {
    name: "tutorial",
    about: "one client, the load balancer and two backends on one network",
    bridges: &["br0"],
    hosts: &[
        flat("client", Role::Client, &[tutorial_port("eth0", 0x01, 1)]),
        flat("lb", Role::Balancer, &[tutorial_port("veth6", 0x10, 10)]),
        flat("h2", Role::Backend, &[tutorial_port("eth0", 0x02, 2)]),
        flat("h3", Role::Backend, &[tutorial_port("eth0", 0x03, 3)]),
    ],
    vip: Ipv4Addr::new(10, 0, 0, 10),
};

/// The tutorial with three clients and three backends.
pub static CROWD: Topology = Topology {
    name: "crowd",
    about: "the tutorial's network with three clients and three backends",
    bridges: &["br0"],
    hosts: &[
        flat("client", Role::Client, &[tutorial_port("eth0", 0x01, 1)]),
        flat("client2", Role::Client, &[tutorial_port("eth0", 0x04, 4)]),
        flat("client3", Role::Client, &[tutorial_port("eth0", 0x05, 5)]),
        flat("lb", Role::Balancer, &[tutorial_port("veth6", 0x10, 10)]),
        flat("h2", Role::Backend, &[tutorial_port("eth0", 0x02, 2)]),
        flat("h3", Role::Backend, &[tutorial_port("eth0", 0x03, 3)]),
        flat("h6", Role::Backend, &[tutorial_port("eth0", 0x06, 6)]),
    ],
    vip: Ipv4Addr::new(10, 0, 0, 10),
};

/// Clients, load balancer and backends on three networks.
pub static ROUTED: Topology = Topology {
    name: "routed",
    about: "three clients behind a router, the load balancer on two networks, two backends",
    bridges: &["clients", "front", "backends"],
    hosts: &[
        routed_client("c1", &[routed_port("eth0", "clients", 1, [10, 1, 0, 1])]),
        routed_client("c2", &[routed_port("eth0", "clients", 1, [10, 1, 0, 2])]),
        routed_client("c3", &[routed_port("eth0", "clients", 1, [10, 1, 0, 3])]),
        HostSpec {
            name: "r1",
            role: Role::Router,
            interfaces: &[
                routed_port("eth0", "clients", 1, [10, 1, 0, 254]),
                routed_port("eth1", "front", 2, [192, 0, 2, 1]),
            ],
            routes: &[
                route("192.0.2.100/32", [192, 0, 2, 10]),
                route("10.2.0.0/24", [192, 0, 2, 10]),
            ],
            sysctls: FORWARDS,
        },
        HostSpec {
            name: "lb",
            role: Role::Balancer,
            interfaces: &[
                routed_port("eth0", "front", 2, [192, 0, 2, 10]),
                routed_port("eth1", "backends", 3, [10, 2, 0, 10]),
            ],
            routes: &[route("default", [192, 0, 2, 1])],
            sysctls: FORWARDS,
        },
        routed_backend("h2", &[routed_port("eth0", "backends", 3, [10, 2, 0, 2])]),
        routed_backend("h3", &[routed_port("eth0", "backends", 3, [10, 2, 0, 3])]),
    ],
    vip: Ipv4Addr::new(192, 0, 2, 100),
};

/// Every topology, in the order of the documents.
pub static ALL: [&Topology; 3] = [&TUTORIAL, &CROWD, &ROUTED];

/// Makes a host a router of the plain kind.
const FORWARDS: &[(&str, &str)] = &[("net.ipv4.ip_forward", "1")];

const fn flat(name: &'static str, role: Role, interfaces: &'static [InterfaceSpec]) -> HostSpec {
    HostSpec {
        name,
        role,
        interfaces,
        routes: &[],
        sysctls: &[],
    }
}

const fn routed_client(name: &'static str, interfaces: &'static [InterfaceSpec]) -> HostSpec {
    const ROUTES: &[RouteSpec] = &[route("default", [10, 1, 0, 254])];
    HostSpec {
        name,
        role: Role::Client,
        interfaces,
        routes: ROUTES,
        sysctls: &[],
    }
}

const fn routed_backend(name: &'static str, interfaces: &'static [InterfaceSpec]) -> HostSpec {
    const ROUTES: &[RouteSpec] = &[route("default", [10, 2, 0, 10])];
    HostSpec {
        name,
        role: Role::Backend,
        interfaces,
        routes: ROUTES,
        sysctls: &[],
    }
}

/// `mac` is written as the tutorial does: 10.0.0.10 has ...:10, read as hexadecimal.
const fn tutorial_port(name: &'static str, mac: u8, last: u8) -> InterfaceSpec {
    InterfaceSpec {
        name,
        mac: Mac([0xde, 0xad, 0xbe, 0xef, 0, mac]),
        address: v4([10, 0, 0, last]),
        bridge: "br0",
    }
}

/// The MAC ends in the network's number and the address's last byte.
const fn routed_port(
    name: &'static str,
    bridge: &'static str,
    network: u8,
    address: [u8; 4],
) -> InterfaceSpec {
    InterfaceSpec {
        name,
        mac: Mac([0xde, 0xad, 0xbe, 0xef, network, address[3]]),
        address: v4(address),
        bridge,
    }
}

const fn v4(address: [u8; 4]) -> Cidr {
    let [a, b, c, d] = address;
    Cidr {
        address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        prefix: 24,
    }
}

const fn route(to: &'static str, via: [u8; 4]) -> RouteSpec {
    let [a, b, c, d] = via;
    RouteSpec {
        to,
        via: Ipv4Addr::new(a, b, c, d),
    }
}

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
}

impl HostSpec {
    /// The address of the first interface.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.interfaces
            .first()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |interface| {
                interface.address.address
            })
    }
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
                    assert!(seen.insert(interface.address.to_string()));
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
