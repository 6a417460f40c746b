//! Datagrams larger than any packet, in fragments both ways.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use evenkeel_tests::support::{Family, PORT, PacketSocket, Scene, datagrams, dropped, reason};
use lab::fetch::Datagram;
use testkit::builder::{PacketBuilder, fragments};

const DATAGRAMS: usize = 20;
const SIZES: [usize; 2] = [4_000, 20_000];

/// The lab of a mode; with tunnels, networks that have room for the outer headers.
fn scene(mode: &'static str, test: &str) -> Scene {
    if !matches!(mode, "ipip" | "gue") {
        return Scene::in_mode(mode, test);
    }
    let mut scene = Scene::roomy_tunnel(&format!("{test}{mode}"));
    scene.decapsulate();
    scene.balance(&scene.services(mode, PORT));
    scene
}

fn assert_large_datagrams_are_answered(mode: &'static str) {
    let scene = scene(mode, "large");
    for family in Family::BOTH {
        let service = SocketAddr::new(scene.vip_of(family), PORT);
        for size in SIZES {
            let datagram = Datagram::Echoed(size);
            let by_server = datagrams(&scene.client(), service, DATAGRAMS, datagram);
            assert!(by_server.len() >= 2, "{service}: {by_server:?}");
        }
    }
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert_eq!(reason(&status, "later_fragment"), 0);
    assert_eq!(reason(&status, "too_big"), 0);
}

#[test]
fn in_nat_large_datagrams_and_their_answers_arrive() {
    assert_large_datagrams_are_answered("nat");
}

#[test]
fn in_dnat_large_datagrams_and_their_answers_arrive() {
    assert_large_datagrams_are_answered("dnat");
}

#[test]
fn in_l2_dsr_large_datagrams_and_their_answers_arrive() {
    assert_large_datagrams_are_answered("l2-dsr");
}

#[test]
fn in_ipip_large_datagrams_and_their_answers_arrive() {
    assert_large_datagrams_are_answered("ipip");
}

#[test]
fn in_gue_large_datagrams_and_their_answers_arrive() {
    assert_large_datagrams_are_answered("gue");
}

/// A datagram whose fragments come in another order, the first one first.
fn assert_order_does_not_matter(mode: &'static str) {
    let scene = scene(mode, "order");
    let client = scene.client();
    let wire = PacketSocket::open(&client, "eth0");
    let next_hop = if mode == "l2-dsr" { "lb" } else { "r1" };
    let next_hop = scene.host(next_hop).interfaces()[0].mac.0;
    for family in Family::BOTH {
        let service = SocketAddr::new(scene.vip_of(family), PORT);
        // Neighbours are known, and the flow, if the mode keeps any.
        let _by_server = datagrams(&client, service, 1, Datagram::Short);
        let from = SocketAddr::new(family.address_of(&client), 40_000);
        let socket = client.inside(|| UdpSocket::bind(from)).unwrap().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let question = [b'q'; 6_000];
        let frame = PacketBuilder::udp(from, service)
            .macs(next_hop, client.interfaces()[0].mac.0)
            .payload(&question)
            .fragment(0x1234, 0)
            .build();
        let mut pieces = fragments(&frame, 1_500, 0x1234);
        assert_eq!(pieces.len(), 5);
        pieces[1..].reverse();
        for piece in pieces {
            wire.send(&piece);
        }
        let mut answer = vec![0; 10_000];
        let (length, sender) = socket.recv_from(&mut answer).unwrap();
        assert_eq!(sender, service);
        assert!(answer[..length].ends_with(&question), "{length} bytes");
    }
    assert_eq!(dropped(&scene.status()), []);
}

#[test]
fn in_nat_later_fragments_may_overtake_each_other() {
    assert_order_does_not_matter("nat");
}

#[test]
fn in_dnat_later_fragments_may_overtake_each_other() {
    assert_order_does_not_matter("dnat");
}

#[test]
fn in_l2_dsr_later_fragments_may_overtake_each_other() {
    assert_order_does_not_matter("l2-dsr");
}

#[test]
fn in_ipip_later_fragments_may_overtake_each_other() {
    assert_order_does_not_matter("ipip");
}

#[test]
fn in_gue_later_fragments_may_overtake_each_other() {
    assert_order_does_not_matter("gue");
}
