//! Backends that die, drain or are out of reach, and slots on their way from one to another.

use abi::backend::{ALIVE, RESOLVED, TAKES_NEW};
use abi::slot::Slot;
use testkit::builder::quic::short_header;

use super::scene::{BACKENDS, Scene, everywhere, short_to, unknown_id};

fn clear(scene: &mut Scene, backend: u32, flags: u16) {
    scene.tables.content.backends[backend as usize].flags &= !flags;
}

#[test]
fn a_dead_backends_id_is_unknown() {
    for mut scene in everywhere() {
        // A client whose addresses lead to a backend that lives.
        let lives = |n: &u16| scene.by_addresses(scene.client(*n)).backend != 1;
        let number = (0..).find(lives).expect("another backend's client");
        clear(&mut scene, 1, ALIVE | TAKES_NEW);
        scene.assert_unknown(number, &short_to(1));
        scene.assert_by_id(number, &short_to(2), 2);
    }
}

#[test]
fn an_id_that_leads_to_no_backend_at_all_is_unknown() {
    for mut scene in everywhere() {
        scene.tables.content.quic_servers[1].1 = 1_000;
        scene.assert_unknown(1, &short_to(1));
    }
}

#[test]
fn a_draining_backend_keeps_the_connections_that_are_its_own() {
    for mut scene in everywhere() {
        clear(&mut scene, 1, TAKES_NEW);
        scene.assert_by_id(1, &short_to(1), 1);
    }
}

#[test]
fn a_backend_out_of_reach_keeps_them_too() {
    for mut scene in everywhere() {
        clear(&mut scene, 1, RESOLVED);
        let outcome = scene.send(scene.client(1), &short_to(1));
        assert_eq!(
            outcome.reason.name(),
            "next_hop_unknown",
            "{}",
            scene.name()
        );
    }
}

#[test]
fn an_id_decides_while_slots_change_and_without_an_entry() {
    for mut scene in everywhere() {
        for slot in &mut scene.tables.content.slots {
            *slot = Slot::transition(0, 1);
        }
        for number in 0..8 {
            for backend in 0..BACKENDS {
                scene.assert_by_id(number, &short_to(backend), backend);
                scene.send(scene.client(number), &short_to(backend));
            }
        }
        assert_eq!(scene.tables.exceptions().len(), 0, "{}", scene.name());
        assert_eq!(scene.tables.exceptions_v6().len(), 0, "{}", scene.name());
    }
}

#[test]
fn without_a_ring_only_ids_lead_anywhere() {
    for mut scene in everywhere() {
        scene.tables.content.services[0].ring = abi::service::Ring::NONE;
        scene.assert_by_id(1, &short_to(3), 3);
        let outcome = scene.send(scene.client(1), &short_header(&unknown_id()));
        assert_eq!(outcome.reason.name(), "no_backend", "{}", scene.name());
    }
}
