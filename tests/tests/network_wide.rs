//! Services of every port, and of every address of a network.

#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use evenkeel_tests::support::{
    Family, PORT, Scene, Service, datagrams, dropped, ip, requests, transfer,
};
use lab::fetch::Datagram;
use lab::topology::{L2DSR, ROUTED};

const REQUESTS: usize = 40;
const PORTS: [u16; 3] = [PORT, 8001, 9000];
/// Networks that lead to the load balancer, and addresses in them.
const PREFIXES: [&str; 2] = ["198.51.100.0/24", "2001:db8:7::/64"];
const INSIDE: [[&str; 2]; 2] = [
    ["198.51.100.1", "198.51.100.254"],
    ["2001:db8:7::1", "2001:db8:7::ffff:1"],
];

fn assert_served(scene: &Scene, service: SocketAddr) {
    let client = scene.client();
    for by_server in [
        requests(&client, service, REQUESTS),
        datagrams(&client, service, REQUESTS, Datagram::Short),
        datagrams(&client, service, REQUESTS, Datagram::Echoed(4_000)),
    ] {
        assert!(by_server.len() >= 2, "{service}: {by_server:?}");
    }
    transfer(&client, service, 100_000);
}

/// Services of both families and protocols at these addresses, which are of that order.
fn services(scene: &Scene, mode: &'static str, addresses: [&str; 2]) -> Vec<Service> {
    let both = Family::BOTH.into_iter().zip(addresses);
    let both = both.flat_map(|(family, address)| {
        ["tcp", "udp"].map(|protocol| {
            let service = Service::at(format!("{protocol}://{address}"), mode);
            service.to(&scene.backends(family))
        })
    });
    both.collect()
}

fn assert_every_port(mode: &'static str) {
    let mut scene = Scene::new(&ROUTED, &format!("ports{mode}"));
    for host in ["h2", "h3"] {
        for port in &PORTS[1..] {
            scene.serve(host, *port);
        }
    }
    let addresses = Family::BOTH.map(|family| match scene.vip_of(family) {
        IpAddr::V4(vip) => format!("{vip}:*"),
        IpAddr::V6(vip) => format!("[{vip}]:*"),
    });
    scene.balance(&services(&scene, mode, [&addresses[0], &addresses[1]]));
    for family in Family::BOTH {
        for port in PORTS {
            assert_served(&scene, SocketAddr::new(scene.vip_of(family), port));
        }
    }
    assert_eq!(dropped(&scene.status()), []);
}

#[test]
fn in_nat_every_port_is_served() {
    assert_every_port("nat");
}

#[test]
fn in_dnat_every_port_is_served() {
    assert_every_port("dnat");
}

fn assert_every_address(scene: &Scene) {
    for address in INSIDE.concat() {
        let address = address.parse().expect("an address");
        assert_served(scene, SocketAddr::new(address, PORT));
    }
    assert_eq!(dropped(&scene.status()), []);
}

fn prefixes() -> [String; 2] {
    [
        format!("{}:{PORT}", PREFIXES[0]),
        format!("[{}]:{PORT}", PREFIXES[1]),
    ]
}

#[test]
fn in_nat_every_address_of_a_prefix_is_served() {
    let mut scene = Scene::new(&ROUTED, "prefix");
    let router = scene.host("r1");
    for (prefix, via) in PREFIXES.iter().zip(["192.0.2.10", "fd00:f::10"]) {
        ip(&router, &format!("route add {prefix} via {via}"));
    }
    let [v4, v6] = prefixes();
    scene.balance(&services(&scene, "nat", [&v4, &v6]));
    assert_every_address(&scene);
}

#[test]
fn in_l2_dsr_every_address_of_a_prefix_is_served() {
    let mut scene = Scene::new(&L2DSR, "prefix");
    for (prefix, via) in PREFIXES.iter().zip(["10.4.0.10", "fd00:4::10"]) {
        ip(&scene.client(), &format!("route add {prefix} via {via}"));
    }
    // Every address by itself: a server may not answer from one that only a route makes local.
    for host in ["h2", "h3", "h6"] {
        for address in INSIDE.concat() {
            ip(&scene.host(host), &format!("address add {address} dev lo"));
        }
    }
    let [v4, v6] = prefixes();
    scene.balance(&services(&scene, "l2-dsr", [&v4, &v6]));
    assert_every_address(&scene);
}
