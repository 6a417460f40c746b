//! Backends come, drain, go and die while connections are held: nobody's breaks but the dead one's.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use evenkeel_tests::support::{
    Family, PORT, Scene, Service, assert_used, dropped, fresh_requests, hold, reason,
};
use lab::Topology;
use lab::fetch::{FetchOptions, Holding, Target, fetch};
use lab::topology::{L2DSR, ROUTED, TUNNEL};

/// Of each family.
const CONNECTIONS: usize = 250;
/// New ones after each change.
const REQUESTS: usize = 40;

/// A lab with three servers, of which the services' backends change.
struct Changes {
    scene: Scene,
    mode: &'static str,
    servers: Vec<Server>,
}

/// A server that may be a backend of both families' services.
#[derive(Clone, Copy)]
struct Server {
    name: &'static str,
    host: &'static str,
    port: u16,
}

const fn server(name: &'static str, host: &'static str, port: u16) -> Server {
    Server { name, host, port }
}

impl Changes {
    fn new(topology: &'static Topology, mode: &'static str, servers: &[Server]) -> Self {
        let mut scene = Scene::new(topology, &format!("changes{}", mode.replace('-', "")));
        if topology.name == TUNNEL.name {
            scene.decapsulate();
        }
        for server in servers {
            if server.port != PORT {
                scene.serve_as(server.name, server.host, server.port);
            }
        }
        Self {
            scene,
            mode,
            servers: servers.to_vec(),
        }
    }

    fn at(&self, family: Family) -> SocketAddr {
        SocketAddr::new(self.scene.vip_of(family), PORT)
    }

    /// One service for each family: each backend with its state.
    fn services(&self, backends: &[(&str, &str)]) -> Vec<Service> {
        let service = |family| {
            let service = Service::tcp(self.at(family), self.mode);
            backends.iter().fold(service, |service, (name, state)| {
                service.backend(&self.backend(family, name, state))
            })
        };
        Family::BOTH.map(service).into()
    }

    fn backend(&self, family: Family, name: &str, state: &str) -> String {
        let server = self
            .servers
            .iter()
            .find(|server| server.name == name)
            .unwrap();
        let host = self.scene.host(server.host);
        let address: IpAddr = match family {
            Family::V4 => host.address().unwrap(),
            Family::V6 => host.address6().unwrap(),
        };
        let port = match server.port {
            PORT => String::new(),
            port => format!(", port = {port}"),
        };
        format!("address = \"{address}\"{port}, state = \"{state}\"")
    }

    /// Other backends; new connections go to exactly these servers from now on.
    fn change(&self, backends: &[(&str, &str)], expected: &[&str]) {
        self.scene.reload(&self.services(backends));
        self.assert_new_go_to(expected);
    }

    fn assert_new_go_to(&self, expected: &[&str]) {
        for family in Family::BOTH {
            let by_server = fresh_requests(&self.scene.client(), self.at(family), REQUESTS);
            let servers: Vec<_> = by_server.keys().collect();
            assert_eq!(servers, expected, "{family:?}");
        }
    }

    /// Holds connections of both families.
    fn hold(&self) -> [Holding; 2] {
        Family::BOTH.map(|family| {
            let target = Target::root(self.at(family));
            hold(&self.scene.client(), target, CONNECTIONS)
        })
    }
}

/// Nothing is broken, and the connections have been used since the call.
fn assert_all_used(held: &[Holding; 2], when: &str) {
    for holding in held {
        assert_used(holding, when);
    }
}

/// First there are `a` and `b`; then `c` comes, `a` drains and is up again, `b` is removed, and `c`
/// dies.
fn assert_only_the_dead_ones_break(
    topology: &'static Topology,
    mode: &'static str,
    servers: [Server; 3],
) {
    let mut changes = Changes::new(topology, mode, &servers);
    let [a, b, c] = servers.map(|server| server.name);
    let first = changes.services(&[(a, "up"), (b, "up")]);
    changes.scene.balance(&first);
    let early = changes.hold();
    changes.change(&[(a, "up"), (b, "up"), (c, "up")], &[a, b, c]);
    assert_all_used(&early, "one has come");
    // Some with the new one, too.
    let late = changes.hold();
    changes.change(&[(a, "drain"), (b, "up"), (c, "up")], &[b, c]);
    assert_all_used(&early, "one drains");
    assert_all_used(&late, "one drains");
    changes.change(&[(a, "up"), (b, "up"), (c, "up")], &[a, b, c]);
    changes.change(&[(a, "up"), (c, "up")], &[a, c]);
    assert_all_used(&early, "one has gone");
    assert_all_used(&late, "one has gone");

    let port = servers[2].port;
    changes.scene.kill_server(c, port);
    changes.change(&[(a, "up"), (c, "down")], &[a]);
    let mut met = BTreeSet::new();
    for holding in early.into_iter().chain(late) {
        let report = holding.finish().unwrap();
        met.extend(report.by_server.keys().cloned());
        let dead = report.by_server.get(c).copied().unwrap_or(0);
        assert_eq!(report.broken.len(), dead, "{report}");
        for broken in &report.broken {
            assert_eq!(broken.server.as_deref(), Some(c), "{report}");
        }
    }
    assert!(met.iter().eq(&[a, b, c]), "{met:?}");
    let status = changes.scene.status();
    assert_eq!(dropped(&status), []);
    // Each change came while they were there, not after.
    let is_stateless = mode != "nat";
    assert_eq!(reason(&status, "kept_by_previous") > 0, is_stateless);
}

#[test]
fn in_nat_a_closed_connection_that_is_opened_again_leaves_a_draining_backend() {
    let mut scene = Scene::new(&ROUTED, "reopened");
    let service = |scene: &Scene, draining: &str| {
        let service = Service::tcp(scene.vip().into(), "nat");
        let backends = ["h2", "h3"].iter().fold(service, |service, host| {
            let address = scene.address(host);
            let state = if *host == draining { "drain" } else { "up" };
            service.backend(&format!("address = \"{address}\", state = \"{state}\""))
        });
        [backends]
    };
    scene.balance(&service(&scene, ""));
    let options = FetchOptions {
        requests: 1,
        // The server closes first, so that the client may have its port again at once.
        sources: vec![SocketAddr::new(scene.address("c1").into(), 40_000)],
        ..FetchOptions::new(scene.target())
    };
    let ask = |scene: &Scene| {
        let report = scene
            .host("c1")
            .inside(|| fetch(&options))
            .unwrap()
            .unwrap();
        assert_eq!(report.summary.answered, 1, "{}", report.summary);
        report.summary.by_server.into_keys().next().unwrap()
    };
    let first = ask(&scene);
    assert_eq!(ask(&scene), first);
    scene.reload(&service(&scene, &first));
    assert_ne!(ask(&scene), first);
    assert_eq!(dropped(&scene.status()), []);
}

/// Two hosts and three servers: one has a port of its own.
const ROUTED_SERVERS: [Server; 3] = [
    server("h2", "h2", PORT),
    server("h3", "h3", PORT),
    server("second", "h2", 8001),
];

#[test]
fn in_nat_no_connection_breaks_but_the_dead_backends() {
    assert_only_the_dead_ones_break(&ROUTED, "nat", ROUTED_SERVERS);
}

#[test]
fn in_dnat_no_connection_breaks_but_the_dead_backends() {
    assert_only_the_dead_ones_break(&ROUTED, "dnat", ROUTED_SERVERS);
}

/// A host for each.
const SERVERS: [Server; 3] = [
    server("h2", "h2", PORT),
    server("h3", "h3", PORT),
    server("h6", "h6", PORT),
];

#[test]
fn in_l2_dsr_no_connection_breaks_but_the_dead_backends() {
    assert_only_the_dead_ones_break(&L2DSR, "l2-dsr", SERVERS);
}

#[test]
fn in_ipip_no_connection_breaks_but_the_dead_backends() {
    assert_only_the_dead_ones_break(&TUNNEL, "ipip", SERVERS);
}

#[test]
fn in_gue_no_connection_breaks_but_the_dead_backends() {
    assert_only_the_dead_ones_break(&TUNNEL, "gue", SERVERS);
}
