//! What is not for a service is left alone: the load balancer's own traffic and that of others.

#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use evenkeel_tests::support::{Connection, PORT, Scene, dropped, finish, reason, requests};
use lab::topology::TUTORIAL;

const RUN: &str = "veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 10.0.0.3";
/// A port of the load balancer's host that no service has.
const OWN_PORT: u16 = 2222;
const REQUESTS: usize = 20;

/// A lab whose load balancer has a server of its own.
fn scene(test: &str) -> Scene {
    let mut scene = Scene::new(&TUTORIAL, test);
    scene.serve("lb", OWN_PORT);
    scene
}

/// Requests from one host to another, all answered; who answered is returned.
fn servers(scene: &Scene, from: &str, to: SocketAddr) -> Vec<String> {
    let by_server = requests(&scene.host(from), to, REQUESTS);
    by_server.into_keys().collect()
}

fn address(scene: &Scene, host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(scene.address(host).into(), port)
}

#[test]
fn the_hosts_own_traffic_passes_while_it_balances() {
    let mut scene = scene("own");
    scene.run(RUN);
    let own = address(&scene, "lb", OWN_PORT);
    let (h2, h3) = (address(&scene, "h2", PORT), address(&scene, "h3", PORT));
    assert_eq!(servers(&scene, "client", scene.vip().into()), ["h2", "h3"]);
    assert_eq!(servers(&scene, "client", own), ["lb"]);
    // Its own connections, to the very servers it balances to.
    assert_eq!(servers(&scene, "lb", h2), ["h2"]);
    assert_eq!(servers(&scene, "lb", h3), ["h3"]);
    assert_eq!(servers(&scene, "h2", own), ["lb"]);

    for from in ["client", "h2"] {
        let mut ping = scene.host(from).command("ping");
        ping.args(["-c", "3", "-i", "0.1", "-W", "2", "10.0.0.10"]);
        let pinged = finish(&ping);
        assert_eq!(pinged.code, Some(0), "{pinged:?}");
        assert!(pinged.stdout.contains(" 0% packet loss"), "{pinged:?}");
    }
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert!(reason(&status, "not_for_service") > 4 * 3 * REQUESTS as u64);
    assert!(reason(&status, "echo_answered") >= 6, "pings");
    assert_eq!(reason(&status, "new_flow"), REQUESTS as u64);
}

#[test]
fn an_unserved_udp_port_is_still_reported_unreachable() {
    let mut scene = Scene::new(&TUTORIAL, "unreach");
    scene.run(&RUN.replace("tcp:", "udp:"));
    let client = scene.host("client");
    let ask = |port: u16| {
        let socket = client.inside(|| UdpSocket::bind("10.0.0.1:0")).unwrap()?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.connect(("10.0.0.10", port))?;
        socket.send(b"anybody there?")?;
        socket.recv(&mut [0; 100])
    };
    assert!(ask(PORT).is_ok());
    // Linux reports an ICMP port unreachable this way.
    assert_eq!(
        ask(PORT + 1).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn traffic_that_only_passes_the_switch_is_untouched() {
    let mut scene = Scene::new(&TUTORIAL, "switch");
    scene.run(RUN);
    let before = reason(&scene.status(), "replied");
    let from = SocketAddrV4::new(scene.address("client"), 40_000);
    let to = SocketAddrV4::new(scene.address("h2"), PORT);
    let opened = scene.host("client").inside(|| Connection::open(from, to));
    let answer = opened.unwrap().unwrap().ask().unwrap();
    assert_eq!((answer.server.as_str(), answer.client), ("h2", from.into()));
    assert_eq!(reason(&scene.status(), "replied"), before);
}

#[test]
fn a_connection_to_the_host_lives_through_start_and_end() {
    let mut scene = scene("lives");
    let from = SocketAddrV4::new(scene.address("client"), 40_000);
    let to = SocketAddrV4::new(scene.address("lb"), OWN_PORT);
    let opened = scene.host("client").inside(|| Connection::open(from, to));
    let mut connection = opened.unwrap().unwrap();
    assert_eq!(connection.ask().unwrap().server, "lb");
    scene.run(RUN);
    assert_eq!(connection.ask().unwrap().server, "lb");
    scene.balancer().stop().unwrap();
    assert_eq!(connection.ask().unwrap().server, "lb");
}
