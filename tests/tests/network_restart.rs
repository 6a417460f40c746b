//! The process is killed, started again, exchanged for another version and ended while 500 connections
//! are held and 5,000 datagrams a second flow: no datagram is lost, no connection breaks.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use evenkeel_tests::support::{
    Family, PATIENCE, PORT, Scene, Service, Stream, assert_used, dropped, evenkeel, fresh_requests,
    hold,
};
use lab::fetch::{Holding, Target};
use lab::topology::Role;

const CONNECTIONS: usize = 500;
const DATAGRAMS_PER_SECOND: u32 = 5_000;
/// A busy machine lets the sender wait at times.
const FEWEST_PER_SECOND: u64 = 4_000;
const STREAM_PORT: u16 = 9_000;
/// The version that the changed binary says it is.
const OTHER_VERSION: &str = "0.9.0";

/// Each differs from the one before in something that is fixed when a program is loaded.
const OTHER_SETTINGS: [&str; 4] = [
    "[tunnel]\nttl = 63\n",
    "[tunnel]\nttl = 255\n",
    "[limits]\nflows = 20000\nexceptions = 20000\n",
    "[nat]\nports = \"20000-30000\"\n",
];

/// A lab with connections and a stream through its load balancer.
struct Traffic {
    scene: Scene,
    services: Vec<Service>,
    holding: Holding,
    stream: Stream,
}

impl Traffic {
    fn start(mode: &'static str, test: &str) -> Self {
        let scene = Scene::in_mode(mode, test);
        let services = services(&scene, mode);
        scene.reload(&services);
        let vip = scene.vip_of(Family::V4);
        let target = Target::root(SocketAddr::new(vip, PORT));
        let holding = hold(&scene.client(), target, CONNECTIONS);
        let backends: Vec<_> = lab_backends(&scene);
        let service = SocketAddr::new(vip, STREAM_PORT);
        let stream = Stream::start(&scene.client(), service, &backends, DATAGRAMS_PER_SECOND);
        Self {
            scene,
            services,
            holding,
            stream,
        }
    }

    /// The connections are used, again and again, and new ones are made.
    fn assert_flows(&self, when: &str) {
        assert_used(&self.holding, when);
        let at = SocketAddr::new(self.scene.vip_of(Family::V4), PORT);
        let by_server = fresh_requests(&self.scene.client(), at, 20);
        assert!(by_server.len() > 1, "{when}: {by_server:?}");
    }

    fn run(&mut self, binary: PathBuf) {
        let path = self.scene.folder().path().join("config.toml");
        let arguments = format!("--config {} --keep", path.display());
        self.scene.run_as(binary, &arguments);
    }

    /// Ends the traffic: nothing is lost, nothing broken, nothing moved.
    fn finish(self) {
        let report = self.stream.finish();
        let held = self.holding.finish().unwrap();
        println!(
            "{} datagrams, {} a second, {} requests of held connections",
            report.sent, report.per_second, held.answered
        );
        assert!(held.broken.is_empty(), "{held}");
        assert!(report.lost.is_empty(), "{report:?}");
        assert_eq!((report.doubled, report.moved), (0, 0), "{report:?}");
        assert!(report.sent > 10_000 && report.receivers > 1, "{report:?}");
        assert!(report.per_second > FEWEST_PER_SECOND, "{report:?}");
        assert_eq!(dropped(&self.scene.status()), []);
        let finished = self.scene.command("stop");
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert!(self.scene.programs().is_empty());
    }
}

fn lab_backends(scene: &Scene) -> Vec<lab::Host> {
    let topology = scene.topology();
    let backends = topology.with_role(Role::Backend);
    backends.map(|backend| scene.host(backend.name)).collect()
}

fn services(scene: &Scene, mode: &'static str) -> Vec<Service> {
    let at = SocketAddr::new(scene.vip_of(Family::V4), STREAM_PORT);
    let stream = Service::udp(at, mode).to(&scene.backends(Family::V4));
    let mut services = scene.services(mode, PORT);
    services.push(stream);
    services
}

/// The program with another version in it.
fn other_version(scene: &Scene) -> PathBuf {
    let mut bytes = fs::read(evenkeel()).unwrap();
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    assert_eq!(version.len(), OTHER_VERSION.len());
    let places = places_of(version, &bytes);
    assert!(!places.is_empty(), "the program does not say its version");
    for place in places {
        bytes[place..place + version.len()].copy_from_slice(OTHER_VERSION.as_bytes());
    }
    let path = scene.folder().path().join("evenkeel-other");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn places_of(wanted: &[u8], bytes: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(wanted.len()).enumerate();
    windows
        .filter(|(_, window)| *window == wanted)
        .map(|(place, _)| place)
        .collect()
}

fn assert_survives(mode: &'static str) {
    let mut traffic = Traffic::start(mode, "restart");
    traffic.assert_flows("at first");

    traffic.scene.balancer().kill().unwrap();
    traffic.assert_flows("after a kill");
    traffic.run(evenkeel());
    traffic.assert_flows("after a start");
    assert_eq!(
        traffic.scene.programs().len(),
        traffic.scene.balancer_host().interfaces().len()
    );

    let other = other_version(&traffic.scene);
    traffic
        .scene
        .balancer()
        .signal(nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    traffic
        .scene
        .balancer()
        .wait(PATIENCE)
        .unwrap()
        .expect("an end");
    traffic.assert_flows("between two versions");
    traffic.run(other);
    assert_eq!(traffic.scene.status().version, OTHER_VERSION);
    traffic.assert_flows("after an upgrade");

    // Another program, with a feature that nothing used before, and more room.
    let vip = traffic.scene.vip_of(Family::V4);
    let backends = traffic.scene.backends(Family::V4);
    let mut services = traffic.services.clone();
    let more = (20_000..20_040).map(|port| {
        let service = Service::tcp(SocketAddr::new(vip, port), "l2-dsr");
        service.to(&backends).with("ring_slots = 4096")
    });
    services.extend(more);
    traffic.scene.reload(&services);
    traffic.assert_flows("after an exchange of the program");
    for tables in OTHER_SETTINGS {
        traffic.scene.reload_with(&traffic.services, tables);
        traffic.assert_flows(tables);
    }
    let exchanged = traffic.scene.command("events").stdout;
    let exchanged = exchanged.matches("the program was exchanged").count();
    assert_eq!(exchanged, 1 + OTHER_SETTINGS.len());
    traffic.scene.reload(&traffic.services);

    let kept = traffic.scene.command("stop --keep");
    assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    traffic.assert_flows("without a process");
    traffic.run(evenkeel());
    traffic.assert_flows("at last");
    traffic.finish();
}

#[test]
fn nat_survives_kills_restarts_and_upgrades() {
    assert_survives("nat");
}

#[test]
fn ipip_survives_kills_restarts_and_upgrades() {
    assert_survives("ipip");
}
