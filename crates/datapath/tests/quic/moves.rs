//! Clients that change their address.

use testkit::builder::PacketBuilder;
use testkit::builder::quic::{LongType, long_header};
use testkit::checksums::check;
use testkit::outcome::Outcome;

use super::scene::{BACKENDS, Scene, everywhere, id_of, short_to};

/// Opens a connection as a client does, and returns its backend.
fn open(scene: &Scene, number: u16) -> u32 {
    let from = scene.client(number);
    let initial = long_header(LongType::Initial, &[0xc1; 8], &[1; 8]);
    let backend = scene.send(from, &initial).backend;
    let handshake = long_header(LongType::Handshake, &id_of(backend), &[1; 8]);
    assert_eq!(scene.send(from, &handshake).backend, backend);
    assert_eq!(scene.send(from, &short_to(backend)).backend, backend);
    backend
}

/// A backend's answer in mode `nat`, to where it got the packet from.
fn answer(scene: &Scene, backend: u32, received: &Outcome) -> Outcome {
    let source = match received.frame[12..14] {
        [0x08, 0x00] => &received.frame[34..36],
        _ => &received.frame[54..56],
    };
    let port = u16::from_be_bytes([source[0], source[1]]);
    let to = (scene.vip().ip(), port);
    let packet = PacketBuilder::udp(scene.backend_address(backend), to);
    scene.process(&packet.payload(&[0x41; 40]))
}

#[test]
fn a_connection_stays_on_its_backend_however_often_its_client_moves() {
    for scene in everywhere() {
        let mut led_elsewhere = 0;
        for number in 0..16 {
            let backend = open(&scene, number);
            for step in 1..8 {
                let moved = scene.client(100 * step + number);
                let outcome = scene.send(moved, &short_to(backend));
                assert_eq!(outcome.backend, backend, "{}", scene.name());
                assert_eq!(outcome.reason.name(), "forwarded_by_connection_id");
                led_elsewhere += u32::from(scene.by_addresses(moved).backend != backend);
            }
        }
        assert!(led_elsewhere > 50, "{}: {led_elsewhere}", scene.name());
    }
}

#[test]
fn in_mode_nat_a_move_starts_a_flow_and_answers_reach_the_new_address() {
    for scene in everywhere().into_iter().filter(Scene::is_nat) {
        let backend = open(&scene, 1);
        let moved = scene.client(2);
        let outcome = scene.send(moved, &short_to(backend));
        assert_eq!(outcome.reason.name(), "forwarded_by_connection_id");
        assert!(check(&outcome.frame).are_fine());
        let reply = answer(&scene, backend, &outcome);
        assert_eq!(reply.reason.name(), "replied", "{}", scene.name());
        assert!(check(&reply.frame).are_fine());
        let address = match (moved.ip(), scene.vip().ip()) {
            (std::net::IpAddr::V4(a), _) => a.octets().to_vec(),
            (std::net::IpAddr::V6(a), _) => a.octets().to_vec(),
        };
        let to = if address.len() == 4 { 30 } else { 38 };
        assert_eq!(reply.frame[to..to + address.len()], address);
        assert_eq!(scene.tables.backend_counters(backend).new_flows, 2);

        // From then on it is a flow like others.
        let next = scene.send(moved, &short_to(backend));
        let found = (next.reason.name(), next.backend);
        assert_eq!(found, ("forwarded", backend), "{}", scene.name());
    }
}

/// The draft's section 6: a balancer that keeps a table of flows misroutes a connection that moves
/// to the address of another, and one that ended such flows for an id's sake could be made to end
/// others' flows.
#[test]
fn in_mode_nat_a_known_flow_keeps_its_backend_whatever_ids_its_packets_have() {
    for scene in everywhere().into_iter().filter(Scene::is_nat) {
        let backend = open(&scene, 1);
        for other in 0..BACKENDS {
            let outcome = scene.send(scene.client(1), &short_to(other));
            let found = (outcome.reason.name(), outcome.backend);
            assert_eq!(found, ("forwarded", backend), "{}", scene.name());
        }
    }
}

#[test]
fn without_a_flow_table_each_packet_goes_by_its_own_id() {
    for scene in everywhere().into_iter().filter(|scene| !scene.is_nat()) {
        let from = scene.client(1);
        open(&scene, 1);
        for backend in (0..BACKENDS).chain(0..BACKENDS) {
            let outcome = scene.send(from, &short_to(backend));
            let found = (outcome.reason.name(), outcome.backend);
            let expected = ("forwarded_by_connection_id", backend);
            assert_eq!(found, expected, "{}", scene.name());
        }
    }
}
