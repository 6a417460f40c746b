//! `run` starts, ends, dies and starts again.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::net::UnixListener;

use control::instance::{SOCKET_DIRECTORY, socket_path};
use engine::pins::Pins;
use evenkeel_tests::support::{PATIENCE, Scene, dropped, requests};
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
fn after_a_kill_packets_are_balanced_on_and_the_next_run_goes_on_with_that() {
    let mut scene = Scene::new(&TUTORIAL, "kill");
    scene.run(RUN);
    assert_balances(&scene);
    assert_eq!(scene.programs().len(), 1);

    scene.balancer().kill().unwrap();
    assert_balances(&scene);
    assert_eq!(scene.programs().len(), 1);
    assert!(scene.has_socket(), "nobody was left to remove the socket");

    scene.run(RUN);
    assert_balances(&scene);
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    let backends = status.services[0].backends.iter();
    assert_eq!(backends.map(|b| b.new_flows).sum::<u64>(), 60);
}

#[test]
fn what_a_killed_process_left_is_ended_by_stop() {
    let mut scene = Scene::new(&TUTORIAL, "leftover");
    scene.run(RUN);
    let refused = scene.command("stop --instance nobody");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("no instance nobody is running"),
        "{}",
        refused.stderr
    );
    scene.balancer().kill().unwrap();
    let refused = scene.command("status");
    let expected = "balanced without a process";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    let refused = scene.command("stop --keep");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("nothing to do"),
        "{}",
        refused.stderr
    );
    let stopped = scene.command("stop");
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert!(scene.programs().is_empty());
    assert!(!Pins::of(scene.balancer_host().namespace()).exist());
    assert!(!scene.file("sock").exists());
}

#[test]
fn another_seed_is_refused_as_long_as_flows_would_move() {
    let mut scene = Scene::new(&TUTORIAL, "seed");
    let config = |seed: u32| {
        format!(
            "interfaces = [\"veth6\"]\nseed = {seed}\n[[service]]\n\
             address = \"tcp://10.0.0.10:8000\"\nbackends = [\"10.0.0.2\", \"10.0.0.3\"]\n"
        )
    };
    scene.run_config(&config(1), "auto");
    scene.balancer().kill().unwrap();
    let path = scene.folder().write("other.toml", config(2));
    let refused = scene.command(&format!("run --config {}", path.display()));
    assert_eq!(refused.code, Some(1));
    for part in ["seed: 1 is running, 2 is wanted", "evenkeel stop"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    assert_balances(&scene);
    assert_eq!(scene.command("stop").code, Some(0));
    scene.run_config(&config(2), "auto");
    assert_balances(&scene);
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
    let ends = format!("evenkeel stop --instance {name}`");
    for expected in ["veth6 has an XDP program already", "stop that first", &ends] {
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
