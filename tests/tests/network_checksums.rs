//! Captures at both ends of every cable, in which not one checksum is wrong.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use evenkeel_tests::support::{
    Capture, Family, PORT, PacketSocket, Scene, Verified, datagrams, dropped, reason, requests,
    tag, transfer, verify,
};
use lab::fetch::Datagram;
use lab::topology::{ROUTED, TUTORIAL};
use lab::{Blueprint, Host, Offloads, Topology};
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
    let host = scene.host(client);
    let captures = capture_everywhere(scene);
    send_everything(&host, scene.vip().into());
    assert_eq!(dropped(&scene.status()), []);
    verify_all(captures)
}

fn capture_everywhere(scene: &Scene) -> Vec<(String, Capture)> {
    let ends = scene.cable_ends();
    ends.iter()
        .map(|(host, interface)| {
            let place = format!("{} {interface}", host.name());
            (place, Capture::start(host, interface, scene.folder()))
        })
        .collect()
}

fn verify_all(captures: Vec<(String, Capture)>) -> BTreeMap<String, Verified> {
    let verify = |(place, capture): (String, Capture)| (place, verify(&capture.frames()));
    captures.into_iter().map(verify).collect()
}

fn send_everything(host: &Host, service: SocketAddr) {
    requests(host, service, REQUESTS);
    datagrams(host, service, REQUESTS, Datagram::Short);
    transfer(host, service, BYTES);
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

/// Both families through a mode's lab, large datagrams and what is too big for a tunnel among it: no
/// checksum is wrong anywhere, ICMP's and quoted ones included.
fn assert_none_wrong_in(mode: &'static str) {
    let scene = Scene::in_mode_with(mode, "sums", |lab| lab.offloads(Offloads::AllOff));
    let captures = capture_everywhere(&scene);
    let client = scene.client();
    for family in Family::BOTH {
        let service = SocketAddr::new(scene.vip_of(family), PORT);
        send_everything(&client, service);
        let _by_server = datagrams(&client, service, 10, Datagram::Echoed(4_000));
    }
    let found = verify_all(captures);
    assert_none_wrong(&found);
    let (tcp, udp) = least();
    let at_client = &found[&format!("{} eth0", client.name())];
    assert!(
        at_client.tcp >= 2 * tcp && at_client.udp >= 2 * udp,
        "{at_client:?}"
    );
    assert!(at_client.fragments >= 2 * 10 * 6, "{at_client:?}");
    let is_tunnel = matches!(mode, "ipip" | "gue");
    let at_backend = &found["h2 eth0"];
    assert!(at_backend.tcp > 0 && at_backend.udp > 0, "{at_backend:?}");
    assert_eq!(found["switch to-h2"].tunnelled > 0, is_tunnel);
    assert_eq!(reason(&scene.status(), "too_big") > 0, is_tunnel);
}

#[test]
fn in_nat_no_checksum_of_either_family_is_wrong() {
    assert_none_wrong_in("nat");
}

#[test]
fn in_dnat_no_checksum_of_either_family_is_wrong() {
    assert_none_wrong_in("dnat");
}

#[test]
fn in_l2_dsr_no_checksum_of_either_family_is_wrong() {
    assert_none_wrong_in("l2-dsr");
}

#[test]
fn in_ipip_no_checksum_of_either_family_is_wrong() {
    assert_none_wrong_in("ipip");
}

#[test]
fn in_gue_no_checksum_of_either_family_is_wrong() {
    assert_none_wrong_in("gue");
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
