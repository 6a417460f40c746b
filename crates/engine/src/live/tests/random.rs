//! Random changes, one after the other, with time and sweeps in between.

use super::*;

/// Numbers that look random: splitmix64 (Steele, Lea, Flood 2014).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Once in `times`.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn backends(&mut self, mode: ForwardingMode, port: u16) -> Vec<Backend> {
        // An answer of `dnat` tells its service.
        let first = match mode {
            ForwardingMode::Dnat => 100 + (port as u8) * 5,
            _ => 2,
        };
        let hosts = (first..first + 5).filter(|_| !self.once_in(3));
        let hosts: Vec<u8> = hosts.collect();
        let hosts = if hosts.is_empty() { vec![first] } else { hosts };
        let mut backends: Vec<Backend> = hosts.into_iter().map(backend).collect();
        for backend in &mut backends {
            backend.weight = 1 + self.below(3) as u32;
            backend.state = match self.below(8) {
                0 => BackendState::Down,
                1 => BackendState::Drain,
                _ => BackendState::Up,
            };
        }
        backends
    }

    fn service(&mut self, port: u16) -> Service {
        use ForwardingMode::{Dnat, Ipip, Nat};
        let mode = [Nat, Dnat, Ipip, Ipip][self.below(4) as usize];
        let mut service = service(port, mode, &[]);
        service.backends = self.backends(mode, port);
        service.track = [Track::Auto, Track::Always, Track::Never][self.below(3) as usize];
        service.ring_log2 = Some(5 + self.below(3) as u8);
        service.echo = !self.once_in(3);
        if mode == Ipip && self.once_in(3) {
            service.id.address = Prefix::around([198, 51, 100, 0].into(), 24).unwrap();
        }
        if mode == Ipip && self.once_in(2) {
            service.id.protocol = Protocol::Udp;
            service.quic = Some(Quic::default());
            for (id, backend) in (self.below(3) as u8..).zip(&mut service.backends) {
                backend.quic_server_id = QuicServerId::new(&[id; 4]);
            }
        }
        service
    }

    /// Another configuration, most of which is as before.
    pub(super) fn change(&mut self, before: &Desired) -> Desired {
        let mut after = before.clone();
        for port in 1..=4 {
            let there = |service: &Service| service.id.port == ServicePort::Exact(port);
            let found = after.services.iter().position(there);
            match (found, self.below(6)) {
                (_, 0) => {
                    after.services.retain(|service| !there(service));
                    if !self.once_in(3) {
                        after.services.push(self.service(port));
                    }
                }
                (Some(at), 1 | 2) => {
                    let service = &mut after.services[at];
                    service.backends = self.backends(service.mode, port);
                    for (id, backend) in (1..).zip(&mut service.backends) {
                        let id = QuicServerId::new(&[id; 4]);
                        backend.quic_server_id = service.quic.and(id);
                    }
                }
                (Some(at), 3) => after.services[at].echo = !self.once_in(2),
                (Some(at), 4) => after.services[at].ring_log2 = Some(5 + self.below(3) as u8),
                _ => {}
            }
        }
        if after.services.is_empty() {
            after.services.push(self.service(1));
        }
        self.pass_on(&mut after);
        after
    }

    /// One backend belongs to this `dnat` service or that, and may still leave another.
    fn pass_on(&mut self, desired: &mut Desired) {
        let shared = Backend {
            port: Some(8000),
            ..backend(99)
        };
        let services = desired.services.iter_mut();
        let mut dnat: Vec<&mut Service> = services
            .filter(|service| service.mode == ForwardingMode::Dnat)
            .collect();
        let heir = self.below(1 + dnat.len() as u64) as usize;
        for (at, service) in dnat.iter_mut().enumerate() {
            service
                .backends
                .retain(|known| known.address != shared.address);
            if at == heir {
                service.backends.push(shared.clone());
            }
        }
    }

    /// Whether some addresses are out of reach, and some interfaces have other addresses.
    pub(super) fn hops(&mut self) -> impl Fn(&Service, &Backend) -> Option<NextHop> + use<> {
        let [lost, moved] = [(); 2].map(|()| self.below(16));
        move |service, backend| {
            let last = match backend.address {
                IpAddr::V4(address) => address.octets()[3],
                IpAddr::V6(_) => 0,
            };
            let mut hop = next_hop(service, backend)?;
            if moved < 4 && u64::from(last) % 4 == moved {
                hop.source_address = Ipv4Addr::new(10, 0, 0, 99).into();
            }
            (u64::from(last) % 16 != lost).then_some(hop)
        }
    }
}

#[test]
fn the_keys_are_those_of_the_services_whatever_changed() {
    let mut same = 0;
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let mut desired = dice.change(&Desired::default());
        let mut scene = Scene::new(&desired);
        for step in 0..20 {
            desired = dice.change(&desired);
            let hops = dice.hops();
            let before = scene.live.keys.clone();
            scene.live.apply(&mut scene.maps, &desired, &hops).unwrap();
            let expected = Keys::of(scene.live.services.values().map(Arc::as_ref));
            assert_eq!(scene.live.keys, expected, "seed {seed}, step {step}");
            same += u64::from(before == expected);
            let directory = Directory::build(&expected.directory).unwrap();
            assert_eq!(scene.maps.image.directory, directory, "seed {seed}");
            if dice.once_in(4) {
                scene.pass(WINDOW);
            }
            scene.sweep();
        }
    }
    assert!(
        (1000..5000).contains(&same),
        "{same} of 6000 had the same keys"
    );
}
