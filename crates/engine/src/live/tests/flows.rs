//! Flows that are known one by one: listed, forgotten, and whether a backend has any left.

use abi::flow::Rewrite as _;
use abi::flow::{
    FIN_SEEN, FORWARD, Flow as _, FlowKey as _, FlowState, FlowV4, REVERSE, RewriteV4,
};

use super::*;
use crate::flows::{FlowFilter, FlowKind, FlowPhase, flush, list};

const NAT: ForwardingMode = ForwardingMode::Nat;
const DSR: ForwardingMode = ForwardingMode::L2Dsr;

/// Enters both halves of a flow from this port to a backend.
fn enter(maps: &mut Memory, port: u16, (service, backend): (u32, u32), seen: [u8; 2]) {
    let forward = client(port);
    let host = Be32::new(0x0a00_0002);
    let ours = Be32::new(0x0a00_0001);
    let ports = (Be16::new(port), Be16::new(80));
    let becomes = RewriteV4::new((ours, host), ports, 0, 0);
    let reverse = forward.opposite(&becomes);
    let back = RewriteV4::new(
        (forward.destination(), forward.source()),
        (Be16::new(80), Be16::new(port)),
        0,
        0,
    );
    let state = |direction, seen| FlowState {
        service,
        backend,
        direction,
        seen,
        ..FlowState::default()
    };
    maps.flows
        .insert(forward, FlowV4::new(becomes, state(FORWARD, seen[0])));
    maps.flows
        .insert(reverse, FlowV4::new(back, state(REVERSE, seen[1])));
}

fn exception(maps: &mut Memory, port: u16, (service, backend): (u32, u32)) {
    let entry = Exception {
        service,
        backend,
        ..Exception::default()
    };
    maps.exceptions.insert(client(port), entry);
}

fn indices(scene: &Scene, service: usize, backend: usize) -> (u32, u32) {
    let view = scene.live.services().nth(service).unwrap();
    (view.index(), view.backends().nth(backend).unwrap().index)
}

fn ports(flows: &[crate::flows::KnownFlow]) -> Vec<u16> {
    flows.iter().map(|flow| flow.name.client.port()).collect()
}

#[test]
fn every_flow_is_on_exactly_one_page_whatever_its_length() {
    let mut scene = Scene::new(&desired(&[
        service(80, NAT, &[2, 3]),
        service(81, DSR, &[2]),
    ]));
    let (nat, dsr) = (indices(&scene, 0, 0), indices(&scene, 1, 0));
    for port in [9, 3, 7, 1, 200, 50_000] {
        enter(&mut scene.maps, port, nat, [0, 0]);
    }
    for port in [3, 4, 60_000] {
        exception(&mut scene.maps, port, dsr);
    }
    let all = FlowFilter::default();
    for limit in 1..12 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = list(&mut scene.maps, &all, after, limit).unwrap();
            assert!(page.len() <= limit);
            after = page.last().map(|last| last.name);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(ports(&found), [1, 3, 3, 4, 7, 9, 200, 50_000, 60_000]);
        assert_eq!(found[2].name.kind, FlowKind::Exception);
    }
}

#[test]
fn both_halves_of_a_flow_say_how_far_it_has_come() {
    let mut scene = Scene::new(&desired(&[service(80, NAT, &[2])]));
    let nat = indices(&scene, 0, 0);
    for (port, seen) in [(1, [0, 0]), (2, [0, FIN_SEEN]), (3, [FIN_SEEN; 2])] {
        enter(&mut scene.maps, port, nat, seen);
    }
    let flows = list(&mut scene.maps, &FlowFilter::default(), None, 10).unwrap();
    let phases: Vec<_> = flows.iter().map(|flow| flow.phase).collect();
    assert_eq!(
        phases,
        [
            FlowPhase::Established,
            FlowPhase::Closing,
            FlowPhase::Closed
        ]
    );
}

#[test]
fn only_flows_that_are_meant_are_forgotten_and_with_both_halves() {
    let mut scene = Scene::new(&desired(&[
        service(80, NAT, &[2, 3]),
        service(81, DSR, &[2]),
    ]));
    let (first, second) = (indices(&scene, 0, 0), indices(&scene, 0, 1));
    let dsr = indices(&scene, 1, 0);
    enter(&mut scene.maps, 1, first, [0, 0]);
    enter(&mut scene.maps, 2, second, [0, 0]);
    exception(&mut scene.maps, 3, dsr);
    let of = |backend: u32| FlowFilter {
        backends: Some([backend].into()),
        ..FlowFilter::default()
    };
    let elsewhere = FlowFilter {
        clients: Prefix::around([10, 9, 0, 0].into(), 16),
        ..FlowFilter::default()
    };
    assert_eq!(
        flush(&mut scene.maps, &elsewhere).unwrap(),
        Default::default()
    );
    let flushed = flush(&mut scene.maps, &of(first.1)).unwrap();
    assert_eq!((flushed.nat, flushed.exceptions), (1, 0));
    assert_eq!(scene.maps.flows.len(), 2);
    let service = FlowFilter {
        services: Some([dsr.0].into()),
        ..FlowFilter::default()
    };
    let flushed = flush(&mut scene.maps, &service).unwrap();
    assert_eq!((flushed.nat, flushed.exceptions), (0, 1));
    let rest = list(&mut scene.maps, &FlowFilter::default(), None, 10).unwrap();
    assert_eq!(ports(&rest), [2]);
    let flushed = flush(&mut scene.maps, &FlowFilter::default()).unwrap();
    assert_eq!(flushed.nat, 1);
    assert!(scene.maps.flows.is_empty());
}

fn drained(scene: &mut Scene) -> Vec<String> {
    let drained = scene.live.drained().into_iter();
    drained.map(|it| it.backend.address.to_string()).collect()
}

#[test]
fn a_backend_that_drains_is_told_once_when_its_last_flow_has_ended() {
    let mut before = service(80, NAT, &[2, 3]);
    let mut scene = Scene::new(&desired(&[before.clone()]));
    let nat = indices(&scene, 0, 0);
    enter(&mut scene.maps, 1, nat, [0, 0]);
    scene.sweep();
    assert_eq!(drained(&mut scene), [""; 0], "it is up");
    before.backends[0].state = BackendState::Drain;
    scene.apply(&desired(&[before.clone()]));
    scene.sweep();
    assert_eq!(drained(&mut scene), [""; 0], "it has a flow");
    assert!(!scene.live.is_drained(nat.1));
    scene.maps.flows.clear();
    scene.sweep();
    assert_eq!(drained(&mut scene), ["10.0.0.2"]);
    assert!(scene.live.is_drained(nat.1));
    scene.sweep();
    assert_eq!(drained(&mut scene), [""; 0], "it was told");
    before.backends[0].state = BackendState::Up;
    scene.apply(&desired(&[before.clone()]));
    scene.sweep();
    assert!(!scene.live.is_drained(nat.1));
    before.backends[0].state = BackendState::Drain;
    scene.apply(&desired(&[before.clone()]));
    scene.sweep();
    assert_eq!(drained(&mut scene), ["10.0.0.2"], "another drain");
    // It takes a flow, all between two sweeps.
    before.backends[0].state = BackendState::Up;
    scene.apply(&desired(&[before.clone()]));
    assert!(!scene.live.is_drained(nat.1));
    enter(&mut scene.maps, 1, nat, [0, 0]);
    before.backends[0].state = BackendState::Drain;
    scene.apply(&desired(&[before]));
    assert!(!scene.live.is_drained(nat.1));
    scene.sweep();
    assert_eq!(drained(&mut scene), [""; 0], "it has a flow again");
    scene.maps.flows.clear();
    scene.sweep();
    assert_eq!(drained(&mut scene), ["10.0.0.2"], "a third drain");
}

#[test]
fn without_a_table_of_its_flows_a_backend_is_drained_when_its_slots_are_steady() {
    let mut before = service(80, DSR, &[2, 3]);
    let mut scene = Scene::new(&desired(&[before.clone()]));
    before.backends[0].state = BackendState::Drain;
    scene.apply(&desired(&[before]));
    scene.sweep();
    assert_eq!(drained(&mut scene), [""; 0], "slots are in transition");
    scene.pass(WINDOW + WINDOW);
    for _ in 0..5 {
        scene.sweep();
    }
    assert_eq!(drained(&mut scene), ["10.0.0.2"]);
}
