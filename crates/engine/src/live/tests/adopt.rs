use std::collections::BTreeMap;

use abi::directory::{DirectoryKey as _, KeyV4, Target};
use abi::slot::{Slot, TRANSITION};

use super::*;

/// The maps of a scene, found by another process.
fn adopt(scene: &mut Scene) {
    let found = scene.maps.found();
    let settings = scene.live.settings;
    scene.live = Live::adopt(settings, &mut scene.maps, &found, TICK).unwrap();
}

/// Two services of every mode, a prefix and server ids among them.
fn every_mode(hosts: &[u8]) -> Vec<Service> {
    let modes = ForwardingMode::ALL.into_iter().zip(80..);
    let mut services: Vec<Service> = modes
        .map(|((_, mode), port)| service(port, mode, hosts))
        .collect();
    let mut prefix = service(90, ForwardingMode::Ipip, hosts);
    prefix.id.address = Prefix::around([198, 51, 100, 0].into(), 24).unwrap();
    let mut quic = service(443, ForwardingMode::L2Dsr, hosts);
    quic.id.protocol = Protocol::Udp;
    quic.quic = Some(Quic::default());
    for (backend, id) in quic.backends.iter_mut().zip(1..) {
        backend.quic_server_id = QuicServerId::new(&[id, 2, 3, 4]);
    }
    services.extend([prefix, quic]);
    services
}

/// What packets meet, whatever the indices: for each key of the directory, prefix and server id what
/// it leads to, and of each service its flags and, slot by slot, who it belongs to and belonged to.
#[derive(Debug, PartialEq)]
struct Seen {
    directory: BTreeMap<Key, (u32, String)>,
    prefixes: Vec<(PrefixKey, String)>,
    servers: Vec<(String, u64, String)>,
    services: BTreeMap<String, (u8, u8, Vec<String>)>,
}

fn seen(scene: &Scene) -> Seen {
    let image = &scene.maps.image;
    let service = |index: u32| {
        let entry = image.services.get(index as usize)?;
        let id = entry::read_service(entry)?.id;
        Some(format!("{id} {}", entry.mode))
    };
    let named = |index: u32| service(index).unwrap_or_else(|| "nothing".into());
    let backend = |index: u32| {
        let entry = image.backends[index as usize];
        let (address, flags) = (entry.address, entry.flags);
        format!("{address:?}:{} {flags:b}", entry.port.get())
    };
    let slot = |slot: &Slot| match slot.state() {
        TRANSITION => backend(slot.current()) + " after " + &backend(slot.previous()),
        _ => backend(slot.current()),
    };
    let found = scene.maps.found();
    let rings = (0..).zip(&image.services).filter_map(|(index, entry)| {
        let first = entry.ring.first_slot() as usize;
        let slots = &image.slots[first..first + entry.ring.length() as usize];
        let slots = slots.iter().map(slot).collect();
        Some((service(index)?, (entry.flags, entry.quic_config, slots)))
    });
    Seen {
        directory: directory(image)
            .into_iter()
            .map(|(key, target)| (key, (target.kind, named(target.service))))
            .collect(),
        prefixes: found
            .prefixes
            .iter()
            .map(|(key, index)| (*key, named(*index)))
            .collect(),
        servers: found
            .quic_servers
            .iter()
            .map(|((index, id), to)| (named(*index as u32), *id, backend(*to)))
            .collect(),
        services: rings.collect(),
    }
}

/// The keys of the IPv4 directory that packets read.
fn directory(image: &Image) -> BTreeMap<Key, Target> {
    let buckets = image.directory.buckets.iter();
    let entries = buckets.flat_map(|bucket| bucket.entries);
    let taken = entries.filter(|entry| entry.key != KeyV4::default());
    let decoded = taken.map(|entry| {
        let (address, port, protocol) = entry.key.parts();
        let key = Key {
            address: Ipv4Addr::from(address.get()).into(),
            port: port.get(),
            protocol,
        };
        (key, entry.target)
    });
    decoded.collect()
}

#[test]
fn what_is_adopted_is_what_was_left_and_the_same_configuration_changes_nothing() {
    let mut services = every_mode(&[2, 3, 4, 5]);
    let mut scene = Scene::new(&desired(&services));
    // Somebody drains, somebody is dead, somebody leaves, somebody comes.
    for one in &mut services {
        one.backends[0].state = BackendState::Drain;
        one.backends[1].state = BackendState::Down;
        one.backends.remove(2);
    }
    scene.apply(&desired(&services));
    scene.enter(1, 5, 0);
    let before = (scene.maps.image.clone(), seen(&scene));
    let members = |scene: &Scene| -> Vec<(u32, u32, bool)> {
        let rosters = scene.live.services.values();
        let mut members: Vec<_> = rosters
            .flat_map(|roster| &roster.members)
            .map(|member| (member.index, member.slots, member.lives()))
            .collect();
        members.sort_unstable();
        members
    };
    let changing = |scene: &Scene| -> Vec<usize> {
        let rosters = scene.live.services.values();
        rosters.map(|roster| roster.changing.len()).collect()
    };
    let known = (members(&scene), changing(&scene));
    assert!(known.1.iter().any(|changing| *changing > 0));
    adopt(&mut scene);
    assert_eq!((members(&scene), changing(&scene)), known);
    let applied = scene.apply(&desired(&services));
    assert_eq!((applied.slots_changed, applied.entries_written), (0, 0));
    assert_eq!((applied.services_added, applied.services_removed), (0, 0));
    assert_eq!(scene.maps.image, before.0);
    assert_eq!(seen(&scene), before.1);
}

#[test]
fn a_process_that_dies_at_any_write_leaves_what_the_next_makes_old_or_new_of() {
    let old = desired(&every_mode(&[2, 3, 4]));
    let mut new = every_mode(&[3, 4, 5]);
    new.remove(1);
    new[0].mode = ForwardingMode::Ipip;
    new[2].ring_log2 = Some(7);
    new[3].backends[0].state = BackendState::Down;
    new.push(service(8443, ForwardingMode::Gue, &[7]));
    let mut prefix = service(90, ForwardingMode::Ipip, &[7]);
    prefix.id.address = Prefix::around([203, 0, 113, 0].into(), 25).unwrap();
    new.push(prefix);
    let new = desired(&new);
    let after = |first: &Desired, then: &Desired| {
        let mut scene = Scene::new(first);
        scene.apply(then);
        (seen(&scene), scene)
    };
    let (wanted_new, _) = after(&old, &new);
    let (wanted_old, _) = after(&old, &old);
    let (mut deaths_at_calls, mut deaths_at_slots) = (0, 0);
    let all = (0..).map(|call| (call, u64::MAX));
    let slots = (0..64 * 9).step_by(7).map(|slots| (u64::MAX, slots));
    for (call, slots) in all.take(200).chain(slots) {
        for (then, wanted) in [(&new, &wanted_new), (&old, &wanted_old)] {
            let (_, mut scene) = after(&old, &old);
            scene.maps.die(call, slots);
            let _ = scene.live.apply(&mut scene.maps, &new, &next_hop);
            let died = u32::from(scene.maps.has_died());
            match slots {
                u64::MAX => deaths_at_calls += died,
                _ => deaths_at_slots += died,
            }
            scene.maps.revive();
            adopt(&mut scene);
            scene.apply(then);
            let found = seen(&scene);
            // Back to the old: those that died on the way are new ones, and slots may be in transition.
            if std::ptr::eq(then, &raw const old) {
                assert_eq!(found.directory, wanted.directory, "dead at {call}, {slots}");
                assert_eq!(found.prefixes, wanted.prefixes, "dead at {call}, {slots}");
                assert_eq!(found.servers, wanted.servers, "dead at {call}, {slots}");
                for (id, (flags, _, ring)) in &wanted.services {
                    let (found_flags, _, found_ring) = &found.services[id];
                    assert_eq!(found_flags, flags, "{id} dead at {call}, {slots}");
                    assert_eq!(
                        shares(found_ring),
                        shares(ring),
                        "{id} dead at {call}, {slots}"
                    );
                }
            } else {
                assert!(found == *wanted, "dead at {call}, {slots}");
            }
            for _ in 0..8 {
                scene.pass(WINDOW + TICK);
                scene.sweep();
            }
            assert!(scene.live.removed.is_empty(), "dead at {call}, {slots}");
        }
    }
    // Fewer than were tried: there is no later call to die at.
    assert!((1..400).contains(&deaths_at_calls), "{deaths_at_calls}");
    assert!(deaths_at_slots > 0);
}

/// Slots of each owner for each slot of a ring as long as that.
fn shares(ring: &[String]) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    for slot in ring {
        let owner = slot.split(" after ").next().unwrap_or_default();
        *shares.entry(owner).or_default() += 128 / ring.len();
    }
    shares
}

#[test]
fn rings_that_share_slots_are_refused() {
    let two = [
        service(80, ForwardingMode::Ipip, &[2]),
        service(81, ForwardingMode::Ipip, &[2]),
    ];
    let mut scene = Scene::new(&desired(&two));
    scene.maps.image.services[1].ring = scene.maps.image.services[0].ring;
    let found = scene.maps.found();
    let settings = scene.live.settings;
    let error = Live::adopt(settings, &mut scene.maps, &found, TICK).unwrap_err();
    assert!(error.to_string().contains("shares slots"), "{error}");
}

#[test]
fn the_window_of_a_slot_in_transition_begins_anew() {
    let one = service(80, ForwardingMode::Ipip, &[2, 3]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    let drained = desired(&[with_state(&one, 2, BackendState::Drain)]);
    scene.apply(&drained);
    scene.pass(WINDOW - TICK);
    adopt(&mut scene);
    scene.apply(&drained);
    scene.pass(WINDOW - TICK);
    scene.sweep();
    assert_eq!(scene.states(), [32, 32, 0]);
    scene.pass(TICK + TICK);
    for _ in 0..4 {
        scene.sweep();
    }
    assert_eq!(scene.states(), [64, 0, 0]);
}

#[test]
fn answers_to_where_packets_left_from_before_are_still_told() {
    let services = [
        service(80, ForwardingMode::Nat, &[2]),
        service(81, ForwardingMode::Ipip, &[2]),
    ];
    let mut scene = Scene::new(&desired(&services));
    let moved = scene.live.apply_next_hops(&mut scene.maps, &elsewhere);
    assert!(moved.unwrap().directory_written);
    for _ in 0..2 {
        adopt(&mut scene);
        let again = (scene.live).apply(&mut scene.maps, &desired(&services), &elsewhere);
        assert_eq!(again.unwrap().entries_written, 0);
        for source in [[10, 0, 0, 1], [10, 9, 0, 1]] {
            for protocol in [ipv4::TCP, ipv4::ICMP] {
                assert_eq!(scene.target(source, 0, protocol), Some(NAT_SOURCE));
            }
        }
    }
    assert_eq!(directory(&scene.maps.image), scene.live.keys.directory);
}

#[test]
fn backends_of_a_service_that_is_gone_die() {
    let two = [
        service(80, ForwardingMode::Ipip, &[2]),
        service(81, ForwardingMode::Ipip, &[3]),
    ];
    let mut scene = Scene::new(&desired(&two));
    let orphan = scene.maps.image.services[1];
    assert_ne!(orphan, abi::service::Service::default());
    scene.maps.image.services[1] = abi::service::Service::default();
    scene.enter(7, 3, 1);
    adopt(&mut scene);
    assert_eq!(scene.maps.image.backends[1].flags & (ALIVE | TAKES_NEW), 0);
    assert_eq!(scene.maps.image.backends[0].flags & ALIVE, ALIVE);
    scene.apply(&desired(&two[..1]));
    for _ in 0..6 {
        scene.sweep();
    }
    assert!(scene.maps.exceptions.is_empty());
    let nobody = abi::backend::Backend::default();
    assert_eq!(scene.maps.image.backends[1], nobody);
}

#[test]
fn a_service_that_nothing_led_to_yet_when_the_process_died_is_led_to() {
    let one = service(80, ForwardingMode::Ipip, &[2]);
    let two = service(81, ForwardingMode::Ipip, &[3]);
    let both = desired(&[one.clone(), two]);
    let mut finished = Scene::new(&desired(std::slice::from_ref(&one)));
    finished.apply(&both);
    for call in 0..12 {
        let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
        scene.maps.die(call, u64::MAX);
        let _ = scene.live.apply(&mut scene.maps, &both, &next_hop);
        scene.maps.revive();
        adopt(&mut scene);
        scene.apply(&both);
        assert!(seen(&scene) == seen(&finished), "dead at {call}");
    }
}
