//! What is left of a change or a sweep that fails half-way.

use abi::prefix::{PrefixKeyV4, PrefixKeyV6};
use abi::quic::ServerKey;
use abi::slot::Slot;

use super::*;

/// What packets can meet: all of an image but the slots that no service leads to.
#[derive(Debug, PartialEq)]
struct Reach {
    directory: Directory<V4>,
    directory_v6: Directory<V6>,
    prefixes: Vec<(PrefixKeyV4, u32)>,
    prefixes_v6: Vec<(PrefixKeyV6, u32)>,
    quic_servers: Vec<(ServerKey, u32)>,
    services: Vec<(abi::service::Service, Vec<Slot>)>,
    backends: Vec<abi::backend::Backend>,
}

impl Reach {
    fn of(image: &Image) -> Self {
        let slots = |ring: abi::service::Ring| match ring.exists() {
            true => {
                let first = ring.first_slot() as usize;
                image.slots[first..first + ring.length() as usize].to_vec()
            }
            false => Vec::new(),
        };
        let services = until_last(&image.services);
        Self {
            directory: image.directory.clone(),
            directory_v6: image.directory_v6.clone(),
            prefixes: sorted(&image.prefixes),
            prefixes_v6: sorted(&image.prefixes_v6),
            quic_servers: sorted(&image.quic_servers),
            services: services.map(|s| (s, slots(s.ring))).collect(),
            backends: until_last(&image.backends).collect(),
        }
    }
}

/// The entries of an array up to the last that is not empty.
fn until_last<V: Copy + Default + PartialEq>(array: &[V]) -> impl Iterator<Item = V> {
    let last = array.iter().rposition(|entry| *entry != V::default());
    array.iter().take(last.map_or(0, |last| last + 1)).copied()
}

fn sorted<K: Copy + std::fmt::Debug>(list: &[(K, u32)]) -> Vec<(K, u32)> {
    let mut list = list.to_vec();
    list.sort_by_key(|(key, _)| format!("{key:?}"));
    list
}

fn prefix(third: u8, length: u8) -> Prefix {
    Prefix::around([198, 51, third, 0].into(), length).unwrap()
}

/// Before and after a change of everything that can change.
fn change() -> [Desired; 2] {
    let stateless = |port, hosts: &[u8]| service(port, ForwardingMode::Ipip, hosts);
    let nat = |hosts: &[u8]| service(81, ForwardingMode::Nat, hosts);
    let dnat = |hosts: &[u8]| service(82, ForwardingMode::Dnat, hosts);
    let quic = |ids: &[(u8, u8)]| {
        let hosts: Vec<u8> = ids.iter().map(|(host, _)| *host).collect();
        let mut service = service(443, ForwardingMode::L2Dsr, &hosts);
        service.id.protocol = Protocol::Udp;
        service.quic = Some(Quic::default());
        for (backend, (_, id)) in service.backends.iter_mut().zip(ids) {
            backend.quic_server_id = QuicServerId::new(&[*id; 4]);
        }
        service
    };
    let many = |third, hosts: &[u8]| {
        let mut service = stateless(80, hosts);
        service.id.address = prefix(third, 24);
        service
    };
    let v6 = |port| {
        let mut service = stateless(port, &[2]);
        service.id.address = Prefix::from(std::net::Ipv6Addr::LOCALHOST);
        service
    };
    let mut grown = stateless(83, &[2, 3, 4]);
    grown.ring_log2 = Some(7);
    let dead = with_state(&stateless(80, &[2, 3, 4]), 3, BackendState::Down);
    [
        vec![
            stateless(80, &[2, 3]),
            nat(&[2, 3]),
            dnat(&[2]),
            stateless(83, &[2, 3]),
            stateless(84, &[2, 3]),
            quic(&[(2, 1), (3, 2)]),
            many(100, &[2]),
            v6(80),
        ],
        vec![
            dead,
            nat(&[3, 5]),
            dnat(&[4]),
            grown,
            stateless(85, &[2]),
            quic(&[(2, 2), (4, 1)]),
            many(101, &[3]),
            v6(81),
        ],
    ]
    .map(|services| desired(&services))
}

/// A scene before the change, and what packets meet then.
fn before() -> (Scene, Reach) {
    let mut scene = Scene::new(&change()[0]);
    let two = scene.index(2).unwrap();
    let three = scene.index(3).unwrap();
    scene.enter(1, 0, two);
    scene.enter(2, 1, three);
    let reach = Reach::of(&scene.maps.image);
    (scene, reach)
}

/// What packets meet after a change that nothing befell.
fn after() -> Reach {
    let (mut scene, _) = before();
    scene.apply(&change()[1]);
    assert_eq!(scene.maps.exceptions.len(), 1);
    Reach::of(&scene.maps.image)
}

/// Calls of a change that can fail; more than this and the tests below would not end.
const ENOUGH: u64 = 1000;

#[test]
fn a_change_that_fails_at_any_call_leaves_what_was_or_is_made() {
    let [old, new] = change();
    let expected = after();
    let mut failed = 0;
    for call in 0..ENOUGH {
        let (mut scene, before) = before();
        scene.maps.fail(call..call + 1);
        let result = scene.try_apply(&new);
        let has_failed = scene.maps.has_failed();
        scene.maps.fail(0..0);
        if result.is_err() {
            failed += 1;
            assert_eq!(Reach::of(&scene.maps.image), before, "call {call}");
            assert_eq!(scene.live.desired(), &old);
            assert_eq!(scene.apply(&old), Applied::default(), "call {call}");
            scene.apply(&new);
        }
        assert_eq!(Reach::of(&scene.maps.image), expected, "call {call}");
        assert_eq!(scene.live.desired(), &new);
        // Entries of the dead are all that a change may leave to the sweep.
        scene.sweep();
        assert_eq!(scene.maps.exceptions.len(), 1, "call {call}");
        if !has_failed {
            println!("{failed} of {call} calls made the change fail");
            assert!(failed > 30, "the change is too small: {failed}");
            return;
        }
    }
    panic!("the change does not end");
}

#[test]
fn maps_that_fail_for_good_are_not_said_to_be_as_they_were() {
    let new = &change()[1];
    let mut told = 0;
    for call in 0..ENOUGH {
        let (mut scene, before) = before();
        scene.maps.fail(call..u64::MAX);
        match scene.try_apply(new) {
            Ok(_) => break,
            Err(EngineError::HalfChanged { .. }) => told += 1,
            Err(_) => assert_eq!(Reach::of(&scene.maps.image), before, "call {call}"),
        }
    }
    assert!(told > 30, "{told}");
}

/// Whoever can be found is there: services with entries, slots with owners that have some, too.
fn assert_whole(image: &Image, place: &str) {
    let reach = Reach::of(image);
    let v4 = reach.directory.buckets.iter().flat_map(|b| b.entries);
    let v6 = reach.directory_v6.buckets.iter().flat_map(|b| b.entries);
    let targets = v4.map(|entry| entry.target);
    let targets = targets.chain(v6.map(|entry| entry.target));
    let found = targets.filter(|target| target.kind & (SERVICE | DNAT_BACKEND) != 0);
    let found = found.map(|target| target.service);
    let prefixes = reach.prefixes.iter().map(|(_, service)| *service);
    let nobody = abi::backend::Backend::default();
    let backend = |index: u32| reach.backends.get(index as usize).copied();
    for service in found.chain(prefixes) {
        let (entry, slots) = &reach.services[service as usize];
        assert!(entry.ring.exists(), "{place}: service {service}");
        for slot in slots {
            let previous = (slot.state() == TRANSITION).then(|| slot.previous());
            for owner in [Some(slot.current()), previous].into_iter().flatten() {
                let entry = backend(owner);
                assert!(
                    entry.is_some_and(|entry| entry != nobody),
                    "{place}: {slot:?}"
                );
            }
        }
    }
    for (key, index) in &reach.quic_servers {
        let lives = backend(*index).is_some_and(|entry| entry.flags & ALIVE != 0);
        assert!(lives, "{place}: {key:?} leads to {index}");
    }
}

#[test]
fn every_half_of_a_change_leads_to_somebody() {
    let new = &change()[1];
    for call in 0..ENOUGH {
        let (mut scene, _) = before();
        // Nothing is taken back either, so this is what packets met after so many calls.
        scene.maps.fail(call..u64::MAX);
        let result = scene.try_apply(new);
        assert_whole(&scene.maps.image, &format!("call {call}"));
        if result.is_ok() {
            return;
        }
    }
    panic!("the change does not end");
}

#[test]
fn every_half_of_a_change_that_is_taken_back_leads_to_somebody() {
    let new = &change()[1];
    let mut halves = 0;
    for call in 0..ENOUGH {
        for from in call + 1..ENOUGH {
            let (mut scene, _) = before();
            scene.maps.fail_twice(call, from);
            match scene.try_apply(new) {
                Ok(_) if from == call + 1 && !scene.maps.has_failed() => {
                    assert!(halves > 300, "{halves}");
                    return;
                }
                Err(EngineError::HalfChanged { .. }) => halves += 1,
                // All of it is taken back, or made but for entries of the dead.
                _ => break,
            }
            let place = format!("call {call}, taken back until {from}");
            assert_whole(&scene.maps.image, &place);
        }
    }
    panic!("the change does not end");
}

#[test]
fn what_a_sweep_that_fails_leaves_the_next_one_does() {
    let mut gone = change()[1].clone();
    gone.services.retain(|service| service.quic.is_some());
    gone.services[0].backends.truncate(1);
    let scene = |fails: std::ops::Range<u64>| {
        let (mut scene, _) = before();
        scene.apply(&change()[1]);
        scene.apply(&gone);
        scene.pass(WINDOW + TICK);
        scene.sweep();
        // Keys and indices become free in one of the next.
        let mut has_failed = false;
        for _ in 0..4 {
            scene.maps.fail(fails.clone());
            let result = scene.try_sweep();
            has_failed |= scene.maps.has_failed();
            assert_eq!(result.is_err(), scene.maps.has_failed());
        }
        scene.maps.fail(0..0);
        for _ in 0..5 {
            scene.sweep();
        }
        (scene, has_failed)
    };
    let (calm, _) = scene(0..0);
    assert_eq!(calm.maps.image.quic_servers.len(), 1);
    assert_eq!(calm.live.living().count(), 1);
    let expected = Reach::of(&calm.maps.image);
    for call in 0..ENOUGH {
        let (scene, has_failed) = scene(call..call + 1);
        assert_eq!(Reach::of(&scene.maps.image), expected, "call {call}");
        let free = |scene: &Scene| scene.live.backend_indices.free();
        assert_eq!(free(&scene), free(&calm), "call {call}");
        if !has_failed {
            assert!(call > 20, "the sweep is too short: {call}");
            return;
        }
    }
    panic!("the sweep does not end");
}
