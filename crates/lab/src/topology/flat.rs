//! Everyone on one network.

use std::net::{IpAddr, Ipv4Addr};

use super::network::{Network, fd00, host};
use super::{Cidr, HostSpec, InterfaceSpec, Mac, Role, Sysctl, Topology};

/// The published tutorial's network: everyone on one bridge.
pub static TUTORIAL: Topology = Topology {
    name: "tutorial",
    about: "one client, the load balancer and two backends on one network",
    bridges: &["br0"],
    hosts: &[
        host(
            "client",
            Role::Client,
            &[tutorial_port("eth0", 0x01, 1)],
            &[],
        ),
        host(
            "lb",
            Role::Balancer,
            &[tutorial_port("veth6", 0x10, 10)],
            &[],
        ),
        host("h2", Role::Backend, &[tutorial_port("eth0", 0x02, 2)], &[]),
        host("h3", Role::Backend, &[tutorial_port("eth0", 0x03, 3)], &[]),
    ],
    vip: Ipv4Addr::new(10, 0, 0, 10),
    vip6: None,
};

/// The tutorial with three clients and three backends.
pub static CROWD: Topology = Topology {
    name: "crowd",
    about: "the tutorial's network with three clients and three backends",
    bridges: &["br0"],
    hosts: &[
        host(
            "client",
            Role::Client,
            &[tutorial_port("eth0", 0x01, 1)],
            &[],
        ),
        host(
            "client2",
            Role::Client,
            &[tutorial_port("eth0", 0x04, 4)],
            &[],
        ),
        host(
            "client3",
            Role::Client,
            &[tutorial_port("eth0", 0x05, 5)],
            &[],
        ),
        host(
            "lb",
            Role::Balancer,
            &[tutorial_port("veth6", 0x10, 10)],
            &[],
        ),
        host("h2", Role::Backend, &[tutorial_port("eth0", 0x02, 2)], &[]),
        host("h3", Role::Backend, &[tutorial_port("eth0", 0x03, 3)], &[]),
        host("h6", Role::Backend, &[tutorial_port("eth0", 0x06, 6)], &[]),
    ],
    vip: Ipv4Addr::new(10, 0, 0, 10),
    vip6: None,
};

/// Direct server return: the backends have the VIP too, and answer clients themselves.
pub static L2DSR: Topology = Topology {
    name: "l2dsr",
    about: "one network with IPv6, the VIP on the load balancer and on three backends' loopbacks",
    bridges: &["br0"],
    hosts: &[
        host("client", Role::Client, &[SEGMENT.port("eth0", 1)], &[]),
        HostSpec {
            // Here and nowhere else the VIP is asked for by ARP and neighbour discovery.
            vip_on: Some("eth0"),
            ..host("lb", Role::Balancer, &[SEGMENT.port("eth0", 10)], &[])
        },
        dsr_backend("h2", &[SEGMENT.port("eth0", 2)]),
        dsr_backend("h3", &[SEGMENT.port("eth0", 3)]),
        dsr_backend("h6", &[SEGMENT.port("eth0", 6)]),
    ],
    vip: Ipv4Addr::new(10, 4, 0, 100),
    vip6: Some(fd00(4, 100)),
};

const SEGMENT: Network = Network {
    bridge: "br0",
    mac: 4,
    v4: [10, 4, 0],
    v6: 4,
};

const fn dsr_backend(name: &'static str, interfaces: &'static [InterfaceSpec]) -> HostSpec {
    HostSpec {
        vip_on: Some("lo"),
        sysctls: KEEPS_QUIET,
        ..host(name, Role::Backend, interfaces, &[])
    }
}

/// IPv6 needs nothing of this kind: neighbour discovery answers for an interface's own
/// addresses only, and asks from one of them.
const KEEPS_QUIET: &[Sysctl] = &[
    Sysctl {
        setting: "net.ipv4.conf.all.arp_ignore=1",
        why: "does not answer who has the VIP: the load balancer does",
    },
    Sysctl {
        setting: "net.ipv4.conf.all.arp_announce=2",
        why: "does not ask from the VIP, which would tell others that it is here",
    },
];

/// `mac` is written as the tutorial does: 10.0.0.10 has ...:10, read as hexadecimal.
const fn tutorial_port(name: &'static str, mac: u8, last: u8) -> InterfaceSpec {
    InterfaceSpec {
        name,
        mac: Mac([0xde, 0xad, 0xbe, 0xef, 0, mac]),
        address: Cidr {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
            prefix: 24,
        },
        address6: None,
        bridge: "br0",
    }
}
