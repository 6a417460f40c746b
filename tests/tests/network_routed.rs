//! Clients and backends behind different interfaces: packets leave by `XDP_REDIRECT`.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddrV4};

use evenkeel_tests::support::{Capture, Connection, Scene, dropped, ip, reason};
use lab::fetch::{FetchOptions, fetch, udp};
use lab::topology::ROUTED;
use testkit::endpoints::Endpoints;

const CLIENTS: [&str; 3] = ["c1", "c2", "c3"];
const REQUESTS: usize = 30;

fn scene(test: &str, mode: &str) -> Scene {
    let mut scene = Scene::new(&ROUTED, test);
    let mut config = "interfaces = [\"eth0\", \"eth1\"]\n".to_owned();
    for protocol in ["tcp", "udp"] {
        config += &format!(
            "[[service]]\naddress = \"{protocol}://192.0.2.100:8000\"\n\
             backends = [\"10.2.0.2\", \"10.2.0.3\"]\n"
        );
    }
    scene.run_config(&config, mode);
    scene
}

/// Requests and datagrams of all clients, all from the same ports.
fn assert_all_answered(scene: &Scene) {
    for client in CLIENTS {
        let address = IpAddr::from(scene.address(client));
        let options = FetchOptions {
            requests: REQUESTS,
            concurrency: 4,
            sources: (40_000..)
                .take(REQUESTS)
                .map(|p| (address, p).into())
                .collect(),
            ..FetchOptions::new(scene.target())
        };
        let host = scene.host(client);
        for report in [
            host.inside(|| fetch(&options)).unwrap(),
            host.inside(|| udp(&options)).unwrap(),
        ] {
            let summary = report.unwrap().summary;
            assert_eq!(summary.answered, REQUESTS, "{client}: {summary}");
            assert_eq!(summary.by_server.len(), 2, "{client}: {summary}");
        }
    }
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    let flows = 2 * CLIENTS.len() * REQUESTS;
    assert_eq!(reason(&status, "new_flow"), flows as u64);
}

#[test]
fn requests_and_datagrams_cross_from_one_interface_to_the_other() {
    let scene = scene("cross", "native");
    assert_all_answered(&scene);
    for service in scene.status().services {
        for backend in service.backends {
            assert_eq!(backend.interface.as_deref(), Some("eth1"));
            assert_eq!(backend.source.as_deref(), Some("10.2.0.10"));
            assert!(backend.reply_packets > 0, "{backend:?}");
        }
    }
}

#[test]
fn they_cross_in_generic_mode_too() {
    let scene = scene("generic", "generic");
    assert_all_answered(&scene);
    for interface in scene.status().interfaces {
        assert_eq!(interface.mode, "generic");
    }
}

/// Where the frames that the service sends are addressed to.
fn receivers(frames: &[Vec<u8>], service: SocketAddrV4) -> Vec<[u8; 6]> {
    let sent = |frame: &&Vec<u8>| Endpoints::of(frame).is_some_and(|e| e.source == service);
    let mut receivers: Vec<_> = frames
        .iter()
        .filter(sent)
        .filter_map(|frame| frame.first_chunk().copied())
        .collect();
    receivers.dedup();
    receivers
}

#[test]
fn replies_go_to_the_mac_that_the_clients_packets_come_from_even_when_it_changes() {
    const NEW: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
    let scene = scene("replies", "auto");
    let (client, router) = (scene.host("c1"), scene.host("r1"));
    let wire = Capture::start(&scene.host("switch"), "to-lb-eth0", scene.folder());
    let from = SocketAddrV4::new(scene.address("c1"), 40_000);
    let opened = client.inside(|| Connection::open(from, scene.vip()));
    let mut connection = opened.unwrap().unwrap();
    let answer = connection.ask().unwrap();
    ip(&router, "link set dev eth1 address 02:00:00:00:00:77");
    for _ in 0..5 {
        assert_eq!(connection.ask().unwrap(), answer);
    }
    let old = router.interfaces()[1].mac.0;
    assert_eq!(receivers(&wire.frames(), scene.vip()), [old, NEW]);
    assert_eq!(dropped(&scene.status()), []);
}
