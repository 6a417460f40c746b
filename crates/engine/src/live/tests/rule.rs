//! What becomes of slots, entries and indices, step by step (`ring::transition` has the proof).

use super::*;

/// The only service of a scene, with these backends.
fn one(hosts: &[u8]) -> Service {
    service(80, ForwardingMode::Ipip, hosts)
}

impl Scene {
    fn over(service: &Service) -> Self {
        Self::new(&desired(std::slice::from_ref(service)))
    }

    fn change(&mut self, service: &Service) -> Applied {
        self.apply(&desired(std::slice::from_ref(service)))
    }

    fn numbers(&self) -> Numbers {
        self.live.numbers(&self.maps).unwrap()
    }

    /// Where a slot is in this state.
    fn place(&self, state: u8) -> usize {
        let ring = self.ring();
        let place = ring.iter().position(|slot| slot.state() == state);
        place.expect("there is a slot in this state")
    }
}

#[test]
fn a_slot_settles_when_its_window_is_over_and_not_before() {
    let mut scene = Scene::over(&one(&[2, 3]));
    scene.change(&one(&[3]));
    scene.pass(WINDOW);
    scene.sweep();
    assert_eq!(scene.states(), [32, 32, 0]);
    scene.pass(TICK);
    assert_eq!(scene.sweep().settling, 32);
    assert_eq!(scene.states(), [32, 0, 32]);
}

#[test]
fn a_refused_flow_starts_the_window_anew() {
    let mut scene = Scene::over(&one(&[2, 3]));
    scene.change(&one(&[3]));
    scene.pass(WINDOW);
    scene.maps.refusals = 1;
    scene.sweep();
    scene.pass(WINDOW);
    scene.sweep();
    assert_eq!(scene.states(), [32, 32, 0]);
    scene.pass(TICK);
    scene.sweep();
    assert_eq!(scene.states(), [32, 0, 32]);
}

#[test]
fn a_slot_settles_for_a_whole_sweep_before_it_is_steady() {
    let mut scene = Scene::over(&one(&[2, 3]));
    let old = scene.index(2).unwrap();
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Drain));
    let place = scene.place(TRANSITION);
    scene.pass(WINDOW + TICK);
    scene.sweep();
    assert_eq!(scene.sweep().steady, 0, "a packet may be on its way");
    // It read the slot before it settled, and arrives now.
    scene.enter(1, place, old);
    assert_eq!(scene.sweep().steady, 31);
    assert_eq!(scene.place(SETTLING), place);
    scene.pass(WINDOW);
    assert_eq!(scene.sweep().steady, 0, "the flow may speak again");
    scene.pass(TICK);
    let swept = scene.sweep();
    assert_eq!((swept.idle, swept.steady), (1, 1));
}

#[test]
fn a_slot_that_settles_at_once_waits_for_packets_on_their_way_too() {
    let mut scene = Scene::over(&one(&[2, 3]));
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Down));
    assert_eq!(scene.states(), [32, 0, 32]);
    assert_eq!(scene.sweep().steady, 0);
    assert_eq!(scene.sweep().steady, 32);
}

#[test]
fn a_service_that_stops_tracking_keeps_what_it_has_noted() {
    let untracked = |hosts: &[u8]| Service {
        track: Track::Never,
        ..one(hosts)
    };
    let mut scene = Scene::over(&one(&[2, 3]));
    let old = scene.index(2).unwrap();
    scene.change(&one(&[3]));
    let place = scene.place(TRANSITION);
    scene.enter(1, place, old);
    let applied = scene.change(&untracked(&[3]));
    assert_eq!((applied.services_changed, applied.slots_changed), (1, 0));
    assert_eq!(scene.states(), [32, 32, 0]);
    // With another owner flows may move, those that are noted do not.
    scene.change(&untracked(&[4]));
    assert_eq!(scene.states(), [32, 0, 32]);
    for _ in 0..3 {
        scene.sweep();
    }
    assert_eq!(scene.states(), [63, 0, 1]);
    assert_eq!(scene.place(SETTLING), place);
}

#[test]
fn whatever_state_a_slot_gets_its_time_begins_then() {
    let draining = with_state(&one(&[2, 3]), 2, BackendState::Drain);
    let mut scene = Scene::over(&one(&[2, 3]));
    scene.change(&draining);
    for _ in 0..3 {
        scene.sweep();
    }
    // The owners stay, the previous one does not.
    scene.change(&with_state(&draining, 2, BackendState::Down));
    assert_eq!(scene.states(), [32, 0, 32]);
    assert_eq!(scene.sweep().steady, 0);
    assert_eq!(scene.sweep().steady, 32);
}

#[test]
fn the_window_of_a_slot_begins_anew_with_every_owner() {
    let mut scene = Scene::over(&one(&[2, 3]));
    scene.change(&one(&[3]));
    let waiting = scene.ring();
    scene.pass(WINDOW / 2);
    scene.change(&one(&[3, 4]));
    let pairs = waiting.iter().zip(scene.ring());
    let in_transition = pairs.filter(|(old, _)| old.state() == TRANSITION);
    let (moved, kept): (Vec<_>, Vec<_>) =
        in_transition.partition(|(old, new)| old.current() != new.current());
    let (moved, kept) = (moved.len(), kept.len());
    assert!(moved > 0 && kept > 0, "{moved} moved, {kept} kept");
    scene.pass(WINDOW / 2 + TICK);
    assert_eq!(scene.sweep().settling, kept as u64);
    scene.pass(WINDOW / 2);
    assert_eq!(scene.states()[1], scene.sweep().settling as usize);
}

#[test]
fn slots_of_a_ring_that_has_grown_rest_for_two_sweeps() {
    let mut maps = Memory::new();
    maps.room.slots = 64 + 128;
    let mut grown = one(&[2, 3]);
    let mut scene = Scene::on(maps, &desired(std::slice::from_ref(&grown)));
    grown.ring_log2 = Some(7);
    scene.change(&grown);
    let other = service(81, ForwardingMode::Ipip, &[2]);
    let both = desired(&[grown, other]);
    for _ in 0..2 {
        let error = scene.try_apply(&both).unwrap_err();
        assert!(matches!(error, EngineError::ArenaFull { .. }), "{error}");
        scene.sweep();
    }
    scene.apply(&both);
}

#[test]
fn a_previous_backend_that_dies_is_kept_in_no_slot() {
    let draining = with_state(&one(&[2, 3]), 2, BackendState::Drain);
    let dead = with_state(&draining, 2, BackendState::Down);
    let mut with_others = dead.clone();
    with_others.backends.push(backend(4));
    let removed = one(&[3]);
    for (before, after) in [
        // Nothing else changes.
        (&draining, &dead),
        // Slots in transition get yet another owner.
        (&draining, &with_others),
        // It was leaving, and comes back only to be dead.
        (&removed, &dead),
    ] {
        let mut scene = Scene::over(&one(&[2, 3]));
        let old = scene.index(2).unwrap();
        scene.change(before);
        assert_eq!(scene.states(), [32, 32, 0]);
        let applied = scene.change(after);
        assert_eq!(applied.backends_died, 1);
        for slot in scene.ring() {
            assert_ne!(slot.current(), old);
            assert!(slot.state() != TRANSITION || slot.previous() != old);
        }
        assert!(scene.states()[2] > 0, "its flows are gone, nobody waits");
    }
}

#[test]
fn a_backend_that_is_back_is_the_previous_of_no_slot_of_its_former_life() {
    let mut scene = Scene::over(&one(&[2, 3]));
    let old = scene.index(2).unwrap();
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Drain));
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Down));
    scene.change(&one(&[2, 3]));
    let new = scene.index(2).unwrap();
    assert_ne!(new, old);
    let survivor = scene.index(3).unwrap();
    // The owner of meanwhile lives: its flows have to be entered now.
    assert_eq!(scene.states(), [32, 32, 0]);
    for slot in scene.ring() {
        assert!([new, survivor].contains(&slot.current()));
        assert!(slot.state() != TRANSITION || slot.previous() == survivor);
    }
    let entry = scene.maps.image.backends[old as usize];
    assert_eq!(entry.flags & (ALIVE | TAKES_NEW), 0);
}

#[test]
fn entries_of_a_backend_that_dies_go_with_it() {
    let mut scene = Scene::over(&one(&[2, 3]));
    let (old, other) = (scene.index(2).unwrap(), scene.index(3).unwrap());
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Drain));
    let place = scene.place(TRANSITION);
    scene.enter(1, place, old);
    scene.enter(2, place, other);
    let applied = scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Down));
    assert_eq!(applied.flows_lost, 1);
    let left: Vec<u32> = scene.maps.exceptions.values().map(|e| e.backend).collect();
    assert_eq!(left, [other]);
}

#[test]
fn an_entry_that_comes_after_its_backend_died_goes_with_the_next_sweep() {
    let mut scene = Scene::over(&one(&[2, 3]));
    let old = scene.index(2).unwrap();
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Drain));
    let place = scene.place(TRANSITION);
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Down));
    // Under its old name a backend is back before the packet that was on its way.
    scene.change(&one(&[2, 3]));
    scene.enter(1, place, old);
    assert_eq!(scene.sweep().lost, 1);
    assert!(scene.maps.exceptions.is_empty());
    assert_eq!(scene.numbers().flows_lost, 1);
}

/// A scene with room for three backends.
fn narrow(service: &Service) -> Scene {
    let mut maps = Memory::new();
    maps.room.backends = 3;
    Scene::on(maps, &desired(std::slice::from_ref(service)))
}

#[test]
fn the_index_of_a_dead_backend_rests_for_two_sweeps_after_its_slots() {
    let mut scene = narrow(&one(&[2, 3]));
    let (old, other) = (scene.index(2).unwrap(), scene.index(3).unwrap());
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Down));
    scene.change(&one(&[2, 3]));
    scene.change(&with_state(&one(&[2, 3]), 3, BackendState::Down));
    let full = desired(&[one(&[2, 3])]);
    for _ in 0..3 {
        let error = scene.try_apply(&full).unwrap_err();
        assert!(matches!(error, EngineError::TooMany { .. }), "{error}");
        scene.sweep();
    }
    scene.apply(&full);
    assert!(
        scene
            .index(3)
            .is_some_and(|index| [old, other].contains(&index))
    );
}

#[test]
fn an_index_is_not_used_again_while_a_flow_leads_to_it() {
    let mut scene = narrow(&one(&[2, 3, 4]));
    let old = scene.index(2).unwrap();
    scene.change(&one(&[3, 4]));
    let place = scene.place(TRANSITION);
    scene.pass(WINDOW + TICK);
    for _ in 0..5 {
        scene.enter(1, place, old);
        scene.sweep();
        let error = scene.try_apply(&desired(&[one(&[3, 4, 5])])).unwrap_err();
        assert!(matches!(error, EngineError::TooMany { .. }), "{error}");
    }
    assert_eq!(scene.place(SETTLING), place);
    scene.pass(WINDOW + TICK);
    for _ in 0..3 {
        scene.sweep();
    }
    scene.change(&one(&[3, 4, 5]));
    assert!(scene.maps.exceptions.is_empty());
    let view = scene.live.services().next().unwrap();
    assert_eq!(view.backend(&backend(5)).unwrap().index, old);
}

#[test]
fn the_numbers_tell_how_a_change_is_getting_on() {
    let mut scene = Scene::over(&one(&[2, 3]));
    let old = scene.index(2).unwrap();
    scene.change(&one(&[3]));
    let place = scene.place(TRANSITION);
    scene.enter(1, place, old);
    scene.maps.refusals = 7;
    let mut expected = Numbers {
        slots_in_transition: 32,
        refusals: 7,
        backends_leaving: 1,
        ..Numbers::default()
    };
    assert_eq!(scene.numbers(), expected);
    scene.sweep();
    expected.exceptions = 1;
    assert_eq!(scene.numbers(), expected);
    scene.pass(WINDOW + TICK);
    scene.enter(1, place, old);
    scene.sweep();
    (expected.slots_in_transition, expected.slots_settling) = (0, 32);
    assert_eq!(scene.numbers(), expected);
    // A backend that has left dies, for it comes back as one that is down.
    scene.change(&with_state(&one(&[2, 3]), 2, BackendState::Down));
    (expected.backends_leaving, expected.flows_lost) = (0, 1);
    assert_eq!(scene.numbers(), expected);
    for _ in 0..3 {
        scene.sweep();
    }
    (expected.slots_settling, expected.exceptions) = (0, 0);
    assert_eq!(scene.numbers(), expected);
}

#[test]
fn answers_of_nat_are_told_while_the_way_to_the_backend_is_lost_or_another() {
    let one = service(80, ForwardingMode::Nat, &[2]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    assert_eq!(scene.target([10, 0, 0, 1], 0, 6), Some(NAT_SOURCE));
    let lost = scene.live.apply_next_hops(&mut scene.maps, &|_, _| None);
    assert!(!lost.unwrap().directory_written);
    assert_eq!(scene.target([10, 0, 0, 1], 0, 6), Some(NAT_SOURCE));
    // By another way, and back.
    let moved = scene.live.apply_next_hops(&mut scene.maps, &elsewhere);
    assert!(moved.unwrap().directory_written);
    for source in [[10, 0, 0, 1], [10, 9, 0, 1]] {
        assert_eq!(scene.target(source, 0, 6), Some(NAT_SOURCE), "{source:?}");
    }
    let back = scene.live.apply_next_hops(&mut scene.maps, &next_hop);
    assert!(!back.unwrap().directory_written);
}

#[test]
fn an_address_that_packets_leave_from_is_told_however_many_others_come_and_go() {
    let one = service(80, ForwardingMode::Nat, &[2, 3]);
    let mut scene = Scene::new(&desired(&[one]));
    let steady = IpAddr::from([10, 0, 0, 1]);
    for turn in 1..=20 {
        let other = IpAddr::from([10, 9, 0, turn]);
        let ways = |service: &Service, to: &Backend| {
            let source_address = if *to == backend(3) { other } else { steady };
            let hop = next_hop(service, to)?;
            Some(NextHop {
                source_address,
                ..hop
            })
        };
        scene.live.apply_next_hops(&mut scene.maps, &ways).unwrap();
        for source in [steady, other] {
            assert_eq!(scene.target(source, 0, 6), Some(NAT_SOURCE), "turn {turn}");
        }
    }
    // Those of before are remembered, but not for ever.
    assert_eq!(scene.target([10, 9, 0, 19], 0, 6), Some(NAT_SOURCE));
    assert_eq!(scene.target([10, 9, 0, 1], 0, 6), None);
}
