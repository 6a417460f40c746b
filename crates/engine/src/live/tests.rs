//! What one change does, on maps in memory. What many do to flows is in `tests/tests/history_*.rs`.
//!
//! - `rule`: what becomes of slots, entries and indices.
//! - `failure`: what is left of a change or a sweep that fails half-way.
//! - `adopt`: what a process finds that an earlier one left, also in the middle of a change.
//! - `flows`: flows that are known one by one.
//! - `preview`: what a change is said to do.
//! - `random`: what holds after any change.

mod adopt;
mod failure;
mod flows;
mod memory;
mod preview;
mod random;
mod rule;

use std::net::{IpAddr, Ipv4Addr};

use abi::backend::{ALIVE, TAKES_NEW};
use abi::directory::{DNAT_BACKEND, ECHO, NAT_SOURCE, SERVICE, VIP};
use abi::exception::Exception;
use abi::flow::FlowKeyV4;
use abi::slot::{SETTLING, STEADY, TRANSITION};

use wire::{Be16, Be32, ipv4};

use super::*;
use crate::desired::{
    Backend, BackendState, Mac, NextHop, NoBackend, Prefix, Protocol, Quic, QuicServerId, Service,
    ServicePort, Timeouts, Track,
};
use crate::directory::Key;
use crate::sweep::Ages;
use memory::Memory;

const TICK: Duration = Duration::from_millis(1);
const WINDOW: Duration = Duration::from_secs(100);
const VIP_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn backend(host: u8) -> Backend {
    Backend::new([10, 0, 0, host])
}

fn service(port: u16, mode: ForwardingMode, hosts: &[u8]) -> Service {
    let id = ServiceId {
        protocol: Protocol::Tcp,
        address: VIP_ADDRESS.into(),
        port: ServicePort::Exact(port),
    };
    let mut service = Service::new(id, hosts.iter().copied().map(backend).collect());
    service.mode = mode;
    service.ring_log2 = Some(6);
    service.transition_window = WINDOW;
    service
}

fn desired(services: &[Service]) -> Desired {
    Desired {
        services: services.to_vec(),
        ..Desired::default()
    }
}

fn next_hop(_: &Service, _: &Backend) -> Option<NextHop> {
    Some(NextHop {
        interface_index: 1,
        source_mac: Mac([2, 0, 0, 0, 0, 1]),
        destination_mac: Mac([2, 0, 0, 0, 0, 2]),
        source_address: Ipv4Addr::new(10, 0, 0, 1).into(),
        mtu: 1500,
    })
}

/// Out of another address.
fn elsewhere(service: &Service, backend: &Backend) -> Option<NextHop> {
    let hop = next_hop(service, backend)?;
    Some(NextHop {
        source_address: Ipv4Addr::new(10, 9, 0, 1).into(),
        ..hop
    })
}

fn client(flow: u16) -> FlowKeyV4 {
    let ports = (Be16::new(flow), Be16::new(80));
    let vip = Be32::new(VIP_ADDRESS.to_bits());
    FlowKeyV4::constant(Be32::new(0x6440_0001), vip, ports, ipv4::TCP)
}

/// A live state with its maps.
struct Scene {
    live: Live,
    maps: Memory,
}

impl Scene {
    fn new(desired: &Desired) -> Self {
        Self::on(Memory::new(), desired)
    }

    /// With these maps, which are empty.
    fn on(maps: Memory, desired: &Desired) -> Self {
        let mut all = settings(desired, false);
        all.features = abi::control::feature::ALL;
        all.any_port = 1;
        let mut scene = Self {
            live: Live::new(all, maps.room(), TICK),
            maps,
        };
        scene.apply(desired);
        scene
    }

    fn apply(&mut self, desired: &Desired) -> Applied {
        self.try_apply(desired).unwrap()
    }

    fn try_apply(&mut self, desired: &Desired) -> Result<Applied, EngineError> {
        self.live.apply(&mut self.maps, desired, &next_hop)
    }

    fn sweep(&mut self) -> Swept {
        self.try_sweep().unwrap()
    }

    fn try_sweep(&mut self) -> Result<Swept, EngineError> {
        let ages = Ages::of(&Timeouts::default());
        self.live.sweep(&mut self.maps, &ages)
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        self.maps.now += (time.as_nanos() / TICK.as_nanos()) as u32;
    }

    /// Enters a flow of the first service's slot at `place`, as a packet does.
    fn enter(&mut self, flow: u16, place: usize, backend: u32) {
        let entry = Exception {
            service: 0,
            hash: (place as u32) << (32 - 6),
            last_seen: self.maps.now,
            backend,
            ..Exception::default()
        };
        self.maps.exceptions.insert(client(flow), entry);
    }

    /// Of the only service: how many slots are in each state.
    fn states(&self) -> [usize; 3] {
        [STEADY, TRANSITION, SETTLING].map(|state| {
            let slots = self.ring();
            slots.iter().filter(|slot| slot.state() == state).count()
        })
    }

    fn ring(&self) -> Vec<abi::slot::Slot> {
        let ring = self.maps.image.services[0].ring;
        let first = ring.first_slot() as usize;
        self.maps.image.slots[first..first + ring.length() as usize].to_vec()
    }

    /// Of the first service: the index of a backend, if it has one that is configured.
    fn index(&self, host: u8) -> Option<u32> {
        let service = self.live.services().next()?;
        service.backend(&backend(host)).map(|backend| backend.index)
    }

    fn target(&self, address: impl Into<IpAddr>, port: u16, protocol: u8) -> Option<u32> {
        let address = address.into();
        let key = Key {
            address,
            port,
            protocol,
        };
        let target = self.live.keys.directory.get(&key)?;
        Some(target.kind)
    }
}

#[test]
fn a_service_that_drops_from_now_on_is_written_and_nothing_else() {
    let mut one = service(80, ForwardingMode::Ipip, &[2, 3]);
    let mut scene = Scene::new(&desired(&[one.clone()]));
    let before = scene.maps.image.clone();
    assert_eq!(before.services[0].flags, abi::service::REJECT);
    one.no_backend = NoBackend::Drop;
    scene.apply(&desired(&[one]));
    let mut after = before;
    after.services[0].flags = 0;
    assert_eq!(scene.maps.image, after);
}

fn with_state(service: &Service, host: u8, state: BackendState) -> Service {
    let mut service = service.clone();
    for backend in &mut service.backends {
        if backend.address == IpAddr::from([10, 0, 0, host]) {
            backend.state = state;
        }
    }
    service
}

#[test]
fn a_change_of_nothing_writes_nothing() {
    let one = desired(&[service(80, ForwardingMode::Ipip, &[2, 3])]);
    let mut scene = Scene::new(&one);
    let before = scene.maps.image.clone();
    assert_eq!(scene.apply(&one), Applied::default());
    assert_eq!(scene.maps.image, before);
}

#[test]
fn a_backend_among_many_services_changes_its_service_only() {
    let mut many: Vec<Service> = (1..=200)
        .map(|port| service(port, ForwardingMode::Ipip, &[2, 3]))
        .collect();
    let mut scene = Scene::new(&desired(&many));
    let before = scene.maps.image.clone();
    many[70].backends.push(backend(4));
    let applied = scene.apply(&desired(&many));
    assert_eq!((applied.services_changed, applied.backends_added), (1, 1));
    assert_eq!(
        (applied.entries_written, applied.directory_written),
        (1, false)
    );
    let changed = scene.maps.image.slots.iter().zip(&before.slots);
    let changed = changed.filter(|(new, old)| new != old).count() as u64;
    assert_eq!(changed, applied.slots_changed);
    assert!((16..40).contains(&changed), "{changed} of 64 slots");
}

#[test]
fn after_an_error_everything_is_as_it_was() {
    let one = service(80, ForwardingMode::Ipip, &[2, 3]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    let before = scene.maps.image.clone();
    let mut crowded = service(81, ForwardingMode::Ipip, &[2, 3, 4]);
    crowded.ring_log2 = Some(1);
    let changed = with_state(&one, 2, BackendState::Down);
    let error = scene.try_apply(&desired(&[changed, crowded])).unwrap_err();
    assert!(matches!(error, EngineError::Ring { .. }), "{error}");
    assert_eq!(scene.maps.image, before);
    assert_eq!(scene.live.desired().services, std::slice::from_ref(&one));
    let other_seed = Desired {
        seed: 99,
        ..desired(&[one])
    };
    let error = scene.try_apply(&other_seed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "restart needed for another seed: every flow would move"
    );
}

#[test]
fn a_feature_that_nothing_used_at_the_start_needs_a_restart() {
    let one = service(80, ForwardingMode::Ipip, &[2]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    scene.live.settings.features = settings(&desired(std::slice::from_ref(&one)), false).features;
    let two = service(81, ForwardingMode::Gue, &[2]);
    let error = scene.try_apply(&desired(&[one, two])).unwrap_err();
    let expected = "restart needed for mode gue, which nothing used when it was started";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn whoever_drains_keeps_the_index_and_whoever_comes_back_from_the_dead_gets_another() {
    let one = service(80, ForwardingMode::Ipip, &[2, 3]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    let first = scene.index(2);
    scene.apply(&desired(&[with_state(&one, 2, BackendState::Drain)]));
    assert_eq!(scene.index(2), first);
    let flags = scene.maps.image.backends[first.unwrap() as usize].flags;
    assert_eq!(flags & (ALIVE | TAKES_NEW), ALIVE);
    assert_eq!(scene.states(), [32, 32, 0]);
    scene.apply(&desired(std::slice::from_ref(&one)));
    assert_eq!((scene.index(2), scene.states()), (first, [32, 0, 32]));
    let applied = scene.apply(&desired(&[with_state(&one, 2, BackendState::Down)]));
    assert_eq!((applied.backends_died, scene.index(2)), (1, None));
    assert_eq!(
        scene.maps.image.backends[first.unwrap() as usize].flags & ALIVE,
        0
    );
    scene.apply(&desired(&[one]));
    assert!(scene.index(2).is_some_and(|index| Some(index) != first));
}

#[test]
fn whoever_is_removed_stays_until_nothing_leads_there() {
    let mut scene = Scene::new(&desired(&[service(80, ForwardingMode::Ipip, &[2, 3])]));
    let gone = scene.index(2).unwrap() as usize;
    let applied = scene.apply(&desired(&[service(80, ForwardingMode::Ipip, &[3])]));
    assert_eq!(applied.backends_removed, 1);
    for _ in 0..5 {
        scene.sweep();
        assert_eq!(scene.maps.image.backends[gone].flags & ALIVE, ALIVE);
        assert_eq!(scene.live.living().count(), 2);
    }
    scene.pass(WINDOW + TICK);
    for _ in 0..6 {
        scene.sweep();
    }
    assert_eq!(scene.states(), [64, 0, 0]);
    assert_eq!(
        scene.maps.image.backends[gone],
        abi::backend::Backend::default()
    );
    assert_eq!(scene.live.living().count(), 1);
}

#[test]
fn slots_of_nat_and_of_untracked_services_are_steady_at_once() {
    for (mode, track) in [
        (ForwardingMode::Nat, Track::Auto),
        (ForwardingMode::L2Dsr, Track::Never),
    ] {
        let mut one = service(80, mode, &[2, 3]);
        one.track = track;
        let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
        one.backends.push(backend(4));
        let applied = scene.apply(&desired(&[one]));
        assert!(applied.slots_changed > 0);
        assert_eq!(scene.states(), [64, 0, 0], "{mode}");
    }
}

#[test]
fn a_ring_grows_in_a_fresh_region_and_gets_no_shorter() {
    let mut one = service(80, ForwardingMode::Ipip, &[2, 3, 4]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    let old = scene.maps.image.services[0].ring;
    let before = scene.ring();
    one.ring_log2 = Some(7);
    let applied = scene.apply(&desired(std::slice::from_ref(&one)));
    assert_eq!((applied.rings_grown, scene.ring().len()), (1, 128));
    let first = old.first_slot() as usize;
    assert_eq!(
        scene.maps.image.slots[first..first + 64],
        before,
        "packets may still read it"
    );
    for (place, slot) in scene.ring().iter().enumerate() {
        let was = before[place / 2].current();
        let without_entry = slots::state(*slot).without_entry(|_| true);
        assert_eq!(without_entry, was, "slot {place}");
    }
    one.ring_log2 = Some(5);
    scene.apply(&desired(std::slice::from_ref(&one)));
    let owners: Vec<u32> = scene.ring().iter().map(|slot| slot.current()).collect();
    let fresh = Scene::new(&desired(&[one]));
    let short: Vec<u32> = fresh.ring().iter().map(|slot| slot.current()).collect();
    assert_eq!((owners.len(), short.len()), (128, 32));
    assert!(
        owners
            .iter()
            .enumerate()
            .all(|(place, owner)| *owner == short[place / 4])
    );
}

#[test]
fn without_anybody_who_takes_new_flows_slots_stay() {
    let one = service(80, ForwardingMode::Ipip, &[2, 3]);
    let mut scene = Scene::new(&desired(std::slice::from_ref(&one)));
    let before = scene.ring();
    let draining = with_state(&one, 2, BackendState::Drain);
    scene.apply(&desired(&[with_state(&draining, 3, BackendState::Drain)]));
    assert_eq!(scene.ring(), before);
}

#[test]
fn a_removed_service_is_led_to_no_longer() {
    let (one, two) = (
        service(80, ForwardingMode::Ipip, &[2]),
        service(81, ForwardingMode::Ipip, &[2]),
    );
    let mut scene = Scene::new(&desired(&[one.clone(), two]));
    assert_eq!(scene.target(VIP_ADDRESS, 81, 6), Some(SERVICE));
    let applied = scene.apply(&desired(&[one]));
    assert_eq!((applied.services_removed, applied.backends_died), (1, 0));
    assert_eq!(scene.target(VIP_ADDRESS, 81, 6), None);
    assert!(!scene.maps.image.services[1].ring.exists());
    assert_eq!(scene.maps.image.backends[1].flags & ALIVE, 0);
}

#[test]
fn the_indices_of_a_removed_service_and_its_backends_are_used_again() {
    let one = service(80, ForwardingMode::Ipip, &[2, 3]);
    let mut maps = Memory::new();
    (maps.room.services, maps.room.backends) = (2, 4);
    let mut scene = Scene::on(maps, &desired(std::slice::from_ref(&one)));
    for port in 81..100 {
        let other = service(port, ForwardingMode::Ipip, &[2, 3]);
        scene.apply(&desired(&[one.clone(), other]));
        scene.apply(&desired(std::slice::from_ref(&one)));
        for _ in 0..6 {
            scene.sweep();
        }
    }
}

#[test]
fn every_mode_has_its_keys() {
    let mut quic = service(443, ForwardingMode::L2Dsr, &[2]);
    quic.id.protocol = Protocol::Udp;
    quic.quic = Some(Quic::default());
    quic.backends[0].quic_server_id = QuicServerId::new(&[1, 2, 3, 4]);
    let mut prefix = service(80, ForwardingMode::Ipip, &[2]);
    prefix.id.address = Prefix::around([198, 51, 100, 0].into(), 24).unwrap();
    let mut dnat = service(80, ForwardingMode::Dnat, &[2]);
    dnat.backends[0].port = Some(8080);
    let nat = service(81, ForwardingMode::Nat, &[2]);
    let scene = Scene::new(&desired(&[quic, prefix, dnat, nat]));
    assert_eq!(scene.target(VIP_ADDRESS, 443, 17), Some(SERVICE));
    assert_eq!(scene.target(VIP_ADDRESS, 0, 17), Some(VIP));
    assert_eq!(scene.target(VIP_ADDRESS, 0, 1), Some(VIP | ECHO));
    assert_eq!(scene.target([10, 0, 0, 2], 8080, 6), Some(DNAT_BACKEND));
    assert_eq!(scene.target([10, 0, 0, 1], 0, 6), Some(NAT_SOURCE));
    assert_eq!(scene.target([10, 0, 0, 1], 0, 1), Some(NAT_SOURCE));
    assert_eq!(scene.maps.image.prefixes.len(), 1);
    let (key, _) = scene.maps.image.quic_servers[0];
    assert_eq!(
        (key.id, scene.maps.image.quic_servers.len()),
        (0x0403_0201, 1)
    );
}
