//! A backend that is no longer configured keeps its connections, also those of a process that is killed.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_tests::support::{
    Family, PATIENCE, PORT, Scene, Service, dropped, eventually, fresh_requests,
};
use lab::fetch::{FetchOptions, HoldOptions, Holding, Target};

const CONNECTIONS: usize = 200;

fn assert_answered(holding: &Holding) {
    let before = holding.report().answered;
    eventually("two rounds of requests", PATIENCE, || {
        let report = holding.report();
        assert!(report.broken.is_empty(), "{report}");
        (report.answered >= before + 2 * CONNECTIONS).then_some(())
    });
}

fn assert_kept(mode: &'static str) {
    let mut scene = Scene::in_mode(mode, "leaving");
    let at = SocketAddr::new(scene.vip_of(Family::V4), PORT);
    let backends = scene.backends(Family::V4);
    scene.reload(&[Service::tcp(at, mode).to(&backends)]);
    let options = HoldOptions {
        lasting: Duration::from_secs(600),
        every: Duration::from_millis(50),
        ..HoldOptions::new(FetchOptions {
            concurrency: CONNECTIONS,
            timeout: Duration::from_secs(10),
            ..FetchOptions::new(Target::root(at))
        })
    };
    let holding = Holding::start(&scene.client(), options).unwrap();
    let before = fresh_requests(&scene.client(), at, 20);
    assert_answered(&holding);

    scene.reload(&[Service::tcp(at, mode).to(&backends[1..])]);
    let after = fresh_requests(&scene.client(), at, 20);
    assert!(after.len() < before.len(), "{before:?}, then {after:?}");
    scene.balancer().kill().unwrap();
    assert_answered(&holding);
    let path = scene.folder().path().join("config.toml");
    scene.run(&format!("--config {}", path.display()));
    assert_answered(&holding);

    // Also while nothing was swept yet: a packet that is lost is sent again, but counted.
    assert_eq!(dropped(&scene.status()), []);
    let held = holding.finish().unwrap();
    assert!(held.broken.is_empty(), "{held}");
}

#[test]
fn a_backend_of_nat_that_leaves_is_reached_from_the_first_moment_on() {
    assert_kept("nat");
}

#[test]
fn a_backend_of_ipip_that_leaves_is_reached_from_the_first_moment_on() {
    assert_kept("ipip");
}
