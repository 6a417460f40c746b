//! Flows are forgotten when they are over, and not before; closed ones rest.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use evenkeel_tests::support::{Connection, PATIENCE, PacketSocket, Scene, SynFlood, eventually};
use lab::fetch::{FetchOptions, udp};
use lab::topology::CROWD;

const CONFIG: &str = r#"
interfaces = ["veth6"]
[timeouts]
half_open = "1s"
udp = "1s"
rest = "5s"
[[service]]
address = "tcp://10.0.0.10:8000"
backends = ["10.0.0.2"]
[[service]]
address = "udp://10.0.0.10:8000"
backends = ["10.0.0.2"]
"#;

/// A question and an answer on a connection of its own; the port that the server saw.
fn ask(scene: &Scene, client: &str, port: u16) -> (Connection, SocketAddr) {
    let from = SocketAddrV4::new(scene.address(client), port);
    let opened = scene
        .host(client)
        .inside(|| Connection::open(from, scene.vip()))
        .unwrap();
    let mut connection = opened.unwrap();
    let seen = connection.ask().unwrap().client;
    (connection, seen)
}

#[test]
fn a_closed_flows_tuple_rests_before_another_client_gets_it() {
    let mut scene = Scene::new(&CROWD, "rest");
    scene.run_config(CONFIG, "auto");
    let (connection, first) = ask(&scene, "client", 40_000);
    assert_eq!(first, "10.0.0.10:40000".parse().unwrap());
    drop(connection);
    // Closed both ways, and still there.
    let (connection, second) = ask(&scene, "client2", 40_000);
    assert_ne!(second, first);
    drop(connection);

    let start = Instant::now();
    eventually("no flow is left", PATIENCE, || {
        (scene.status().flows.established == 0).then_some(())
    });
    assert!(
        start.elapsed() > Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    let (_connection, third) = ask(&scene, "client3", 40_000);
    assert_eq!(third, first);
}

#[test]
fn an_open_connection_outlives_the_timeouts_of_the_others() {
    let mut scene = Scene::new(&CROWD, "idle");
    scene.run_config(CONFIG, "auto");
    let (mut connection, _) = ask(&scene, "client", 40_000);
    let options = FetchOptions {
        requests: 10,
        ..FetchOptions::new(scene.target())
    };
    let report = scene.host("client2").inside(|| udp(&options)).unwrap();
    assert_eq!(report.unwrap().summary.answered, 10);
    // The backend answers, but nobody completes these handshakes.
    let balancer = [0xde, 0xad, 0xbe, 0xef, 0, 0x10];
    let mut syns = SynFlood::new(scene.vip(), balancer, [0xde, 0xad, 0xbe, 0xef, 0, 1]);
    syns.send(&PacketSocket::open(&scene.host("client"), "eth0"), 20);
    eventually("all flows are there", PATIENCE, || {
        let flows = scene.status().flows;
        ((flows.established, flows.half_open) == (11, 20)).then_some(())
    });
    eventually("only the connection is left", PATIENCE, || {
        let flows = scene.status().flows;
        ((flows.established, flows.half_open) == (1, 0)).then_some(())
    });
    assert_eq!(connection.ask().unwrap().server, "h2");
}
