//! Services of every port, and of every address of a network.

#![forbid(unsafe_code)]

use std::convert::identity;
use std::net::{IpAddr, SocketAddr};

use evenkeel_tests::support::{
    Family, PORT, Scene, Service, datagrams, dropped, finish, ip, requests, transfer,
};
use lab::Topology;
use lab::fetch::Datagram;
use lab::topology::{L2DSR, ROUTED, Role, TUNNEL};

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

/// Services of both families and protocols at these addresses, which are of that order, with
/// backends of the same family or of the other one.
fn services(
    scene: &Scene,
    mode: &'static str,
    addresses: &[String; 2],
    backends: fn(Family) -> Family,
) -> Vec<Service> {
    let both = Family::BOTH.into_iter().zip(addresses);
    let both = both.flat_map(|(family, address)| {
        ["tcp", "udp"].map(|protocol| {
            let service = Service::at(format!("{protocol}://{address}"), mode);
            service.to(&scene.backends(backends(family)))
        })
    });
    both.collect()
}

/// A service's address for every port of the VIPs.
fn every_port(scene: &Scene) -> [String; 2] {
    Family::BOTH.map(|family| match scene.vip_of(family) {
        IpAddr::V4(vip) => format!("{vip}:*"),
        IpAddr::V6(vip) => format!("[{vip}]:*"),
    })
}

/// A service's address for [`PORT`] of every address in the networks.
fn prefixes() -> [String; 2] {
    let [v4, v6] = PREFIXES;
    [format!("{v4}:{PORT}"), format!("[{v6}]:{PORT}")]
}

fn assert_every_port(scene: &Scene) {
    for family in Family::BOTH {
        for port in PORTS {
            assert_served(scene, SocketAddr::new(scene.vip_of(family), port));
        }
    }
    assert_eq!(dropped(&scene.status()), []);
}

fn assert_every_address(scene: &Scene) {
    for address in INSIDE.concat() {
        let address = address.parse().expect("an address");
        assert_served(scene, SocketAddr::new(address, PORT));
    }
    assert_eq!(dropped(&scene.status()), []);
}

/// On this host the networks lead to the load balancer.
fn lead_to_the_balancer(scene: &Scene, host: &str) {
    let balancer = scene.balancer_host();
    let next_hops = [balancer.address(), balancer.address6()].map(|to| to.expect("both families"));
    for (prefix, via) in PREFIXES.iter().zip(next_hops) {
        ip(&scene.host(host), &format!("route add {prefix} via {via}"));
    }
}

/// Backends take every address in the networks as their own. The setting lets servers answer
/// datagrams from IPv6 addresses that only a route makes local.
fn give_backends_every_address(scene: &Scene, topology: &Topology) {
    for backend in topology.with_role(Role::Backend) {
        let host = scene.host(backend.name);
        for prefix in PREFIXES {
            ip(&host, &format!("route add local {prefix} dev lo"));
        }
        let mut setting = host.command("sysctl");
        setting.args(["-qw", "net.ipv6.ip_nonlocal_bind=1"]);
        assert_eq!(finish(&setting).code, Some(0));
    }
}

fn assert_every_port_through_the_balancer(mode: &'static str) {
    let mut scene = Scene::new(&ROUTED, &format!("ports{mode}"));
    for port in &PORTS[1..] {
        scene.serve_all(*port);
    }
    scene.balance(&services(&scene, mode, &every_port(&scene), identity));
    assert_every_port(&scene);
}

#[test]
fn in_nat_every_port_is_served() {
    assert_every_port_through_the_balancer("nat");
}

#[test]
fn in_dnat_every_port_is_served() {
    assert_every_port_through_the_balancer("dnat");
}

#[test]
fn in_nat_every_address_of_a_prefix_is_served() {
    let mut scene = Scene::new(&ROUTED, "prefix");
    lead_to_the_balancer(&scene, "r1");
    scene.balance(&services(&scene, "nat", &prefixes(), identity));
    assert_every_address(&scene);
}

/// Services of every port and of networks side by side.
fn assert_wide(scene: &mut Scene, mode: &'static str, backends: fn(Family) -> Family) {
    for port in &PORTS[1..] {
        scene.serve_all(*port);
    }
    let addresses = [every_port(scene), prefixes()];
    let services = addresses.map(|addresses| services(scene, mode, &addresses, backends));
    scene.balance(&services.concat());
    assert_every_port(scene);
    assert_every_address(scene);
}

#[test]
fn in_l2_dsr_every_port_and_every_address_of_a_prefix_is_served() {
    let mut scene = Scene::new(&L2DSR, "wide");
    lead_to_the_balancer(&scene, "client");
    give_backends_every_address(&scene, &L2DSR);
    assert_wide(&mut scene, "l2-dsr", identity);
}

fn assert_wide_in_tunnels(mode: &'static str, test: &str, backends: fn(Family) -> Family) {
    let mut scene = Scene::roomy_tunnel(&format!("{test}{mode}"));
    lead_to_the_balancer(&scene, "r1");
    give_backends_every_address(&scene, &TUNNEL);
    let vips = TUNNEL.vips().map(|vip| vip.to_string());
    let taken: Vec<_> = vips.chain(PREFIXES.map(str::to_owned)).collect();
    scene.decapsulate_for(&taken);
    assert_wide(&mut scene, mode, backends);
}

#[test]
fn in_ipip_every_port_and_every_address_of_a_prefix_is_served() {
    assert_wide_in_tunnels("ipip", "wide", identity);
}

#[test]
fn in_gue_every_port_and_every_address_of_a_prefix_is_served() {
    assert_wide_in_tunnels("gue", "wide", identity);
}

#[test]
fn in_ipip_every_port_and_every_address_of_a_prefix_is_served_by_the_other_family() {
    assert_wide_in_tunnels("ipip", "mixed", Family::other);
}

#[test]
fn in_gue_every_port_and_every_address_of_a_prefix_is_served_by_the_other_family() {
    assert_wide_in_tunnels("gue", "mixed", Family::other);
}
