//! Captures at both ends of every cable, in which not one checksum is wrong.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::{SocketAddrV4, UdpSocket};
use std::time::Duration;

use evenkeel_tests::support::{
    Capture, PATIENCE, PacketSocket, Scene, Verified, dropped, tag, verify,
};
use lab::fetch::{FetchOptions, download, fetch, udp, upload};
use lab::topology::{ROUTED, TUTORIAL};
use lab::{Blueprint, Offloads, Topology};
use testkit::builder::PacketBuilder;

/// Each way, in one connection each.
const BYTES: u64 = 2_000_000;
/// Requests, each on a connection of its own, and as many datagrams.
const REQUESTS: usize = 50;
/// Most bytes that a segment carries at an MTU of 1,500 (20 of IPv4, 32 of TCP with timestamps).
const SEGMENT: u64 = 1_448;

/// A lab where checksums are computed before packets leave their hosts, balancing TCP and UDP.
fn scene(topology: &'static Topology, interfaces: &str, backends: [&str; 2]) -> Scene {
    let blueprint = Blueprint::new(topology, Some(&tag("checksums"))).unwrap();
    let mut scene = Scene::of(blueprint.offloads(Offloads::AllOff));
    let mut config = format!("interfaces = {interfaces}\n");
    for protocol in ["tcp", "udp"] {
        let vip = scene.vip();
        config +=
            &format!("[[service]]\naddress = \"{protocol}://{vip}\"\nbackends = {backends:?}\n");
    }
    scene.run_config(&config, "auto");
    scene
}

/// Requests, transfers and datagrams from a client, while everything is captured everywhere.
fn capture_traffic(scene: &Scene, client: &str) -> BTreeMap<String, Verified> {
    let ends = scene.cable_ends();
    let captures: Vec<_> = ends
        .iter()
        .map(|(host, interface)| {
            let place = format!("{} {interface}", host.name());
            (place, Capture::start(host, interface, scene.folder()))
        })
        .collect();
    let options = FetchOptions {
        requests: REQUESTS,
        concurrency: 4,
        ..FetchOptions::new(scene.target())
    };
    let host = scene.host(client);
    for report in [
        host.inside(|| fetch(&options)).unwrap().unwrap(),
        host.inside(|| udp(&options)).unwrap().unwrap(),
    ] {
        assert_eq!(report.summary.answered, REQUESTS, "{}", report.summary);
    }
    let target = scene.target();
    for transfer in [
        host.inside(|| download(&target, BYTES, PATIENCE)),
        host.inside(|| upload(&target, BYTES, PATIENCE)),
    ] {
        let transfer = transfer.unwrap().unwrap();
        assert!(transfer.intact(), "{transfer:?}");
    }
    assert_eq!(dropped(&scene.status()), []);
    let verify = |(place, capture): (String, Capture)| (place, verify(&capture.frames()));
    captures.into_iter().map(verify).collect()
}

/// What a capture where everything passes once sees at least of each protocol.
fn least() -> (usize, usize) {
    // Two for each datagram; of TCP: SYN, SYN-ACK, request, answer, and a FIN each way.
    let segments = 2 * BYTES / SEGMENT;
    (6 * REQUESTS + segments as usize, 2 * REQUESTS)
}

fn assert_none_wrong(found: &BTreeMap<String, Verified>) {
    for (place, verified) in found {
        assert!(verified.wrong.is_empty(), "{place}: {verified:?}");
        assert_eq!(verified.without, 0, "{place}: nobody sends UDP without");
    }
}

/// Checks that the captures of `places` together saw everything `times` times.
fn assert_saw_everything(found: &BTreeMap<String, Verified>, places: &[&str], times: usize) {
    let (tcp, udp) = least();
    let sum =
        |count: fn(&Verified) -> usize| places.iter().map(|place| count(&found[*place])).sum();
    let (found_tcp, found_udp): (usize, usize) = (sum(|v| v.tcp), sum(|v| v.udp));
    assert!(found_tcp >= times * tcp, "{places:?}: {found_tcp} segments");
    // Nothing is sent twice over UDP.
    assert_eq!(found_udp, times * udp, "{places:?}");
}

#[test]
fn no_checksum_is_wrong_at_any_hop_through_one_interface() {
    let scene = scene(&TUTORIAL, "[\"veth6\"]", ["10.0.0.2", "10.0.0.3"]);
    let found = capture_traffic(&scene, "client");
    assert_none_wrong(&found);
    for (places, times) in [
        (&["client eth0"][..], 1),
        (&["switch to-client"], 1),
        // To the load balancer and from it.
        (&["switch to-lb"], 2),
        (&["switch to-h2", "switch to-h3"], 1),
        (&["h2 eth0", "h3 eth0"], 1),
        // XDP takes and sends them where tcpdump does not look.
        (&["lb veth6"], 0),
    ] {
        if times == 0 {
            assert_eq!((found[places[0]].tcp, found[places[0]].udp), (0, 0));
        } else {
            assert_saw_everything(&found, places, times);
        }
    }
}

#[test]
fn no_checksum_is_wrong_at_any_hop_through_two_interfaces() {
    let interfaces = "[\"eth0\", \"eth1\"]";
    let scene = scene(&ROUTED, interfaces, ["10.2.0.2", "10.2.0.3"]);
    let found = capture_traffic(&scene, "c2");
    assert_none_wrong(&found);
    for places in [
        &["c2 eth0"][..],
        &["switch to-c2"],
        &["switch to-r1-eth0"],
        &["r1 eth0"],
        &["r1 eth1"],
        &["switch to-r1-eth1"],
        &["switch to-lb-eth0"],
        &["switch to-lb-eth1"],
        &["switch to-h2", "switch to-h3"],
        &["h2 eth0", "h3 eth0"],
    ] {
        assert_saw_everything(&found, places, 1);
    }
}

#[test]
fn datagrams_without_a_checksum_are_answered_and_get_none_on_the_way() {
    const DATAGRAMS: u16 = 10;
    let scene = scene(&TUTORIAL, "[\"veth6\"]", ["10.0.0.2", "10.0.0.3"]);
    let client = scene.host("client");
    let captures =
        ["h2", "h3"].map(|host| Capture::start(&scene.host(host), "eth0", scene.folder()));
    let wire = PacketSocket::open(&client, "eth0");
    for index in 0..DATAGRAMS {
        let from = SocketAddrV4::new(scene.address("client"), 30_000 + index);
        let socket = client.inside(|| UdpSocket::bind(from)).unwrap().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let question = format!("question {index}");
        let frame = PacketBuilder::udp(from, scene.vip())
            .macs(
                [0xde, 0xad, 0xbe, 0xef, 0, 0x10],
                [0xde, 0xad, 0xbe, 0xef, 0, 1],
            )
            .payload(question.as_bytes())
            .without_checksum();
        wire.send(&frame.build());
        let mut buffer = [0; 100];
        let (length, sender) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(sender, scene.vip().into());
        let answer = String::from_utf8_lossy(&buffer[..length]);
        assert!(answer.ends_with(&question), "{answer}");
    }
    let found = captures.map(|capture| verify(&capture.frames()));
    let without: usize = found.iter().map(|verified| verified.without).sum();
    let answers: usize = found.iter().map(|verified| verified.udp).sum();
    assert!(
        found.iter().all(|verified| verified.wrong.is_empty()),
        "{found:?}"
    );
    assert_eq!(
        (without, answers),
        (10, 10),
        "questions without, answers with a checksum"
    );
}
