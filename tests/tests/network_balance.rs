//! Many clients at once: connections, datagrams, ports that collide.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use evenkeel_tests::support::{Answer, Connection, PORT, Scene, dropped, reason};
use lab::fetch::{FetchOptions, HoldOptions, HoldReport, Report, fetch, hold, udp};
use lab::topology::CROWD;

const CLIENTS: [&str; 3] = ["client", "client2", "client3"];
/// Backends and their weights.
const WEIGHTS: [(&str, u32); 3] = [("h2", 1), ("h3", 2), ("h6", 1)];
const FIRST_PORT: u16 = 40_000;

/// `crowd`, balancing TCP and UDP by [`WEIGHTS`].
fn crowd(test: &str) -> Scene {
    let mut scene = Scene::new(&CROWD, test);
    let mut backends = String::new();
    for (host, weight) in WEIGHTS {
        let address = scene.address(host);
        backends += &format!("{{ address = \"{address}\", weight = {weight} }}, ");
    }
    let mut config = "interfaces = [\"veth6\"]\n".to_owned();
    for protocol in ["tcp", "udp"] {
        let vip = scene.vip();
        config +=
            &format!("[[service]]\naddress = \"{protocol}://{vip}\"\nbackends = [{backends}]\n");
    }
    scene.run_config(&config, "auto");
    scene
}

/// Does the same on every client at once, each from the same ports.
fn on_all_clients(
    scene: &Scene,
    requests: usize,
    work: fn(&FetchOptions) -> lab::Result<Report>,
) -> Vec<Report> {
    let start = |client| {
        let options = FetchOptions {
            requests,
            // As many at a time as keeps two cores busy; with a port each, none is used twice.
            concurrency: 32,
            sources: sources(scene, client, requests),
            timeout: Duration::from_secs(10),
            ..FetchOptions::new(scene.target())
        };
        scene.host(client).thread(move || work(&options)).unwrap()
    };
    let threads = CLIENTS.map(start);
    let reports = threads.map(|thread| thread.join().unwrap().unwrap().unwrap());
    reports.into()
}

fn sources(scene: &Scene, client: &str, count: usize) -> Vec<SocketAddr> {
    let address = scene.address(client).into();
    let ports = (FIRST_PORT..).take(count);
    ports.map(|port| SocketAddr::new(address, port)).collect()
}

/// Answers by server, all of them there.
fn all_answered(reports: &[Report], requests: usize) -> BTreeMap<String, usize> {
    let mut by_server = BTreeMap::new();
    for report in reports {
        assert_eq!(report.summary.failures, BTreeMap::new());
        assert_eq!(report.summary.answered, requests);
        for (server, count) in &report.summary.by_server {
            *by_server.entry(server.clone()).or_default() += count;
        }
    }
    by_server
}

/// Fails when a backend's part of `total` flows is further from its weight than chance explains:
/// four standard deviations of the binomial distribution, which one of 16,000 flawless rings
/// would miss. Addresses, ports and seed are the same every time, so the outcome is, too.
fn assert_spread_by_weight(by_server: &BTreeMap<String, usize>, total: usize) {
    let sum: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    for (server, weight) in WEIGHTS {
        let share = f64::from(weight) / f64::from(sum);
        let expected = share * total as f64;
        let tolerance = 4.0 * (expected * (1.0 - share)).sqrt();
        let found = by_server.get(server).copied().unwrap_or(0);
        assert!(
            (found as f64 - expected).abs() < tolerance,
            "{server}: expected {expected:.0} +- {tolerance:.0} of {total} flows, found {found}"
        );
    }
}

#[test]
fn a_thousand_short_connections_from_the_same_ports_of_three_clients_are_answered_by_weight() {
    const EACH: usize = 334;
    let scene = crowd("short");
    let reports = on_all_clients(&scene, EACH, fetch);
    let by_server = all_answered(&reports, EACH);
    assert_spread_by_weight(&by_server, EACH * CLIENTS.len());

    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert_eq!(reason(&status, "new_flow"), (EACH * CLIENTS.len()) as u64);
    for ((server, _), backend) in WEIGHTS.iter().zip(&status.services[0].backends) {
        assert_eq!(backend.new_flows, by_server[*server] as u64, "{server}");
        assert!(backend.reply_packets >= 3 * backend.new_flows, "{server}");
    }
}

#[test]
fn connections_from_the_same_port_reach_their_backends_from_different_ones() {
    const EACH: u16 = 50;
    let scene = crowd("ports");
    let (vip, balancer) = (scene.vip(), scene.address("lb"));
    let mut seen = BTreeSet::new();
    let mut kept = 0;
    let mut open = Vec::new();
    for port in FIRST_PORT..FIRST_PORT + EACH {
        for client in CLIENTS {
            let from = SocketAddrV4::new(scene.address(client), port);
            let connect = || Connection::open(from, vip);
            let mut connection = scene.host(client).inside(connect).unwrap().unwrap();
            let Answer { server, client } = connection.ask().unwrap();
            assert_eq!(client.ip(), balancer);
            kept += u32::from(client.port() == port);
            assert!(
                seen.insert((server.clone(), client)),
                "{server} sees {client} twice"
            );
            open.push((server, client, connection));
        }
    }
    // The first of three to a backend keeps its port; a second or third cannot.
    let (ports, connections) = (u32::from(EACH), seen.len() as u32);
    assert!((ports..connections).contains(&kept), "{kept} kept theirs");
    for (server, client, mut connection) in open {
        let answer = connection.ask().unwrap();
        assert_eq!(answer, Answer { server, client });
    }
    assert_eq!(dropped(&scene.status()), []);
}

#[test]
fn long_connections_stay_with_their_backends() {
    const CONNECTIONS: usize = 64;
    let scene = crowd("long");
    let options = HoldOptions {
        lasting: Duration::from_secs(4),
        ..HoldOptions::new(FetchOptions {
            concurrency: CONNECTIONS,
            timeout: Duration::from_secs(10),
            ..FetchOptions::new(scene.target())
        })
    };
    let HoldReport {
        opened,
        answered,
        by_server,
        broken,
        ..
    } = scene
        .host("client")
        .inside(|| hold(&options))
        .unwrap()
        .unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(opened, CONNECTIONS);
    assert_eq!(by_server.len(), WEIGHTS.len(), "{by_server:?}");
    // 40 rounds fit into the time; a busy machine may be late, but hardly ten times.
    assert!(answered > 4 * CONNECTIONS, "{answered} requests");
    assert_eq!(dropped(&scene.status()), []);
}

#[test]
fn datagrams_from_the_same_ports_of_three_clients_are_answered_by_weight() {
    const EACH: usize = 200;
    let scene = crowd("datagram");
    let reports = on_all_clients(&scene, EACH, udp);
    let by_server = all_answered(&reports, EACH);
    assert_spread_by_weight(&by_server, EACH * CLIENTS.len());

    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert_eq!(status.services[1].service, format!("udp://{}", scene.vip()));
    let replies: u64 = status.services[1]
        .backends
        .iter()
        .map(|b| b.reply_packets)
        .sum();
    assert_eq!(replies, (EACH * CLIENTS.len()) as u64);
    assert_eq!(scene.vip().port(), PORT);
}
