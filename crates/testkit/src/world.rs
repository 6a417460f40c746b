//! The services that the fixtures are about, described for the model and for the data path.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::content::Content;
use crate::content_of::{content_of, flow_hash};
use crate::frame::Routes;
use crate::model::{Affinity, Backend, Instance, Link, Mode, Quic, Service, Slot};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SEED: u64 = 0x0065_766e_6b65_656c;
/// The interface that `BPF_PROG_TEST_RUN` says packets come from: loopback.
pub const INTERFACE: u32 = 1;
/// The host's routes: a test run's lead nowhere.
pub const ROUTES: Routes = Routes::Host;
/// An interface that does not exist.
const OTHER_INTERFACE: u32 = 7;
/// The last part of the balancer's addresses and MAC.
const BALANCER: u8 = 0x10;
const PLAIN_MTU: usize = 1500;

/// All services, in the order of their indices; host 10.0.0.N is fd00::N, too, and has MAC
/// de:ad:be:ef:00:0N, the balancer (10.0.0.10, fd00::10) de:ad:be:ef:00:10; on interface 7 it is
/// de:ad:be:ef:07:10, and the next hop there de:ad:be:ef:07:01.
///
/// | service | | backends |
/// |---|---|---|
/// | 0 | `nat` `tcp://10.0.0.10:8000` | 0: 10.0.0.2:8000 |
/// | 1 | `nat` `tcp://10.0.0.10:80` | 1: 10.0.0.3:8080 |
/// | 2 | `nat` `udp://10.0.0.10:53` | 2: 10.0.0.2:5353 |
/// | 3 | `nat` `tcp://10.0.0.20:*`, no echo | 3: 10.0.0.3, the port the client asked for |
/// | 4 | `nat` `tcp://10.0.0.10:81` with affinity | 4: 10.0.0.2:81, 5: 10.0.0.3:81 |
/// | 5 | `nat` `tcp://10.0.0.10:82` | none |
/// | 6 | `nat` `tcp://10.0.0.10:83` | 6: 10.0.0.4:83, next hop unknown |
/// | 7 | `nat` `tcp://10.0.0.10:84` | 7: 10.1.0.2:84 behind interface 7, from 10.1.0.10 |
/// | 8, 9 | `nat` `tcp://[fd00::10]:8000`, `udp://[fd00::10]:53` | 8: [fd00::2]:8000, 9: [fd00::2]:5353 |
/// | 10 to 13 | `dnat`, port 1000: TCP, UDP, both of 10.0.0.10 and of fd00::10 | 10 to 13: host 2, port 1080 |
/// | 14 to 17 | `l2-dsr`, port 2000, in the same order | 14 to 17: host 3 |
/// | 18 to 21 | `ipip`, port 3000: 4in4, 6in6 | 18 to 21: host 4 |
/// | 22 to 25 | `ipip`, port 3046: 4in6, 6in4 | 22 to 25: host 4 of the other family |
/// | 26 to 29 | `gue`, port 4000: 4in4, 6in6 | 26 to 29: host 5, port 6080 |
/// | 30 to 33 | `gue`, port 4046: 4in6, 6in4 | 30 to 33: host 5 of the other family, port 6080 |
/// | 34 | `l2-dsr` `udp://10.9.0.0/16:*` | 34: host 3 |
/// | 35 | `ipip` `tcp://[fd09::]/64:80` | 35: host 4 |
/// | 36 | `l2-dsr` `udp://10.0.0.10:443` with server ids 0a01 and 0a02 | 36: host 2, 37: host 3 |
/// | 37 | `ipip` `tcp://10.0.0.10:5000`, in transition | 38: host 3 (previous), 39: host 4 (current) |
/// | 38 | the same of UDP, settling | 40: host 4 |
/// | 39 | `l2-dsr` `tcp://10.0.0.10:5001`, every flow entered | 41: host 3 |
/// | 40 | `ipip` `udp://10.0.0.10:6000` | 42: host 4, MTU 700 |
/// | 41 | `gue` `udp://[fd00::10]:6000` | 43: host 5, MTU 1400 |
/// | 42 | `dnat` `tcp://10.0.0.10:7000` | none |
/// | 43 to 46 | `nat`, port 90, rejects: TCP, UDP, both of 10.0.0.10 and of fd00::10 | none |
/// | 47 to 50 | `ipip`, port 7001, rejects, in the same order | 44 to 47: host 4, dead |
#[must_use]
pub fn instance() -> Instance {
    let mut world = World(Instance {
        services: Vec::new(),
        backends: Vec::new(),
        hash: flow_hash(SEED),
        routes: ROUTES,
        outer_ttl: 64,
        outer_entropy: false,
        // One port, so that it is known which one a flow gets.
        nat_ports: 20_000..=20_000,
    });
    world.add_nat();
    for (mode, port, host, own_port) in [
        (Mode::Dnat, 1000, 2, Some(1080)),
        (Mode::L2Dsr, 2000, 3, None),
    ] {
        for is_v6 in [false, true] {
            for protocol in [TCP, UDP] {
                let backend = Backend {
                    port: own_port,
                    ..neighbour(host, is_v6)
                };
                world.add((mode, port, protocol), is_v6, &[backend]);
            }
        }
    }
    for (mode, port, host, own_port) in [
        (Mode::Ipip, 3000, 4, None),
        (Mode::Gue, 4000, 5, Some(6080)),
    ] {
        for (port, is_mixed) in [(port, false), (port + 46, true)] {
            for is_v6 in [false, true] {
                for protocol in [TCP, UDP] {
                    let backend = Backend {
                        port: own_port,
                        ..neighbour(host, is_v6 != is_mixed)
                    };
                    world.add((mode, port, protocol), is_v6, &[backend]);
                }
            }
        }
    }
    world.add_special();
    world.add_that_rejects();
    world.0
}

/// The contents of the maps for [`instance`].
#[must_use]
pub fn content() -> Content {
    content_of(&instance(), SEED)
}

struct World(Instance);

impl World {
    fn add_nat(&mut self) {
        let port = |host, port| Backend {
            port: Some(port),
            ..neighbour(host, false)
        };
        let unresolved = Backend {
            link: None,
            ..port(4, 83)
        };
        let away = Backend {
            address: Ipv4Addr::new(10, 1, 0, 2).into(),
            source: Ipv4Addr::new(10, 1, 0, 10).into(),
            link: Some(Link {
                destination: [0xde, 0xad, 0xbe, 0xef, 0x07, 0x01],
                source: [0xde, 0xad, 0xbe, 0xef, 0x07, 0x10],
                interface: OTHER_INTERFACE,
            }),
            ..port(2, 84)
        };
        self.add((Mode::Nat, 8000, TCP), false, &[port(2, 8000)]);
        self.add((Mode::Nat, 80, TCP), false, &[port(3, 8080)]);
        self.add((Mode::Nat, 53, UDP), false, &[port(2, 5353)]);
        let any = self.add((Mode::Nat, 0, TCP), false, &[neighbour(3, false)]);
        any.address = Ipv4Addr::new(10, 0, 0, 20).into();
        any.answers_echo = false;
        let sticky = self.add((Mode::Nat, 81, TCP), false, &[port(2, 81), port(3, 81)]);
        sticky.affinity = Affinity::Source;
        self.add((Mode::Nat, 82, TCP), false, &[]);
        self.add((Mode::Nat, 83, TCP), false, &[unresolved]);
        self.add((Mode::Nat, 84, TCP), false, &[away]);
        let port = |port| Backend {
            port: Some(port),
            ..neighbour(2, true)
        };
        self.add((Mode::Nat, 8000, TCP), true, &[port(8000)]);
        self.add((Mode::Nat, 53, UDP), true, &[port(5353)]);
    }

    fn add_special(&mut self) {
        let [second, third, fourth] = [2, 3, 4].map(|host| neighbour(host, false));
        let prefix = self.add((Mode::L2Dsr, 0, UDP), false, &[third]);
        (prefix.address, prefix.prefix) = (Ipv4Addr::new(10, 9, 0, 0).into(), 16);
        let prefix = self.add((Mode::Ipip, 80, TCP), true, &[neighbour(4, true)]);
        let address = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 0);
        (prefix.address, prefix.prefix) = (address.into(), 64);

        let quic = self.add((Mode::L2Dsr, 443, UDP), false, &[second, third]);
        let ids = [vec![0x0a, 1], vec![0x0a, 2]].into_iter();
        quic.quic = Some(Quic {
            config: 1,
            server_id_length: 2,
            servers: ids
                .zip(quic.backends.iter().copied())
                .collect::<HashMap<_, _>>(),
        });
        let moving = self.add((Mode::Ipip, 5000, TCP), false, &[third, fourth]);
        moving.ring = vec![Slot::Transition(moving.backends[1], moving.backends[0])];
        let settling = self.add((Mode::Ipip, 5000, UDP), false, &[fourth]);
        settling.ring = vec![Slot::Settling(settling.backends[0])];
        self.add((Mode::L2Dsr, 5001, TCP), false, &[third])
            .is_tracked = true;

        let narrow = |backend, mtu| Backend { mtu, ..backend };
        self.add((Mode::Ipip, 6000, UDP), false, &[narrow(fourth, 700)]);
        let fifth = Backend {
            port: Some(6080),
            ..neighbour(5, true)
        };
        self.add((Mode::Gue, 6000, UDP), true, &[narrow(fifth, 1400)]);
        self.add((Mode::Dnat, 7000, TCP), false, &[]);
    }

    fn add_that_rejects(&mut self) {
        for (mode, port, has_backend) in [(Mode::Nat, 90, false), (Mode::Ipip, 7001, true)] {
            for is_v6 in [false, true] {
                for protocol in [TCP, UDP] {
                    let dead = Backend {
                        is_alive: false,
                        takes_new: false,
                        ..neighbour(4, is_v6)
                    };
                    let backends = &[dead][..usize::from(has_backend)];
                    let service = self.add((mode, port, protocol), is_v6, backends);
                    service.rejects = true;
                    service.answers_echo = false;
                }
            }
        }
    }

    /// A service of the balancer's address, `port` 0 for every port, with one slot a backend.
    fn add(
        &mut self,
        (mode, port, protocol): (Mode, u16, u8),
        is_v6: bool,
        backends: &[Backend],
    ) -> &mut Service {
        let Instance {
            services,
            backends: all,
            ..
        } = &mut self.0;
        let indices: Vec<usize> = (all.len()..).take(backends.len()).collect();
        all.extend(backends);
        services.push(Service {
            mode,
            address: balancer(is_v6),
            prefix: if is_v6 { 128 } else { 32 },
            port: (port != 0).then_some(port),
            protocol,
            is_tracked: false,
            answers_echo: !backends.is_empty(),
            rejects: false,
            quic: None,
            ring: indices.iter().copied().map(Slot::Steady).collect(),
            backends: indices,
            affinity: Affinity::None,
        });
        services.last_mut().expect("one has just been added")
    }
}

/// The address of the services, and of the balancer towards the backends.
fn balancer(is_v6: bool) -> IpAddr {
    match is_v6 {
        false => Ipv4Addr::new(10, 0, 0, 10).into(),
        true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, BALANCER.into()).into(),
    }
}

/// A backend on the balancer's own network, with the port the client asked for.
fn neighbour(host: u8, is_v6: bool) -> Backend {
    Backend {
        address: match is_v6 {
            false => Ipv4Addr::new(10, 0, 0, host).into(),
            true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()).into(),
        },
        source: balancer(is_v6),
        port: None,
        link: Some(Link {
            destination: [0xde, 0xad, 0xbe, 0xef, 0x00, host],
            source: [0xde, 0xad, 0xbe, 0xef, 0x00, BALANCER],
            interface: INTERFACE,
        }),
        mtu: PLAIN_MTU,
        is_alive: true,
        takes_new: true,
    }
}
