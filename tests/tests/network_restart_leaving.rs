//! A backend that is no longer configured keeps its connections, also those of a process that is killed.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_tests::support::{Family, PORT, Scene, Service, assert_used, dropped, fresh_requests};
use lab::fetch::{FetchOptions, HoldOptions, Holding, Target};

const CONNECTIONS: usize = 200;

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
    assert_used(&holding, "at first");

    scene.reload(&[Service::tcp(at, mode).to(&backends[1..])]);
    let after = fresh_requests(&scene.client(), at, 20);
    assert!(after.len() < before.len(), "{before:?}, then {after:?}");
    scene.balancer().kill().unwrap();
    assert_used(&holding, "without a process");
    let path = scene.folder().path().join("config.toml");
    scene.run(&format!("--config {}", path.display()));
    assert_used(&holding, "with the next process");

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
