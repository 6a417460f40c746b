//! A lab, and what a configuration for it may name.

use std::net::IpAddr;

use evenkeel_tests::support::{Family, PORT, Scene};
use lab::topology::{ROUTED, TUNNEL};

/// Where somebody serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    /// `None` for the port that the client asked for.
    pub(crate) port: Option<u16>,
    /// The name it answers with.
    pub(crate) server: String,
}

impl Place {
    /// As commands name it.
    pub(crate) fn name(&self) -> String {
        match (self.address, self.port) {
            (IpAddr::V4(address), None) => address.to_string(),
            (IpAddr::V6(address), None) => format!("[{address}]"),
            (address, Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        }
    }
}

/// What there is to choose from.
#[derive(Clone, Debug)]
pub(crate) struct Terrain {
    pub(crate) vips: Vec<IpAddr>,
    /// Of services.
    pub(crate) ports: Vec<u16>,
    pub(crate) modes: [&'static str; 2],
    pub(crate) places: Vec<Place>,
    /// Servers that a course may end and start again: name, host and port.
    pub(crate) servers: Vec<(String, &'static str, u16)>,
    /// Whether backends may be of the other family than their service.
    pub(crate) mixes_families: bool,
    /// Tables, and lines that one of them may consist of.
    pub(crate) tables: [(&'static str, &'static [&'static str]); 3],
}

const LIMITS: (&str, &[&str]) = (
    "limits",
    &["flows = 1000", "flows = 65536", "exceptions = 1000"],
);
const TIMEOUTS: (&str, &[&str]) = ("timeouts", &[r#"udp = "60s""#, r#"udp = "300s""#]);
const NAT: (&str, &[&str]) = (
    "nat",
    &[
        r#"ports = "10240-32767""#,
        r#"ports = "20000-30000""#,
        r#"address = "10.2.0.10""#,
    ],
);
const TUNNEL_TABLE: (&str, &[&str]) = ("tunnel", &["ttl = 64", "ttl = 63"]);

/// Backends that answer from their own address, at any of their ports.
pub(crate) fn routed(test: &str) -> (Scene, Terrain) {
    let mut scene = Scene::new(&ROUTED, test);
    let hosts = ["h2", "h3"];
    let ports = [PORT, PORT + 1, PORT + 2];
    let name = |host, port| match port {
        PORT => String::from(host),
        _ => format!("{host}-{port}"),
    };
    let mut servers = Vec::new();
    for host in hosts {
        for port in ports {
            servers.push((name(host, port), host, port));
            // One serves from the beginning.
            if port != PORT {
                scene.serve_as(&name(host, port), host, port);
            }
        }
    }
    let mut places = Vec::new();
    for family in Family::BOTH {
        for (host, address) in hosts.into_iter().zip(scene.backends(family)) {
            places.extend(ports.map(|port| Place {
                address,
                port: Some(port),
                server: name(host, port),
            }));
        }
    }
    let terrain = Terrain {
        vips: scene.topology().vips().collect(),
        ports: vec![9000, 9001, 9002],
        modes: ["nat", "dnat"],
        places,
        servers,
        mixes_families: false,
        tables: [LIMITS, TIMEOUTS, NAT],
    };
    (scene, terrain)
}

/// Backends that have the services' addresses and get their packets in an outer header.
pub(crate) fn tunnelled(test: &str) -> (Scene, Terrain) {
    let mut scene = Scene::new(&TUNNEL, test);
    let hosts = ["h2", "h3", "h4", "h6"];
    scene.serve_all(PORT + 1);
    scene.decapsulate();
    let mut places = Vec::new();
    for family in Family::BOTH {
        let addresses = scene.backends(family).into_iter().zip(hosts);
        places.extend(addresses.map(|(address, host)| Place {
            address,
            port: None,
            server: host.to_owned(),
        }));
    }
    let terrain = Terrain {
        vips: scene.topology().vips().collect(),
        ports: vec![PORT, PORT + 1],
        modes: ["ipip", "gue"],
        places,
        servers: Vec::new(),
        mixes_families: true,
        tables: [LIMITS, TIMEOUTS, TUNNEL_TABLE],
    };
    (scene, terrain)
}
