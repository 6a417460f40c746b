//! QUIC connections through the load balancer, with a QUIC stack at both ends: connection ids carry
//! server ids, and clients change their addresses.

#![forbid(unsafe_code)]

mod client;
mod ids;
mod scene;
mod server;

use std::collections::BTreeSet;
use std::time::Duration;

use client::Travelled;
use evenkeel_tests::support::{PATIENCE, dropped, reason};
use ids::RoutableIds;
use scene::{CROWD_NAT, Place, QuicScene, ROUTED_DNAT, ROUTED_DNAT6, ROUTED_NAT6};

/// Config rotation bits of all servers; not the default.
const CONFIG: u8 = 5;
const QUIC: &str = "quic = { server_id_length = 4, config = 5 }";
/// Connections of each client.
const CONNECTIONS: usize = 3;
/// Addresses that each connection's client has, one after the other.
const STOPS: usize = 4;

/// The ids of the backend with this number, as the configuration has them.
fn known(number: u8) -> RoutableIds {
    RoutableIds::new(CONFIG, [0xe0, 0, 0, number])
}

/// Ids that the configuration does not have.
fn unknown(number: u8) -> RoutableIds {
    RoutableIds::new(CONFIG, [0xff, 0, 0, number])
}

/// Asserts that every connection came to its end, always at the server where it began.
fn assert_all_stayed(scene: &QuicScene, journeys: &[Travelled]) {
    let mut servers = BTreeSet::new();
    for journey in journeys {
        assert_eq!(journey.lost, None, "{journey:?}");
        assert_eq!(journey.answers.len(), STOPS, "{journey:?}");
        let own: BTreeSet<_> = journey.answers.iter().map(|a| &a.server).collect();
        assert_eq!(own.len(), 1, "{journey:?}");
        servers.extend(own);
        assert_moves_were_seen(scene, journey);
    }
    assert_eq!(servers.len(), scene.backends(), "{servers:?}");
}

/// Asserts that the server saw each of the client's addresses, or in mode nat, another port of ours.
fn assert_moves_were_seen(scene: &QuicScene, journey: &Travelled) {
    let seen: Vec<_> = journey.answers.iter().map(|answer| answer.client).collect();
    if scene.place.is_nat() {
        let different: BTreeSet<_> = seen.iter().collect();
        assert_eq!(different.len(), STOPS, "{journey:?}");
    } else {
        assert_eq!(seen, journey.stops, "{journey:?}");
    }
}

fn assert_moves_are_survived(place: &'static Place, test: &str) {
    let scene = QuicScene::new(place, test, QUIC, known);
    let journeys = scene.travel(CONNECTIONS, STOPS, PATIENCE);
    assert_all_stayed(&scene, &journeys);

    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert_eq!(reason(&status, "unknown_connection_id"), 0);
    let connections = journeys.len() as u64;
    let moves = connections * (STOPS as u64 - 1);
    let by_id = reason(&status, "forwarded_by_connection_id");
    if place.is_nat() {
        // Each move is a flow of its own, and only its first packet needs the id.
        assert_eq!(by_id, moves);
        assert_eq!(reason(&status, "new_flow"), connections);
    } else {
        // All but the first packets, of which a question and its answer have dozens.
        assert!(by_id > 10 * moves, "{by_id}");
        assert!(reason(&status, "forwarded") >= connections);
    }
}

#[test]
fn connections_stay_on_their_backends_when_clients_move_in_mode_nat() {
    assert_moves_are_survived(&CROWD_NAT, "quicnat");
}

#[test]
fn connections_stay_on_their_backends_when_clients_move_in_mode_nat_over_ipv6() {
    assert_moves_are_survived(&ROUTED_NAT6, "quicnat6");
}

#[test]
fn connections_stay_on_their_backends_when_clients_move_in_mode_dnat() {
    assert_moves_are_survived(&ROUTED_DNAT, "quicdnat");
}

#[test]
fn connections_stay_on_their_backends_when_clients_move_in_mode_dnat_over_ipv6() {
    assert_moves_are_survived(&ROUTED_DNAT6, "quicdnat6");
}

/// The other tests could not fail if this one did.
#[test]
fn without_connection_ids_moved_connections_are_lost() {
    for (place, test) in [(&CROWD_NAT, "noquicnat"), (&ROUTED_DNAT, "noquicdnat")] {
        let scene = QuicScene::new(place, test, "", known);
        let journeys = scene.travel(CONNECTIONS, STOPS, Duration::from_secs(4));
        let lost = journeys.iter().filter(|j| j.lost.is_some()).count();
        assert!(lost > journeys.len() / 2, "{place:?}: {journeys:?}");
        // They all began well: it was the move that they did not survive.
        assert!(journeys.iter().all(|j| !j.answers.is_empty()));
        let status = scene.status();
        assert_eq!(reason(&status, "forwarded_by_connection_id"), 0);
        assert_eq!(reason(&status, "unknown_connection_id"), 0);
    }
}

#[test]
fn connections_with_ids_that_nobody_knows_live_until_their_clients_move() {
    for (place, test) in [(&CROWD_NAT, "unknownnat"), (&ROUTED_DNAT, "unknowndnat")] {
        let scene = QuicScene::new(place, test, QUIC, unknown);
        let journeys = scene.travel(CONNECTIONS, 1, PATIENCE);
        for journey in &journeys {
            assert_eq!(journey.lost, None, "{journey:?}");
        }
        let status = scene.status();
        assert_eq!(reason(&status, "forwarded_by_connection_id"), 0);
        let unknown = reason(&status, "unknown_connection_id");
        // In mode nat an id is looked at where it may start a flow, and these are the old ones.
        assert_eq!(unknown == 0, place.is_nat(), "{unknown}");

        let journeys = scene.travel_on(CONNECTIONS, STOPS, Duration::from_secs(4));
        let lost = journeys.iter().filter(|j| j.lost.is_some()).count();
        assert!(lost > journeys.len() / 2, "{place:?}: {journeys:?}");
        assert!(reason(&scene.status(), "unknown_connection_id") > unknown);
    }
}
