//! What a change is said to do, and what it does then.

use abi::flow::{FORWARD, FlowState, FlowV4, REVERSE};

use super::random::Dice;
use super::*;

/// Services and backends of a live state: index, slots and backends by index, and the ring.
type Picture = BTreeMap<Identity, (u32, Vec<u32>, BTreeMap<u32, (Standing, u32)>)>;

fn picture(scene: &Scene) -> Picture {
    let services = scene.live.services.iter();
    let picture = services.map(|(identity, roster)| {
        let members = roster.members.iter();
        let members = members.map(|member| (member.index, (member.standing, member.slots)));
        let slots = roster.region.map_or(0..0, |r| r.first..r.first + r.slots());
        let ring = slots.map(|slot| scene.maps.slot(slot).current());
        (*identity, (roster.index, ring.collect(), members.collect()))
    });
    picture.collect()
}

/// Lets some clients speak to each service.
fn speak(scene: &mut Scene, dice: &mut Dice, flows: &mut u16) {
    let rosters: Vec<Arc<Roster>> = scene.live.services.values().cloned().collect();
    for roster in rosters {
        for member in roster.members.iter().filter(|member| member.lives()) {
            for _ in 0..dice.below(3) {
                *flows += 2;
                speak_to(scene, &roster, member.index, *flows);
            }
        }
    }
}

fn speak_to(scene: &mut Scene, roster: &Roster, backend: u32, flow: u16) {
    let (service, last_seen) = (roster.index, scene.maps.now);
    if roster.desired.mode != ForwardingMode::Nat {
        let entry = Exception {
            service,
            hash: u32::from(flow) << 16,
            last_seen,
            backend,
            ..Exception::default()
        };
        scene.maps.exceptions.insert(client(flow), entry);
        return;
    }
    for (half, direction) in [(flow, FORWARD), (flow + 1, REVERSE)] {
        let state = FlowState {
            service,
            backend,
            last_seen,
            direction,
            ..FlowState::default()
        };
        let entry = FlowV4 {
            state,
            ..FlowV4::default()
        };
        scene.maps.flows.insert(client(half), entry);
    }
}

/// Compares what was said of a service with what there is before and after.
fn assert_kept(said: &ServicePreview, before: &Picture, after: &Picture) {
    let identity = (said.id, said.mode);
    let old = before.get(&identity);
    let Some((_, ring, members)) = after.get(&identity) else {
        assert_eq!((said.change, old.is_some()), (Change::Removed, true));
        return;
    };
    let change = old.map_or(Change::Added, |_| Change::Changed);
    assert_eq!((said.change, said.slots as usize), (change, ring.len()));
    let moved = match old {
        Some((_, old, _)) if !old.is_empty() => {
            let growth = ring.len() / old.len();
            let moved = ring.iter().enumerate();
            moved
                .filter(|(place, owner)| **owner != old[place / growth])
                .count()
        }
        _ => ring.len(),
    };
    assert_eq!(said.slots_moved as usize, moved);
    for backend in &said.backends {
        let Some(index) = backend.index else {
            continue;
        };
        let (standing, slots) = members[&index];
        assert_eq!(backend.slots[1], slots, "{backend:?}");
        let dies = backend.change == BackendChange::Dies;
        assert_eq!(dies, standing == Standing::Dead, "{backend:?}");
        let was = &old.unwrap().2[&index];
        assert_eq!(backend.slots[0], was.1, "{backend:?}");
        let leaves = backend.change == BackendChange::Leaves;
        let left = (was.0, standing) == (Standing::Configured, Standing::Leaving);
        assert_eq!(leaves, left, "{backend:?}");
    }
    let new = members
        .keys()
        .filter(|index| old.is_none_or(|old| !old.2.contains_key(index)));
    let fresh = |b: &&BackendPreview| b.change == BackendChange::Added && b.index.is_none();
    assert_eq!(new.count(), said.backends.iter().filter(fresh).count());
}

/// Flows of backends that live and answer for another service from now on: they lose no entry.
fn taken(service: &ServicePreview, counts: &FlowCounts) -> u64 {
    let backends = service.backends.iter();
    let taken = backends.filter(|it| it.loses_answers && it.change != BackendChange::Dies);
    let flows = taken.map(|backend| service.flows(backend, counts));
    match service.mode {
        ForwardingMode::Dnat => flows.sum(),
        _ => 0,
    }
}

#[test]
fn a_change_does_what_was_said() {
    let mut seen = [0_u64; 5];
    for seed in 0..500 {
        let mut dice = Dice::new(seed);
        let mut desired = dice.change(&Desired::default());
        let mut scene = Scene::new(&desired);
        let mut flows = 0;
        for step in 0..20 {
            println!("seed {seed}, step {step}");
            speak(&mut scene, &mut dice, &mut flows);
            desired = dice.change(&desired);
            let before = picture(&scene);
            let image = scene.maps.image.clone();
            let counts = flows_of(&scene.maps).unwrap();
            let said = scene
                .live
                .preview(&scene.maps, &desired, &next_hop)
                .unwrap();
            let prepared = scene.live.prepare(&mut scene.maps, &desired, &next_hop);
            assert_eq!(prepared.unwrap().preview(&scene.maps), said);
            assert_eq!(scene.maps.image, image);
            let applied = scene.apply(&desired);
            let flows_lost = applied.flows_lost;
            assert_eq!(
                said.applied,
                Applied {
                    flows_lost: 0,
                    ..applied
                }
            );
            let after = picture(&scene);
            let mut told: BTreeSet<Identity> = BTreeSet::new();
            for service in &said.services {
                assert_kept(service, &before, &after);
                told.insert((service.id, service.mode));
            }
            for identity in before.keys().chain(after.keys()) {
                let same = before.get(identity) == after.get(identity);
                assert!(same || told.contains(identity), "{identity:?}");
            }
            let count = |change| {
                let backends = said.services.iter().flat_map(|service| &service.backends);
                backends.filter(|backend| backend.change == change).count() as u64
            };
            let kept = |service: &&ServicePreview| service.change != Change::Removed;
            let dies = said
                .services
                .iter()
                .filter(kept)
                .flat_map(|service| &service.backends);
            let dies = dies
                .filter(|backend| backend.change == BackendChange::Dies)
                .count();
            assert_eq!(count(BackendChange::Added), applied.backends_added);
            assert_eq!(count(BackendChange::Leaves), applied.backends_removed);
            assert_eq!(dies as u64, applied.backends_died);
            let moved = said.services.iter().map(|service| service.slots_moved);
            assert_eq!(moved.sum::<u64>(), applied.slots_changed);
            let swept = scene.sweep();
            let lost = flows_lost + swept.lost;
            let taken = said.services.iter().map(|service| taken(service, &counts));
            assert_eq!(said.disruption(&counts).breaks, lost + taken.sum::<u64>());
            let numbers = [
                lost,
                dies as u64,
                applied.backends_removed,
                applied.rings_grown,
            ];
            for (seen, number) in seen.iter_mut().zip(numbers) {
                *seen += u64::from(number > 0);
            }
            seen[4] += applied.services_removed;
            if dice.once_in(4) {
                scene.pass(WINDOW);
                scene.sweep();
            }
        }
    }
    assert!(seen.iter().all(|seen| *seen > 300), "too calm: {seen:?}");
}

/// What a change of one service would do, with two flows for each of its backends.
fn effects(one: &Service, other: &Service) -> (FlowEffects, Disruption) {
    let mut scene = Scene::new(&desired(std::slice::from_ref(one)));
    let roster = scene.live.services.values().next().cloned().unwrap();
    for (flow, member) in (0..).step_by(4).zip(&roster.members) {
        speak_to(&mut scene, &roster, member.index, flow);
        speak_to(&mut scene, &roster, member.index, flow + 2);
    }
    let counts = flows_of(&scene.maps).unwrap();
    let other = desired(std::slice::from_ref(other));
    let said = scene.live.preview(&scene.maps, &other, &next_hop).unwrap();
    (said.services[0].effects(&counts), said.disruption(&counts))
}

fn changed(one: &Service, change: impl FnOnce(&mut Service)) -> Service {
    let mut other = one.clone();
    change(&mut other);
    other
}

#[test]
fn a_death_breaks_what_is_known_and_where_nothing_is_remembered_perhaps_more() {
    for (mode, track, unknown) in [
        (ForwardingMode::Nat, Track::Auto, false),
        (ForwardingMode::Ipip, Track::Auto, true),
        (ForwardingMode::Ipip, Track::Never, true),
        (ForwardingMode::Ipip, Track::Always, false),
        (ForwardingMode::Dnat, Track::Auto, true),
    ] {
        let one = changed(&service(80, mode, &[2, 3]), |one| one.track = track);
        let dead = with_state(&one, 2, BackendState::Down);
        let (_, disruption) = effects(&one, &dead);
        assert_eq!(
            disruption,
            Disruption { breaks: 2, unknown },
            "{mode} {track}"
        );
        let other = service(81, mode, &[2]);
        let (mut scene, counts) = (Scene::new(&desired(&[one])), FlowCounts::default());
        let gone = scene
            .live
            .preview(&scene.maps, &desired(&[other]), &next_hop);
        assert_eq!(
            gone.unwrap().disruption(&counts).unknown,
            unknown,
            "{mode} {track}"
        );
        scene.sweep();
    }
}

#[test]
fn who_leaves_or_drains_keeps_its_flows() {
    for (mode, drain_unknown) in [(ForwardingMode::Nat, false), (ForwardingMode::Ipip, true)] {
        let one = service(80, mode, &[2, 3]);
        for other in [
            with_state(&one, 2, BackendState::Drain),
            changed(&one, |one| one.backends.truncate(1)),
            changed(&one, |one| one.backends[0].weight = 0),
        ] {
            let (effects, disruption) = effects(&one, &other);
            let expected = FlowEffects {
                drain: 2,
                drain_unknown,
                ..FlowEffects::default()
            };
            assert_eq!(effects, expected, "{mode}");
            assert!(!disruption.breaks_anything());
        }
    }
}

#[test]
fn what_a_service_does_not_track_may_move() {
    let udp = |one: &mut Service| one.id.protocol = Protocol::Udp;
    let one = service(80, ForwardingMode::Ipip, &[2, 3]);
    let drained = |one: &Service| with_state(one, 2, BackendState::Drain);
    let heavier = |one: &Service| changed(one, |one| one.backends[0].weight = 2);
    let datagrams = changed(&one, udp);
    let tracked = changed(&datagrams, |one| one.track = Track::Always);
    let untracked = changed(&one, |one| one.track = Track::Never);
    for (one, other, may_move) in [
        (&one, drained(&one), false),
        (&one, heavier(&one), false),
        (&datagrams, drained(&datagrams), true),
        (&datagrams, heavier(&datagrams), false),
        (&tracked, drained(&tracked), false),
        (&untracked, heavier(&untracked), true),
    ] {
        let (effects, disruption) = effects(one, &other);
        assert_eq!(effects.may_move, may_move, "{other:?}");
        assert!(!disruption.breaks_anything());
    }
}

#[test]
fn what_the_last_that_drains_or_left_has_may_move_to_who_comes() {
    let tcp = service(80, ForwardingMode::Ipip, &[2]);
    let udp = changed(&tcp, |one| one.id.protocol = Protocol::Udp);
    let third = &service(80, ForwardingMode::Ipip, &[3]).backends[0];
    for one in [tcp, udp] {
        let drained = with_state(&one, 2, BackendState::Drain);
        let down = |one: &mut Service| {
            one.backends = vec![Backend {
                state: BackendState::Down,
                ..third.clone()
            }];
        };
        for last in [drained, changed(&one, down)] {
            let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
            scene.apply(&desired(std::slice::from_ref(&last)));
            let come = |one: &mut Service| {
                one.backends
                    .truncate(usize::from(one.backends[0].address != third.address));
                one.backends.push(third.clone());
            };
            let come = desired(&[changed(&last, come)]);
            let said = scene.live.preview(&scene.maps, &come, &next_hop).unwrap();
            let effects = said.services[0].effects(&FlowCounts::default());
            assert_eq!(
                effects.may_move,
                one.id.protocol == Protocol::Udp,
                "{last:?}"
            );
            assert_eq!((effects.drain, effects.drain_unknown), (0, false));
        }
    }
}

#[test]
fn flows_that_fall_elsewhere_may_break() {
    let mut one = service(443, ForwardingMode::Ipip, &[2, 3]);
    one.id.protocol = Protocol::Udp;
    let affinity = changed(&one, |one| {
        one.affinity = crate::desired::Affinity::SourceAddress;
    });
    assert!(effects(&one, &affinity).1.unknown);
    let nat = changed(&one, |one| one.mode = ForwardingMode::Nat);
    let with_affinity = changed(&affinity, |one| one.mode = ForwardingMode::Nat);
    assert!(
        !effects(&nat, &with_affinity).1.unknown,
        "its flows are in a table"
    );
    let quic = changed(&one, |one| {
        one.quic = Some(Quic::default());
        for (id, backend) in (1..).zip(&mut one.backends) {
            backend.quic_server_id = QuicServerId::new(&[id; 4]);
        }
    });
    assert!(effects(&one, &quic).1.unknown);
    let id = QuicServerId::new(&[9; 4]);
    let renamed = changed(&quic, |one| one.backends[1].quic_server_id = id);
    assert!(effects(&quic, &renamed).1.unknown);
    let quiet = changed(&one, |one| {
        (one.echo, one.transition_window) = (false, WINDOW / 2);
    });
    assert!(!effects(&one, &quiet).1.breaks_anything());
}

#[test]
fn a_service_that_says_more_takes_packets_from_one_that_says_less() {
    let mut all = service(80, ForwardingMode::Ipip, &[2]);
    all.id.port = ServicePort::Any;
    let mut wide = service(80, ForwardingMode::Ipip, &[3]);
    wide.id.address = Prefix::around(VIP_ADDRESS.into(), 24).unwrap();
    let one = service(80, ForwardingMode::Ipip, &[4]);
    let before = [
        all.clone(),
        wide.clone(),
        service(81, ForwardingMode::Ipip, &[2]),
    ];
    let scene = Scene::new(&desired(&before));
    let after = [&before[..], std::slice::from_ref(&one)].concat();
    let said = scene
        .live
        .preview(&scene.maps, &desired(&after), &next_hop)
        .unwrap();
    assert_eq!(said.services.len(), 1);
    assert_eq!(said.services[0].takes_from, [all.id, wide.id]);
    assert!(said.disruption(&FlowCounts::default()).unknown);
}

#[test]
fn a_service_of_nat_takes_no_flows_from_another_of_nat() {
    let mut all = service(80, ForwardingMode::Nat, &[2]);
    all.id.port = ServicePort::Any;
    let scene = Scene::new(&desired(std::slice::from_ref(&all)));
    let taken = |mode| {
        let both = desired(&[all.clone(), service(80, mode, &[3])]);
        let said = scene.live.preview(&scene.maps, &both, &next_hop).unwrap();
        said.services[0].takes_from.clone()
    };
    assert_eq!(taken(ForwardingMode::Nat), []);
    assert_eq!(taken(ForwardingMode::Dnat), [all.id]);
}

#[test]
fn another_source_address_breaks_no_flow_of_the_old_one() {
    let one = desired(&[service(80, ForwardingMode::Nat, &[2, 3])]);
    let mut scene = Scene::new(&one);
    let roster = scene.live.services.values().next().cloned().unwrap();
    speak_to(&mut scene, &roster, roster.members[0].index, 2);
    let mut other = one.clone();
    other.nat.address = Some(Ipv4Addr::new(10, 0, 0, 77));
    let counts = flows_of(&scene.maps).unwrap();
    let said = scene.live.preview(&scene.maps, &other, &next_hop).unwrap();
    assert_eq!(said.disruption(&counts).breaks, 0);
    other.nat.address = Some(Ipv4Addr::new(10, 0, 0, 1));
    let said = scene.live.preview(&scene.maps, &other, &next_hop).unwrap();
    assert_eq!(said, Preview::default());
}

#[test]
fn a_backend_that_answers_for_another_service_breaks_the_flows_it_has_left() {
    let [one, other] = [80, 81].map(|port| {
        changed(&service(port, ForwardingMode::Dnat, &[2]), |one| {
            one.backends[0].port = Some(80);
        })
    });
    let rest = changed(&one, |one| one.backends = vec![backend(3)]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    let roster = scene.live.services.values().next().cloned().unwrap();
    speak_to(&mut scene, &roster, roster.members[0].index, 2);
    scene.apply(&desired(std::slice::from_ref(&rest)));
    let both = desired(&[rest.clone(), other]);
    let said = scene.live.preview(&scene.maps, &both, &next_hop).unwrap();
    let counts = flows_of(&scene.maps).unwrap();
    let told: Vec<_> = said.services.iter().map(|service| service.id).collect();
    assert_eq!(told, [both.services[1].id, rest.id]);
    assert_eq!(said.disruption(&counts).breaks, 1);
    assert!(said.can_break());
    // As soon as the flow is over, nobody minds.
    for _ in 0..2 {
        scene.pass(WINDOW + TICK);
        for _ in 0..4 {
            scene.sweep();
        }
    }
    let said = scene.live.preview(&scene.maps, &both, &next_hop).unwrap();
    assert_eq!((said.services.len(), said.can_break()), (1, false));
    // Once it has been taken, it is not taken again.
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    let roster = scene.live.services.values().next().cloned().unwrap();
    speak_to(&mut scene, &roster, roster.members[0].index, 2);
    scene.apply(&desired(std::slice::from_ref(&rest)));
    scene.apply(&both);
    assert_eq!(scene.live.leaving().count(), 1);
    let more = [
        both.services.clone(),
        vec![service(82, ForwardingMode::Ipip, &[2])],
    ]
    .concat();
    let said = scene.live.preview(&scene.maps, &desired(&more), &next_hop);
    assert!(!said.unwrap().can_break());
}

#[test]
fn what_needs_more_room_is_told_as_if_there_were() {
    let [one, more] = [80, 81].map(|port| service(port, ForwardingMode::Ipip, &[2, 3]));
    let wanted = desired(&[one.clone(), more]);
    let said = |scene: &Scene| scene.live.preview(&scene.maps, &wanted, &next_hop);
    let one = desired(&[one]);
    let expected = said(&Scene::new(&one)).unwrap();
    assert_eq!(expected.applied.backends_added, 2);
    let narrow: [fn(&mut Room); 3] = [
        |room| room.services = 1,
        |room| room.backends = 3,
        |room| room.slots = 64,
    ];
    for narrow in narrow {
        let mut maps = Memory::new();
        narrow(&mut maps.room);
        let mut scene = Scene::on(maps, &one);
        let error = scene.try_apply(&wanted).unwrap_err();
        assert!(error.is_for_room(), "{error}");
        assert_eq!(said(&scene).unwrap(), expected);
    }
}

#[test]
fn who_has_drained_dies_without_a_trace() {
    let one = service(80, ForwardingMode::Ipip, &[2, 3]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    scene.apply(&desired(&[with_state(&one, 2, BackendState::Drain)]));
    let dead = desired(&[with_state(&one, 2, BackendState::Down)]);
    let unknown = |scene: &Scene| {
        let said = scene.live.preview(&scene.maps, &dead, &next_hop).unwrap();
        said.disruption(&FlowCounts::default()).unknown
    };
    assert!(unknown(&scene));
    scene.pass(WINDOW + TICK);
    scene.sweep();
    assert!(!unknown(&scene));
}

#[test]
fn fields_are_told_as_they_were_and_will_be() {
    let one = service(80, ForwardingMode::Gue, &[2, 3, 4]);
    let mut other = with_state(&one, 3, BackendState::Drain);
    (other.affinity, other.ring_log2) = (crate::desired::Affinity::SourceAddress, None);
    other.backends[0].weight = 3;
    other.backends[2].state = BackendState::Down;
    other.backends[0].mac = Some(Mac([2, 0, 0, 0, 0, 9]));
    let scene = Scene::new(&desired(&[one]));
    let said = scene
        .live
        .preview(&scene.maps, &desired(&[other]), &next_hop)
        .unwrap();
    let tell = |fields: &[FieldChange]| {
        let fields = fields.iter();
        let fields = fields.map(|f| format!("{} {} {}", f.field, f.old, f.new));
        fields.collect::<Vec<_>>().join(", ")
    };
    let service = &said.services[0];
    assert_eq!(
        tell(&service.fields),
        "affinity none source, ring_slots 64 default"
    );
    let backends: Vec<_> = service
        .backends
        .iter()
        .map(|b| (b.change, tell(&b.fields)))
        .collect();
    let expected = [
        (
            BackendChange::Changed,
            "weight 1 3, mac default 02:00:00:00:00:09",
        ),
        (BackendChange::Changed, "state up drain"),
        (BackendChange::Dies, "state up down"),
    ];
    assert_eq!(
        backends,
        expected.map(|(change, text)| (change, text.to_owned()))
    );
    assert_eq!((service.slots_before, service.slots), (64, 4096));
}
