//! `run` starts, ends, dies and starts again.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::net::UnixListener;

use control::instance::{SOCKET_DIRECTORY, socket_path};
use evenkeel_tests::support::{PATIENCE, Scene, dropped, eventually, requests};
use lab::topology::TUTORIAL;
use nix::sys::signal::Signal;

const RUN: &str =
    "veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 10.0.0.3@de:ad:be:ef:00:03";

/// Twenty requests through the load balancer, all of them answered.
fn assert_balances(scene: &Scene) {
    let by_server = requests(&scene.client(), scene.vip().into(), 20);
    assert_eq!(by_server.len(), 2, "{by_server:?}");
}

#[test]
fn after_a_kill_no_program_is_left_and_the_next_run_takes_over_at_once() {
    let mut scene = Scene::new(&TUTORIAL, "kill");
    scene.run(RUN);
    assert_balances(&scene);
    assert_eq!(scene.programs().len(), 1);

    scene.balancer().kill().unwrap();
    // The kernel takes the program off when it closes the last reference to the link.
    eventually("no program on veth6", PATIENCE, || {
        scene.programs().is_empty().then_some(())
    });
    assert!(scene.has_socket(), "nobody was left to remove the socket");

    scene.run(RUN);
    assert_balances(&scene);
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert_eq!(
        status.services[0]
            .backends
            .iter()
            .map(|b| b.new_flows)
            .sum::<u64>(),
        20
    );
}

#[test]
fn a_signal_ends_it_with_success_and_nothing_left_behind() {
    let mut scene = Scene::new(&TUTORIAL, "term");
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        scene.run(RUN);
        assert_balances(&scene);
        assert!(scene.has_socket());
        let balancer = scene.balancer();
        balancer.signal(signal).unwrap();
        let ended = balancer.wait(PATIENCE).unwrap().expect("an end");
        assert!(ended.success(), "{signal}: {ended}");
        let output = balancer.output();
        assert!(output.contains("stopped: detached"), "{output}");
        assert!(scene.programs().is_empty(), "after {signal}");
        assert!(!scene.has_socket(), "after {signal}");
    }
}

#[test]
fn a_second_run_of_the_same_instance_is_refused_and_the_first_goes_on() {
    let mut scene = Scene::new(&TUTORIAL, "second");
    scene.run(RUN);
    let programs = scene.programs();
    let name = scene.balancer_host().namespace().to_owned();

    let refused = scene.command(&format!("run {RUN}"));
    assert_eq!(refused.code, Some(1));
    let expected = format!("instance {name} is running already");
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    assert!(refused.stderr.contains("--instance"), "{}", refused.stderr);

    // Another instance cannot have the interface either, and leaves no socket.
    let other = format!("{name}-other");
    let refused = scene.command(&format!("run {RUN} --instance {other}"));
    assert_eq!(refused.code, Some(1));
    for expected in ["veth6 has an XDP program already", "stop that first", &name] {
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    assert!(!socket_path(&other).exists());

    assert_eq!(scene.programs(), programs);
    assert_balances(&scene);
    assert_eq!(scene.status().instance, name);
}

#[test]
fn a_socket_that_nobody_listens_on_is_taken_over() {
    let mut scene = Scene::new(&TUTORIAL, "stale");
    fs::create_dir_all(SOCKET_DIRECTORY).unwrap();
    let path = socket_path(scene.balancer_host().namespace());
    drop(UnixListener::bind(&path).unwrap());
    assert!(scene.has_socket());
    let refused = scene.command("status");
    assert!(
        refused.stderr.contains("is running (nobody answers"),
        "{}",
        refused.stderr
    );

    scene.run(RUN);
    assert_balances(&scene);
    scene.balancer().stop().unwrap();
    assert!(!scene.has_socket());
}

#[test]
fn the_mode_asked_for_is_the_mode_it_runs_in_and_says() {
    let mut scene = Scene::new(&TUTORIAL, "mode");
    for (asked, found) in [
        ("native", "native"),
        ("auto", "native"),
        ("generic", "generic"),
    ] {
        let output = scene.run(&format!("{RUN} --xdp {asked}")).output();
        let line = format!("interface veth6  {found} XDP");
        assert!(output.contains(&line), "{output}");
        assert_eq!(scene.status().interfaces[0].mode, found);
        assert_balances(&scene);
        assert_eq!(dropped(&scene.status()), []);
        scene.balancer().stop().unwrap();
    }
}
