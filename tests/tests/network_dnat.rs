//! Mode `dnat`: backends see their clients, and answer through the load balancer.

#![forbid(unsafe_code)]

use std::net::{SocketAddr, SocketAddrV4};

use evenkeel_tests::support::{
    Connection, Family, PATIENCE, PORT, Scene, Service, datagrams, dropped, eventually, reason,
    requests, transfer,
};
use lab::fetch::Datagram;
use lab::topology::ROUTED;

const REQUESTS: usize = 40;
/// Of services beside the first.
const SECOND: u16 = 8001;
const THIRD: u16 = 8002;

fn at(scene: &Scene, family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(scene.vip_of(family), port)
}

/// Requests, datagrams and transfers of a client, in both families; all of `servers` are used.
fn assert_all_served(scene: &Scene, port: u16, servers: &[&str]) {
    let client = scene.client();
    for family in Family::BOTH {
        let service = at(scene, family, port);
        for by_server in [
            requests(&client, service, REQUESTS),
            datagrams(&client, service, REQUESTS, Datagram::Short),
        ] {
            assert_eq!(by_server.keys().collect::<Vec<_>>(), servers, "{service}");
        }
        transfer(&client, service, 1_000_000);
    }
}

#[test]
fn requests_and_datagrams_of_both_families_are_answered_without_a_flow_table() {
    let scene = Scene::in_mode("dnat", "all");
    assert_all_served(&scene, PORT, &["h2", "h3"]);
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    // Of two families; a transfer each way.
    assert_eq!(reason(&status, "new_flow"), 2 * (REQUESTS as u64 + 2));
    assert!(reason(&status, "replied") > 4 * REQUESTS as u64);
    // The stack of the host finds a neighbour that is not known yet: one of each family.
    assert!(reason(&status, "replied_by_host") <= 2);
    assert_eq!(status.flows.established + status.flows.half_open, 0);
    for service in status.services {
        for backend in service.backends {
            assert!(backend.packets > 0, "{}: {backend:?}", service.service);
        }
    }
}

#[test]
fn the_hosts_own_connections_to_backends_are_no_answers_to_clients() {
    let mut scene = Scene::new(&ROUTED, "own");
    let checked = ["tcp", "http"].into_iter().flat_map(|kind| {
        let port = if kind == "tcp" { PORT } else { SECOND };
        Family::BOTH.map(|family| {
            let service = Service::tcp(at(&scene, family, port), "dnat");
            let backends = scene.backends(family);
            let health =
                format!("health = {{ type = \"{kind}\", interval = \"100ms\", fall = 1 }}");
            service.to(&backends).with(&health)
        })
    });
    let checked: Vec<_> = checked.collect();
    scene.serve_all(SECOND);
    scene.balance(&checked);
    for port in [PORT, SECOND] {
        for family in Family::BOTH {
            let servers = requests(&scene.client(), at(&scene, family, port), REQUESTS);
            assert_eq!(servers.len(), 2, "{servers:?}");
        }
    }
    let all = eventually("ten checks of each backend", PATIENCE, || {
        let checks = scene.checks();
        checks.iter().all(|it| it.0 + it.1 > 10).then_some(checks)
    });
    assert!(all.len() == 8 && all.iter().all(|it| it.1 == 0), "{all:?}");
    assert_eq!(dropped(&scene.status()), []);
}

#[test]
fn backends_see_the_clients_addresses_and_ports() {
    let scene = Scene::in_mode("dnat", "sees");
    let from: SocketAddrV4 = format!("{}:40000", scene.address("c2")).parse().unwrap();
    let open = || Connection::open(from, scene.vip());
    let mut connection = scene.host("c2").inside(open).unwrap().unwrap();
    assert_eq!(connection.ask().unwrap().client, from.into());
}

#[test]
fn backends_may_have_ports_of_their_own() {
    let mut scene = Scene::new(&ROUTED, "dnatports");
    scene.serve_as("second", "h2", SECOND);
    scene.serve_as("third", "h3", THIRD);
    let services = Family::BOTH.map(|family| {
        let [two, three] = scene.backends(family)[..] else {
            panic!("expected two backends");
        };
        let at = SocketAddr::new(scene.vip_of(family), 80);
        [Service::tcp(at, "dnat"), Service::udp(at, "dnat")].map(|service| {
            service
                .backend(&format!("address = \"{two}\", port = {SECOND}"))
                .backend(&format!("address = \"{three}\", port = {THIRD}"))
                .backend(&format!("address = \"{two}\", port = {PORT}"))
        })
    });
    scene.balance(&services.concat());
    assert_all_served(&scene, 80, &["h2", "second", "third"]);
    assert_eq!(dropped(&scene.status()), []);
}

#[test]
fn services_of_dnat_and_nat_stand_side_by_side() {
    let mut scene = Scene::new(&ROUTED, "dnatnat");
    for host in ["h2", "h3"] {
        scene.serve(host, SECOND);
        scene.serve(host, THIRD);
    }
    let dnat = scene.services("dnat", PORT);
    let nat = scene.services("nat", SECOND);
    let more = scene.services("dnat", THIRD);
    scene.balance(&[dnat, nat, more].concat());
    for port in [PORT, SECOND, THIRD, SECOND] {
        assert_all_served(&scene, port, &["h2", "h3"]);
    }
    // Past the services, at a port that none of dnat has.
    let own = SocketAddr::new(scene.address("h2").into(), SECOND);
    assert_eq!(requests(&scene.client(), own, 1).len(), 1);
    assert_eq!(dropped(&scene.status()), []);
}
