//! Backends that come, go and change their MAC.

#![forbid(unsafe_code)]

use std::time::Duration;

use control::status::BackendStatus;
use evenkeel_tests::support::{PATIENCE, Scene, eventually, finish, hold, ip, requests};
use lab::fetch::{FetchOptions, fetch};
use lab::topology::{ROUTED, TUTORIAL};

const RUN: &str = "veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 10.0.0.3";

/// Both backends answer.
fn assert_both_answer(scene: &Scene) {
    let by_server = requests(&scene.client(), scene.vip().into(), 20);
    assert_eq!(by_server.len(), 2, "{by_server:?}");
}

fn backend(scene: &Scene, index: usize) -> BackendStatus {
    scene.status().services[0].backends[index].clone()
}

#[test]
fn a_backend_that_is_down_at_the_start_works_as_soon_as_it_is_up() {
    let mut scene = Scene::new(&TUTORIAL, "late");
    let h3 = scene.host("h3");
    ip(&h3, "link set eth0 down");
    let said = scene.run(RUN).output();
    assert!(
        said.contains("UNREACHABLE: no answer from 10.0.0.3"),
        "{said}"
    );
    assert_eq!(backend(&scene, 0).state, "up");
    assert_eq!(backend(&scene, 1).state, "unreachable");

    ip(&h3, "link set eth0 up");
    eventually("10.0.0.3 is up", PATIENCE, || {
        (backend(&scene, 1).state == "up").then_some(())
    });
    assert_both_answer(&scene);
}

#[test]
fn a_backend_whose_mac_changes_is_followed() {
    let mut scene = Scene::new(&TUTORIAL, "mac");
    scene.run(RUN);
    assert_both_answer(&scene);
    let h3 = scene.host("h3");
    ip(&h3, "link set eth0 down");
    ip(&h3, "link set eth0 address de:ad:be:ef:99:03");
    ip(&h3, "link set eth0 up");
    // Its own first packet asks for the other's MAC, and so tells its new one.
    let mut ping = h3.command("ping");
    ping.args(["-c", "1", "-W", "5", "10.0.0.10"]);
    assert_eq!(finish(&ping).code, Some(0));
    eventually("the new MAC", PATIENCE, || {
        (backend(&scene, 1).mac.as_deref() == Some("de:ad:be:ef:99:03")).then_some(())
    });
    assert_both_answer(&scene);
}

#[test]
fn a_backend_that_leaves_does_so_also_without_a_next_hop() {
    let mut scene = Scene::new(&TUTORIAL, "away");
    let both = scene.write_config("\"10.0.0.2\", \"10.0.0.3\"");
    scene.run(&format!("--config {}", both.display()));
    let held = hold(&scene.client(), scene.target(), 20);
    assert!(held.report().by_server["h3"] > 0);
    let _same_path = scene.write_config("\"10.0.0.2\"");
    assert_eq!(scene.command("reload").code, Some(0));
    let balancer = scene.balancer_host();
    ip(&balancer, "route add unreachable 10.0.0.3/32");
    let left = eventually("it has no next hop", PATIENCE, || {
        let backend = backend(&scene, 1);
        backend.problem.is_some().then_some(backend)
    });
    assert_eq!(left.state, "leaving");
}

#[test]
fn a_mac_that_is_given_is_used_instead_of_the_neighbours() {
    let mut scene = Scene::new(&TUTORIAL, "given");
    scene.run("veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 10.0.0.3@de:ad:be:ef:00:02");
    assert_eq!(backend(&scene, 1).mac.as_deref(), Some("de:ad:be:ef:00:02"));
    // h2 gets frames with 10.0.0.3 in them and lets them be.
    let options = FetchOptions {
        requests: 20,
        concurrency: 10,
        timeout: Duration::from_secs(2),
        ..FetchOptions::new(scene.target())
    };
    let report = scene.client().inside(|| fetch(&options)).unwrap();
    let summary = report.unwrap().summary;
    assert!(summary.answered < 20, "{summary}");
    assert_eq!(summary.by_server.keys().collect::<Vec<_>>(), ["h2"]);
}

#[test]
fn a_backend_behind_an_interface_that_was_not_named_is_told_with_its_name() {
    let mut scene = Scene::new(&ROUTED, "unnamed");
    let said = scene.run("eth0 --service tcp://192.0.2.100:8000 --backend 10.2.0.2");
    let said = said.output();
    let expected = "UNREACHABLE: reached through eth1, which evenkeel does not run on";
    assert!(said.contains(expected), "{said}");
}
