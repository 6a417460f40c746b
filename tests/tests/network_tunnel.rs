//! Modes `ipip` and `gue` to backends behind a router, which run `evenkeel decap`.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use evenkeel_tests::support::{
    Family, PORT, Scene, Service, datagrams, dropped, reason, requests, transfer,
};
use lab::fetch::Datagram;
use lab::topology::TUNNEL;

const REQUESTS: usize = 60;
const BYTES: u64 = 300_000;
/// A port for each mode with backends of the service's family, and for each with the other's.
const PORTS: [(u16, &str, bool); 4] = [
    (PORT, "ipip", false),
    (8001, "ipip", true),
    (8002, "gue", false),
    (8003, "gue", true),
];

/// Services of every mode, family, protocol and family of backends in one instance.
fn services(scene: &Scene) -> Vec<Service> {
    let mut services = Vec::new();
    for (port, mode, is_mixed) in PORTS {
        for family in Family::BOTH {
            let at = SocketAddr::new(scene.vip_of(family), port);
            let outer = if is_mixed { family.other() } else { family };
            services.extend(Service::both(at, mode, &scene.backends(outer)));
        }
    }
    services
}

#[test]
fn requests_and_datagrams_come_out_of_tunnels_of_every_mode_and_mix_of_families() {
    let mut scene = Scene::new(&TUNNEL, "tunnel");
    for (port, _, _) in &PORTS[1..] {
        scene.serve_all(*port);
    }
    scene.decapsulate();
    scene.balance(&services(&scene));
    let client = scene.client();
    let mut transfers = 0;
    for (port, mode, is_mixed) in PORTS {
        for family in Family::BOTH {
            let service = SocketAddr::new(scene.vip_of(family), port);
            for by_server in [
                requests(&client, service, REQUESTS),
                datagrams(&client, service, REQUESTS, Datagram::Short),
            ] {
                let servers: Vec<_> = by_server.keys().collect();
                let what = format!("{mode} to {service}, mixed: {is_mixed}");
                assert_eq!(servers, ["h2", "h3", "h4", "h6"], "{what}");
            }
            transfer(&client, service, BYTES);
            transfers += 2;
        }
    }
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    let new_flows = 8 * REQUESTS as u64 + transfers;
    assert_eq!(reason(&status, "new_flow"), new_flows);
    assert!(reason(&status, "forwarded") > 8 * REQUESTS as u64);
    assert_eq!(reason(&status, "replied"), 0);
    assert_eq!(status.flows.established + status.flows.half_open, 0);
}
