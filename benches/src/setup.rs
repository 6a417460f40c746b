//! What data planes are configured with.

use std::net::IpAddr;

use engine::desired::{
    Backend, Desired, ForwardingMode, Limits, Mac, NatSettings, NextHop, Prefix, Protocol, Quic,
    QuicServerId, Service, ServiceId, ServicePort,
};

use crate::traffic::{
    BACKEND_MAC, BACKEND_PORT, CLIENTS_LOG2, INTERFACE, OUR_MAC, PORT, Version, Who,
};

/// Backends of a service unless a case asks for another number: as many as clients.
pub(crate) const BACKENDS: u32 = 1 << CLIENTS_LOG2;
/// log2 of the flows in the tables for the cases that do not ask for more.
pub(crate) const FEW_FLOWS_LOG2: u32 = 16;
/// A million.
pub(crate) const MANY_FLOWS_LOG2: u32 = 20;

/// A forwarding mode with its families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    pub(crate) mode: ForwardingMode,
    /// Of the services.
    pub(crate) version: Version,
    /// Of the backends' addresses.
    pub(crate) backends: Version,
    pub(crate) udp: bool,
}

impl Way {
    /// TCP within one family.
    pub(crate) const fn new(mode: ForwardingMode, version: Version) -> Self {
        Self {
            mode,
            version,
            backends: version,
            udp: false,
        }
    }

    /// For the reader.
    pub(crate) fn name(&self) -> String {
        let families = match (self.version, self.backends) {
            (Version::V4, Version::V6) => " 4in6",
            (Version::V6, Version::V4) => " 6in4",
            (version, _) => version.suffix(),
        };
        let udp = if self.udp { " udp" } else { "" };
        format!("{}{families}{udp}", self.mode)
    }
}

/// Which features are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Configured {
    /// No service.
    Nothing,
    /// Services of one kind.
    Only(Way),
    /// Services of every kind; the first ones are of this.
    Everything(Way),
}

/// What a data plane is loaded and filled with. Cases with the same one share a data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Setup {
    pub(crate) configured: Configured,
    /// Of the first kind.
    pub(crate) services: u32,
    /// Of each of them.
    pub(crate) backends: u32,
    /// log2 of the flows in the tables.
    pub(crate) flows_log2: u32,
    /// log2 of the length of each ring of the first kind, if it is not the default.
    pub(crate) ring_log2: Option<u8>,
}

impl Setup {
    /// One service, with flows that fit the default limits.
    pub(crate) const fn of(configured: Configured) -> Self {
        Self {
            configured,
            services: 1,
            backends: BACKENDS,
            flows_log2: FEW_FLOWS_LOG2,
            ring_log2: None,
        }
    }

    /// One service of one kind.
    pub(crate) const fn only(way: Way) -> Self {
        Self::of(Configured::Only(way))
    }

    /// What is wanted of the instance.
    pub(crate) fn desired(&self) -> Desired {
        let services = match self.configured {
            Configured::Nothing => Vec::new(),
            Configured::Only(way) => self.services(way),
            Configured::Everything(way) => {
                let mut services = self.services(way);
                services.extend(every_kind());
                services
            }
        };
        let flows = 1 << self.flows_log2;
        let limits = Limits::default();
        Desired {
            services,
            nat: NatSettings {
                address: v4(Version::V4.address(Who::Instance, 0)),
                address6: v6(Version::V6.address(Who::Instance, 0)),
                ..NatSettings::default()
            },
            limits: Limits {
                flows: limits.flows.max(flows),
                exceptions: limits.exceptions.max(flows),
                // Who is not in the table stays out of it, packet after packet.
                exceptions_per_second: 0,
                ..limits
            },
            seed: 1,
            ..Desired::default()
        }
    }

    fn services(&self, way: Way) -> Vec<Service> {
        let all = 0..self.services;
        all.map(|index| Service {
            ring_log2: self.ring_log2,
            ..service(way, index, self.backends)
        })
        .collect()
    }
}

/// The `index`-th service, whose backends no other one has.
fn service(way: Way, index: u32, backends: u32) -> Service {
    let rewrites = way.mode.rewrites_destination();
    let backend = |number: u32| {
        let address = way
            .backends
            .address(Who::Backend, index * backends + number);
        Backend {
            port: rewrites.then_some(BACKEND_PORT),
            ..Backend::new(address)
        }
    };
    let id = ServiceId {
        protocol: if way.udp {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        address: way.version.address(Who::Service, index).into(),
        port: ServicePort::Exact(PORT),
    };
    Service {
        mode: way.mode,
        ..Service::new(id, (0..backends).map(backend).collect())
    }
}

/// Services with every feature, on other addresses than the first ones.
fn every_kind() -> Vec<Service> {
    const FIRST: u32 = 20_000;
    let mut services = Vec::new();
    for (_, mode) in ForwardingMode::ALL {
        for version in [Version::V4, Version::V6] {
            let index = FIRST + services.len() as u32;
            services.push(service(Way::new(mode, version), index, 2));
            if mode.encapsulates() {
                let backends = match version {
                    Version::V4 => Version::V6,
                    Version::V6 => Version::V4,
                };
                let way = Way {
                    backends,
                    ..Way::new(mode, version)
                };
                services.push(service(way, index + 1, 2));
            }
        }
    }
    let way = Way {
        udp: true,
        ..Way::new(ForwardingMode::Ipip, Version::V4)
    };
    let mut quic = service(way, FIRST + 100, 1);
    quic.quic = Some(Quic::default());
    for backend in &mut quic.backends {
        backend.quic_server_id = QuicServerId::new(&[1, 2, 3, 4]);
    }
    let mut prefix = service(way, FIRST + 200, 1);
    let network = IpAddr::from([172, 16, 0, 0]);
    prefix.id.address = Prefix::around(network, 16).unwrap_or(prefix.id.address);
    prefix.id.port = ServicePort::Any;
    services.extend([quic, prefix]);
    services
}

/// How every backend is reached.
pub(crate) fn next_hop(_: &Service, backend: &Backend) -> Option<NextHop> {
    let version = if backend.address.is_ipv6() {
        Version::V6
    } else {
        Version::V4
    };
    Some(NextHop {
        interface_index: INTERFACE,
        source_mac: Mac(OUR_MAC),
        destination_mac: Mac(BACKEND_MAC),
        source_address: version.address(Who::Instance, 0),
        mtu: 1500,
    })
}

fn v4(address: IpAddr) -> Option<std::net::Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: IpAddr) -> Option<std::net::Ipv6Addr> {
    match address {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    }
}
