//! Networks with routers between them.

use std::net::Ipv4Addr;

use super::network::{FORWARDS, Network, fd00, host, route};
use super::{HostSpec, InterfaceSpec, Role, RouteSpec, Topology};

/// Clients, load balancer and backends on three networks.
pub static ROUTED: Topology = Topology {
    name: "routed",
    about: "three clients behind a router, the load balancer on two networks, two backends",
    bridges: &["clients", "front", "backends"],
    hosts: &[
        client("c1", &[CLIENTS.port("eth0", 1)]),
        client("c2", &[CLIENTS.port("eth0", 2)]),
        client("c3", &[CLIENTS.port("eth0", 3)]),
        HostSpec {
            sysctls: FORWARDS,
            ..host(
                "r1",
                Role::Router,
                &[CLIENTS.port("eth0", 254), FRONT.port("eth1", 1)],
                &[
                    route("192.0.2.100/32", FRONT.at(10)),
                    route("10.2.0.0/24", FRONT.at(10)),
                    route("fd00:f::100/128", FRONT.at6(10)),
                    route("fd00:2::/64", FRONT.at6(10)),
                ],
            )
        },
        HostSpec {
            sysctls: FORWARDS,
            ..host(
                "lb",
                Role::Balancer,
                &[FRONT.port("eth0", 10), BACKENDS.port("eth1", 10)],
                &[
                    route("default", FRONT.at(1)),
                    route("default", FRONT.at6(1)),
                ],
            )
        },
        routed_backend("h2", &[BACKENDS.port("eth0", 2)]),
        routed_backend("h3", &[BACKENDS.port("eth0", 3)]),
    ],
    vip: Ipv4Addr::new(192, 0, 2, 100),
    vip6: Some(fd00(0xf, 100)),
};

/// Backends behind a router of their own, which only a tunnel gets a VIP's packets through.
pub static TUNNEL: Topology = Topology {
    name: "tunnel",
    about: "two clients, the load balancer, and four backends that have the VIP, a router apart",
    bridges: &["clients", "front", "backends"],
    hosts: &[
        client("c1", &[CLIENTS.port("eth0", 1)]),
        client("c2", &[CLIENTS.port("eth0", 2)]),
        HostSpec {
            sysctls: FORWARDS,
            ..host(
                "r1",
                Role::Router,
                &[CLIENTS.port("eth0", 254), FRONT.port("eth1", 1)],
                &[
                    route("192.0.2.100/32", FRONT.at(10)),
                    route("10.2.0.0/24", FRONT.at(2)),
                    route("fd00:f::100/128", FRONT.at6(10)),
                    route("fd00:2::/64", FRONT.at6(2)),
                ],
            )
        },
        host(
            "lb",
            Role::Balancer,
            &[FRONT.port("eth0", 10)],
            &[
                route("default", FRONT.at(1)),
                route("10.2.0.0/24", FRONT.at(2)),
                route("default", FRONT.at6(1)),
                route("fd00:2::/64", FRONT.at6(2)),
            ],
        ),
        HostSpec {
            sysctls: FORWARDS,
            ..host(
                "r2",
                Role::Router,
                &[FRONT.port("eth0", 2), BACKENDS.port("eth1", 254)],
                &[
                    route("default", FRONT.at(1)),
                    route("default", FRONT.at6(1)),
                ],
            )
        },
        tunnel_backend("h2", &[BACKENDS.port("eth0", 2)]),
        tunnel_backend("h3", &[BACKENDS.port("eth0", 3)]),
        tunnel_backend("h4", &[BACKENDS.port("eth0", 4)]),
        tunnel_backend("h6", &[BACKENDS.port("eth0", 6)]),
    ],
    vip: Ipv4Addr::new(192, 0, 2, 100),
    vip6: Some(fd00(0xf, 100)),
};

const CLIENTS: Network = Network {
    bridge: "clients",
    mac: 1,
    v4: [10, 1, 0],
    v6: 1,
};

const FRONT: Network = Network {
    bridge: "front",
    mac: 2,
    v4: [192, 0, 2],
    v6: 0xf,
};

const BACKENDS: Network = Network {
    bridge: "backends",
    mac: 3,
    v4: [10, 2, 0],
    v6: 2,
};

const fn client(name: &'static str, interfaces: &'static [InterfaceSpec]) -> HostSpec {
    const ROUTES: &[RouteSpec] = &[
        route("default", CLIENTS.at(254)),
        route("default", CLIENTS.at6(254)),
    ];
    host(name, Role::Client, interfaces, ROUTES)
}

/// Its answers go through the load balancer, which mode `dnat` needs.
const fn routed_backend(name: &'static str, interfaces: &'static [InterfaceSpec]) -> HostSpec {
    const ROUTES: &[RouteSpec] = &[
        route("default", BACKENDS.at(10)),
        route("default", BACKENDS.at6(10)),
    ];
    host(name, Role::Backend, interfaces, ROUTES)
}

/// It has the VIP, and runs an XDP program that takes off the outer header.
const fn tunnel_backend(name: &'static str, interfaces: &'static [InterfaceSpec]) -> HostSpec {
    const ROUTES: &[RouteSpec] = &[
        route("default", BACKENDS.at(254)),
        route("default", BACKENDS.at6(254)),
    ];
    HostSpec {
        vip_on: Some("lo"),
        runs_xdp: true,
        ..host(name, Role::Backend, interfaces, ROUTES)
    }
}
