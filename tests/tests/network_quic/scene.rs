//! A lab with QUIC servers on its backends, and clients that travel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use control::status::Status;
use evenkeel_tests::support::{Scene, ip};
use lab::topology::{CROWD, ROUTED, Role};
use lab::{Host, Topology};

use super::client::{Journey, Travelled};
use super::ids::RoutableIds;
use super::server::{Identity, Server};

/// UDP port of service and servers.
const PORT: u16 = 4433;
/// Host part of the first address that clients get besides their own.
const FIRST_EXTRA: u8 = 101;

/// Where QUIC is spoken, and the mode.
#[derive(Debug)]
pub(crate) struct Place {
    topology: &'static Topology,
    interfaces: &'static str,
    mode: &'static str,
    is_v6: bool,
}

/// Everyone on one network.
pub(crate) static CROWD_NAT: Place = Place {
    topology: &CROWD,
    interfaces: "[\"veth6\"]",
    mode: "nat",
    is_v6: false,
};

/// Over IPv6, on three networks.
pub(crate) static ROUTED_NAT6: Place = Place {
    topology: &ROUTED,
    interfaces: "[\"eth0\", \"eth1\"]",
    mode: "nat",
    is_v6: true,
};

/// On three networks, without a table of flows.
pub(crate) static ROUTED_DNAT: Place = Place {
    mode: "dnat",
    is_v6: false,
    ..ROUTED_NAT6
};

/// The same over IPv6.
pub(crate) static ROUTED_DNAT6: Place = Place {
    mode: "dnat",
    ..ROUTED_NAT6
};

impl Place {
    pub(crate) fn is_nat(&self) -> bool {
        self.mode == "nat"
    }

    fn address(&self, host: &Host) -> IpAddr {
        let address = match self.is_v6 {
            false => host.address(),
            true => host.address6(),
        };
        address.expect("an address of the family")
    }

    fn service(&self) -> SocketAddr {
        let address = match self.is_v6 {
            false => IpAddr::V4(self.topology.vip),
            true => IpAddr::V6(self.topology.vip6.expect("a VIP of the family")),
        };
        (address, PORT).into()
    }

    fn hosts(&self, role: Role) -> Vec<&'static str> {
        self.topology
            .with_role(role)
            .map(|host| host.name)
            .collect()
    }

    /// The configuration: backend `hN` has server id e000000N, if the service has ids.
    fn config(&self, backends: &[Host], quic: &str) -> String {
        let backend = |host: &Host| {
            let id = match quic {
                "" => String::new(),
                _ => format!(", quic_server_id = \"e000000{}\"", &host.name()[1..]),
            };
            format!("{{ address = \"{}\"{id} }}", self.address(host))
        };
        let backends: Vec<_> = backends.iter().map(backend).collect();
        format!(
            "interfaces = {}\n[[service]]\naddress = \"udp://{}\"\nmode = \"{}\"\n{quic}\n\
             backends = [{}]\n",
            self.interfaces,
            self.service(),
            self.mode,
            backends.join(", ")
        )
    }
}

/// A lab, its QUIC servers and the load balancer.
#[derive(Debug)]
pub(crate) struct QuicScene {
    // In the order of their end.
    servers: Vec<Server>,
    scene: Scene,
    pub(crate) place: &'static Place,
    identity: Identity,
}

impl QuicScene {
    /// `quic` is the service's line about connection ids, or empty; servers make `ids`.
    pub(crate) fn new(
        place: &'static Place,
        test: &str,
        quic: &str,
        ids: fn(u8) -> RoutableIds,
    ) -> Self {
        let mut scene = Scene::new(place.topology, test);
        let backends = place.hosts(Role::Backend);
        let backends: Vec<_> = backends.iter().map(|name| scene.host(name)).collect();
        scene.run_config(&place.config(&backends, quic), "auto");
        let identity = Identity::new();
        let serve = |host| {
            let address = (place.address(host), PORT).into();
            Server::start(host, address, &identity, ids)
        };
        let servers = backends.iter().map(serve).collect();
        Self {
            servers,
            scene,
            place,
            identity,
        }
    }

    pub(crate) fn backends(&self) -> usize {
        self.servers.len()
    }

    pub(crate) fn status(&self) -> Status {
        self.scene.status()
    }

    /// All clients' connections at once, each with as many addresses one after the other.
    pub(crate) fn travel(
        &self,
        connections: usize,
        stops: usize,
        patience: Duration,
    ) -> Vec<Travelled> {
        self.travel_from(40_000, connections, stops, patience)
    }

    /// The same from other ports.
    pub(crate) fn travel_on(
        &self,
        connections: usize,
        stops: usize,
        patience: Duration,
    ) -> Vec<Travelled> {
        self.travel_from(50_000, connections, stops, patience)
    }

    fn travel_from(
        &self,
        first_port: u16,
        connections: usize,
        stops: usize,
        patience: Duration,
    ) -> Vec<Travelled> {
        let clients = self.place.hosts(Role::Client);
        let clients: Vec<_> = clients.iter().map(|name| self.scene.host(name)).collect();
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for (number, host) in (0_u8..).zip(&clients) {
                let addresses = self.addresses(host, number);
                for connection in 0..connections {
                    let stops = (0..stops).map(|stop| {
                        let port = first_port + (100 * stop + connection) as u16;
                        (addresses[stop % 2], port).into()
                    });
                    let journey = Journey {
                        service: self.place.service(),
                        stops: stops.collect(),
                        config: self.identity.client_config(),
                        patience,
                    };
                    threads.push(scope.spawn(move || host.inside(|| journey.travel())));
                }
            }
            let travelled = threads.into_iter().map(|thread| {
                let travelled = thread.join().expect("a journey");
                travelled.expect("a thread on the client")
            });
            travelled.collect()
        })
    }

    /// A client's own address, and one more, which it gets now if it has not got it yet.
    fn addresses(&self, host: &Host, number: u8) -> [IpAddr; 2] {
        let own = self.place.address(host);
        let extra = with_host_part(own, FIRST_EXTRA + number);
        let (length, no_wait) = match own {
            IpAddr::V4(_) => (24, ""),
            IpAddr::V6(_) => (64, "nodad"),
        };
        ip(
            host,
            &format!("address replace {extra}/{length} dev eth0 {no_wait}"),
        );
        [own, extra]
    }
}

fn with_host_part(address: IpAddr, part: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, part).into()
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[7] = part.into();
            Ipv6Addr::from(segments).into()
        }
    }
}
