//! An instance with services of every mode, family and protocol, and everything else that services
//! can have: for random traffic.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frame::Routes;
use crate::model::{Affinity, Backend, FlowHash, Instance, Link, Mode, Quic, Service, Slot};
use crate::random::Random;

const TCP: u8 = 6;
const UDP: u8 = 17;
const MODES: [Mode; 5] = [Mode::Nat, Mode::Dnat, Mode::L2Dsr, Mode::Ipip, Mode::Gue];
/// The balancer's own MAC.
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 0x10];
/// The interface that most things are behind.
pub const INTERFACE: u32 = 1;
const OTHER_INTERFACE: u32 = 7;

/// Address of host `number` on the network that everything is on.
#[must_use]
pub fn host(number: u8, is_v6: bool) -> IpAddr {
    match is_v6 {
        false => Ipv4Addr::new(10, 0, 0, number).into(),
        true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into(),
    }
}

/// An instance that the seed decides about: which slots are in transition, which backends drain.
#[must_use]
pub fn instance(seed: u64, hash: FlowHash) -> Instance {
    let mut random = Random::new(seed);
    let mut all = Instance {
        services: Vec::new(),
        backends: Vec::new(),
        hash,
        routes: *random.pick(&[
            Routes::Back,
            Routes::Narrow(1000),
            Routes::Host,
            Routes::Nowhere,
        ]),
        outer_ttl: 63,
        outer_entropy: random.one_in(2),
        nat_ports: 20_000..=20_063,
    };
    for is_v6 in [false, true] {
        for protocol in [TCP, UDP] {
            for mode in MODES {
                add(&mut all, &mut random, (mode, is_v6, protocol));
            }
        }
        add_any_port(&mut all, &mut random, is_v6);
        add_prefix(&mut all, &mut random, is_v6);
        add_without_backends(&mut all, is_v6);
        add_that_rejects(&mut all, &mut random, is_v6);
        add_quic(&mut all, &mut random, is_v6);
    }
    all
}

/// A service on a port of its own of the first VIP.
fn add(all: &mut Instance, random: &mut Random, (mode, is_v6, protocol): (Mode, bool, u8)) {
    let port = 1000 + all.services.len() as u16;
    let mut service = service(mode, host(10, is_v6), Some(port), protocol);
    service.answers_echo = random.one_in(2);
    service.rejects = random.one_in(2);
    service.is_tracked = mode != Mode::Nat && random.one_in(4);
    service.affinity = *random.pick(&[
        Affinity::None,
        Affinity::None,
        Affinity::Source,
        Affinity::SourceDestination,
    ]);
    finish(all, random, service);
}

/// Every port of the second VIP.
fn add_any_port(all: &mut Instance, random: &mut Random, is_v6: bool) {
    let mode = *random.pick(&MODES);
    let service = service(mode, host(20, is_v6), None, TCP);
    finish(all, random, service);
}

/// A prefix that has the third VIP, and one inside it.
fn add_prefix(all: &mut Instance, random: &mut Random, is_v6: bool) {
    let whole = if is_v6 { 128 } else { 32 };
    for (bits, port) in [(3, None), (2, Some(80)), (1, None)] {
        let mode = *random.pick(&[Mode::L2Dsr, Mode::Ipip, Mode::Gue]);
        let mut service = service(mode, host(0xe0, is_v6), port, UDP);
        service.prefix = whole - bits;
        finish(all, random, service);
    }
}

fn add_without_backends(all: &mut Instance, is_v6: bool) {
    for mode in [Mode::Nat, Mode::Dnat] {
        let port = 1000 + all.services.len() as u16;
        let service = service(mode, host(10, is_v6), Some(port), TCP);
        all.services.push(service);
    }
}

/// In every mode, with nobody or with a backend that is dead.
fn add_that_rejects(all: &mut Instance, random: &mut Random, is_v6: bool) {
    for mode in MODES {
        let index = all.services.len();
        let protocol = *random.pick(&[TCP, UDP]);
        let mut service = service(mode, host(10, is_v6), Some(1000 + index as u16), protocol);
        service.rejects = true;
        if random.one_in(2) {
            let dead = Backend {
                is_alive: false,
                takes_new: false,
                ..backend(random, &service, 0, index)
            };
            service.backends.push(all.backends.len());
            service.ring.push(Slot::Steady(all.backends.len()));
            all.backends.push(dead);
        }
        all.services.push(service);
    }
}

fn add_quic(all: &mut Instance, random: &mut Random, is_v6: bool) {
    for mode in MODES {
        let port = 1000 + all.services.len() as u16;
        let service = service(mode, host(10, is_v6), Some(port), UDP);
        finish(all, random, service);
        let index = all.services.len() - 1;
        let backends = all.services[index].backends.clone();
        let length = 1 + random.below(8);
        let id = |n: usize| vec![n as u8 + 1; length];
        let servers = backends.iter().enumerate().map(|(n, b)| (id(n), *b));
        all.services[index].quic = Some(Quic {
            config: random.below(7) as u8,
            server_id_length: length,
            servers: HashMap::from_iter(servers),
        });
    }
}

fn service(mode: Mode, address: IpAddr, port: Option<u16>, protocol: u8) -> Service {
    Service {
        mode,
        address,
        prefix: if address.is_ipv4() { 32 } else { 128 },
        port,
        protocol,
        is_tracked: false,
        answers_echo: false,
        rejects: false,
        quic: None,
        backends: Vec::new(),
        affinity: Affinity::None,
        ring: Vec::new(),
    }
}

/// Gives a service a few backends and slots in all states, and adds it.
fn finish(all: &mut Instance, random: &mut Random, mut service: Service) {
    for number in 0..3 {
        let backend = backend(random, &service, number, all.services.len());
        service.backends.push(all.backends.len());
        all.backends.push(backend);
    }
    // The last one is never a slot's current backend: it drains, or it is dead.
    let (first, second, third) = (
        service.backends[0],
        service.backends[1],
        service.backends[2],
    );
    all.backends[third].takes_new = false;
    all.backends[third].is_alive = random.one_in(2);
    for _ in 0..16 {
        service.ring.push(match random.below(8) {
            _ if service.mode == Mode::Nat => Slot::Steady(*random.pick(&[first, second])),
            0 => Slot::Transition(first, second),
            1 => Slot::Transition(second, third),
            2 => Slot::Settling(first),
            _ => Slot::Steady(*random.pick(&[first, second])),
        });
    }
    all.services.push(service);
}

fn backend(random: &mut Random, service: &Service, number: usize, index: usize) -> Backend {
    let is_tunnel = matches!(service.mode, Mode::Ipip | Mode::Gue);
    let is_v6 = match is_tunnel {
        true => random.one_in(2),
        false => service.address.is_ipv6(),
    };
    let last = 2 + number as u8;
    let link = Link {
        destination: [2, 0, 0, 0, 0, last],
        source: OURS,
        interface: match random.one_in(6) {
            true => OTHER_INTERFACE,
            false => INTERFACE,
        },
    };
    let own_port = match random.below(3) {
        0 if service.port.is_none() => None,
        _ => Some(8000 + index as u16),
    };
    Backend {
        address: host(last, is_v6),
        source: host(if random.one_in(4) { 11 } else { 10 }, is_v6),
        port: match service.mode {
            Mode::Gue => Some(6080),
            Mode::Nat | Mode::Dnat => own_port,
            Mode::L2Dsr | Mode::Ipip => None,
        },
        link: (!random.one_in(12)).then_some(link),
        mtu: *random.pick(&[1500, 1500, 1400, 1280, 600]),
        is_alive: true,
        takes_new: true,
    }
}
