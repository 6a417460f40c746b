//! The configuration read again while packets flow.

#![forbid(unsafe_code)]

use std::net::SocketAddrV4;

use evenkeel_tests::support::{Connection, Finished, PATIENCE, Scene, eventually, requests};
use lab::topology::TUTORIAL;
use nix::sys::signal::Signal;

/// A configuration with these backends, and more behind it.
fn config(backends: &str, rest: &str) -> String {
    format!(
        "interfaces = [\"veth6\"]\n[[service]]\naddress = \"tcp://10.0.0.10:8000\"\n\
         backends = [{backends}]\n{rest}"
    )
}

/// Another text for the file that the balancer was started with.
fn rewrite(scene: &Scene, text: &str) {
    let _same_path = scene.folder().write("config.toml", text);
}

/// Who answers twenty requests.
fn servers(scene: &Scene) -> Vec<String> {
    let by_server = requests(&scene.client(), scene.vip().into(), 20);
    by_server.into_keys().collect()
}

#[test]
fn backends_change_and_a_connection_stays_where_it_is() {
    let mut scene = Scene::new(&TUTORIAL, "reload");
    scene.run_config(&config("\"10.0.0.2\"", ""), "auto");
    assert_eq!(servers(&scene), ["h2"]);
    let client = SocketAddrV4::new(scene.address("client"), 40_000);
    let (vip, host) = (scene.vip(), scene.host("client"));
    let mut held = host
        .inside(|| Connection::open(client, vip))
        .unwrap()
        .unwrap();
    assert_eq!(held.ask().unwrap().server, "h2");

    rewrite(&scene, &config("\"10.0.0.3\"", ""));
    let Finished {
        code,
        stdout,
        stderr,
    } = scene.command("reload");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("reloaded: "), "{stdout}");
    assert!(
        stdout.contains("backends: 1 (1 added, 1 leaving, 0 died)"),
        "{stdout}"
    );
    assert_eq!(servers(&scene), ["h3"]);
    assert_eq!(held.ask().unwrap().server, "h2");
    let status = scene.status();
    let states: Vec<_> = status.services[0]
        .backends
        .iter()
        .map(|backend| (backend.address.as_str(), backend.state.as_str()))
        .collect();
    assert_eq!(
        states,
        [("10.0.0.3:8000", "up"), ("10.0.0.2:8000", "leaving")]
    );
    assert_eq!(status.transitions.backends_leaving, 1);

    let second = "[[service]]\naddress = \"tcp://10.0.0.10:8001\"\n\
                  backends = [\"10.0.0.2:8000\"]\n";
    rewrite(&scene, &config("\"10.0.0.2\", \"10.0.0.3\"", second));
    scene.balancer().signal(Signal::SIGHUP).unwrap();
    eventually("two services", PATIENCE, || {
        (scene.status().services.len() == 2).then_some(())
    });
    assert_eq!(servers(&scene), ["h2", "h3"]);
    assert_eq!(held.ask().unwrap().server, "h2");

    rewrite(
        &scene,
        &config(
            "{ address = \"10.0.0.2\", state = \"drain\" }, \"10.0.0.3\"",
            "",
        ),
    );
    let finished = scene.command("reload");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(servers(&scene), ["h3"]);
    assert_eq!(held.ask().unwrap().server, "h2");
    let drained = &scene.status().services[0].backends[0];
    assert_eq!((drained.state.as_str(), drained.share), ("drain", 0.0));
}

#[test]
fn a_mode_that_nothing_used_at_the_start_comes_by_another_program() {
    let mut scene = Scene::new(&TUTORIAL, "newmode");
    scene.run_config(&config("\"10.0.0.2\"", ""), "auto");
    let before = scene.programs();
    let client = SocketAddrV4::new(scene.address("client"), 40_000);
    let (vip, host) = (scene.vip(), scene.host("client"));
    let held = host.inside(|| Connection::open(client, vip));
    let mut held = held.unwrap().unwrap();
    assert_eq!(held.ask().unwrap().server, "h2");
    let second = "[[service]]\naddress = \"udp://10.0.0.10:*\"\nmode = \"ipip\"\n\
                  backends = [\"10.0.0.3\"]\n[limits]\nflows = 1000\n[nat]\nports = \"20000-21000\"\n";
    rewrite(&scene, &config("\"10.0.0.2\"", second));
    let finished = scene.command("reload");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_ne!(scene.programs(), before);
    assert_eq!(scene.programs().len(), 1);
    assert_eq!(servers(&scene), ["h2"]);
    assert_eq!(held.ask().unwrap().server, "h2");
    let status = scene.status();
    assert_eq!(status.flows.established_limit, 1_000);
    assert_eq!(status.services.len(), 2);
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let mut scene = Scene::new(&TUTORIAL, "badfile");
    let good = config("\"10.0.0.2\"", "");
    scene.run_config(&good, "auto");
    let refused = |scene: &Scene, text: &str, expected: &str| {
        rewrite(scene, text);
        let finished = scene.command("reload");
        assert_eq!(finished.code, Some(1), "{}", finished.stdout);
        assert!(finished.stderr.contains(expected), "{}", finished.stderr);
        assert!(finished.stderr.contains("nothing was changed"));
        assert_eq!(servers(scene), ["h2"]);
    };
    refused(
        &scene,
        &config("\"10.0.0.3:port\"", ""),
        "4 | backends = [\"10.0.0.3:port\"]\n  |                       ^^^^ expected a port",
    );
    refused(
        &scene,
        &config("\"10.0.0.3\"", "").replace("[[", "seed = 5\n[["),
        "5 is in the file; with another seed every flow moves",
    );
    refused(
        &scene,
        &config("\"10.0.0.3\"", "").replace("veth6", "lo"),
        "lo has no MAC address",
    );
    refused(
        &scene,
        &config("\"10.0.0.3\"", "").replace("veth6", "eth9"),
        "there is no interface \"eth9\"",
    );
    let log = scene.balancer().output();
    assert!(log.contains("the configuration was not applied"), "{log}");
    assert!(log.contains("^^^^ expected a port"), "{log}");

    rewrite(&scene, &good);
    assert_eq!(scene.command("reload").code, Some(0));
    assert_eq!(servers(&scene), ["h2"]);
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let mut scene = Scene::new(&TUTORIAL, "nofile");
    scene.run("veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --mode nat");
    let refused = scene.command("reload");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("started with --service"),
        "{}",
        refused.stderr
    );
    assert_eq!(servers(&scene), ["h2"]);
    let balancer = scene.balancer();
    balancer.signal(Signal::SIGHUP).unwrap();
    let ended = balancer.wait(PATIENCE).unwrap().expect("an end");
    assert!(ended.success(), "{ended}");
}
