//! Backends that are clients of their own service.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use evenkeel_tests::support::{
    Family, PORT, Scene, Service, datagrams, dropped, requests, transfer,
};
use lab::fetch::Datagram;
use lab::topology::TUTORIAL;

const REQUESTS: usize = 40;

#[test]
fn in_nat_a_backend_reaches_itself_and_others_through_one_interface() {
    let mut scene = Scene::new(&TUTORIAL, "hairpin");
    let backends = scene.backends(Family::V4);
    scene.balance(&Service::both(scene.vip().into(), "nat", &backends));
    for host in ["h2", "h3"] {
        assert_served(&scene, host, scene.vip().into());
    }
    assert_eq!(dropped(&scene.status()), []);
}

#[test]
fn in_nat_a_backend_reaches_itself_and_others_through_its_gateway() {
    let scene = Scene::in_mode("nat", "hairpin");
    for family in Family::BOTH {
        let service = SocketAddr::new(scene.vip_of(family), PORT);
        for host in ["h2", "h3"] {
            assert_served(&scene, host, service);
        }
        // Clients are served beside them.
        assert_eq!(requests(&scene.client(), service, REQUESTS).len(), 2);
    }
    assert_eq!(dropped(&scene.status()), []);
}

fn assert_served(scene: &Scene, host: &str, service: SocketAddr) {
    let client = scene.host(host);
    for by_server in [
        requests(&client, service, REQUESTS),
        datagrams(&client, service, REQUESTS, Datagram::Short),
        datagrams(&client, service, REQUESTS, Datagram::Echoed(4_000)),
    ] {
        let servers: Vec<_> = by_server.keys().collect();
        assert_eq!(servers, ["h2", "h3"], "{host} to {service}");
    }
    transfer(&client, service, 1_000_000);
}
