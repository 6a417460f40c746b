//! Health checks of the port that clients ask: in mode `nat` both come from this host.

#![forbid(unsafe_code)]

use evenkeel_tests::support::{PATIENCE, Scene, eventually, requests};
use lab::Host;
use lab::topology::TUTORIAL;

const CONFIG: &str = "interfaces = [\"veth6\"]\n[[service]]\naddress = \"tcp://10.0.0.10:8000\"\n\
                      health = { type = \"http\", interval = \"100ms\", fall = 2 }\n\
                      backends = [\"10.0.0.2\", \"10.0.0.3\"]\n";

/// Lets a host's own connections come from these ports.
fn set_ports(host: &Host, range: &str) {
    let mut command = host.command("sysctl");
    command.args(["-qw", &format!("net.ipv4.ip_local_port_range={range}")]);
    let status = command.status().expect("sysctl(8) is part of procps");
    assert!(status.success());
}

#[test]
fn the_answers_to_checks_are_no_clients() {
    let mut scene = Scene::new(&TUTORIAL, "checkports");
    // Clients take every port that this host's own connections would come from, by themselves.
    set_ports(&scene.client(), "40000 40999");
    set_ports(&scene.balancer_host(), "40000 40999");
    scene.run_config(CONFIG, "auto");
    let by_server = requests(&scene.client(), scene.vip().into(), 900);
    assert_eq!(by_server.len(), 2, "{by_server:?}");
    let before = scene.checks();
    eventually("twenty more checks of each", PATIENCE, || {
        let now = scene.checks();
        let mut pairs = now.iter().zip(&before);
        pairs
            .all(|(now, before)| now.0 + now.1 > before.0 + before.1 + 20)
            .then_some(())
    });
    assert!(scene.checks().iter().all(|(_, failed)| *failed == 0));
}

#[test]
fn a_service_of_every_port_leaves_the_hosts_checks_alone() {
    let mut scene = Scene::new(&TUTORIAL, "everyport");
    let config = CONFIG
        .replace("10.0.0.10:8000", "10.0.0.10:*")
        .replace("type = \"http\"", "type = \"http\", port = 8000");
    scene.run_config(&config, "auto");
    let all = eventually("twenty checks of each", PATIENCE, || {
        let checks = scene.checks();
        checks.iter().all(|it| it.0 + it.1 > 20).then_some(checks)
    });
    assert!(all.len() == 2 && all.iter().all(|it| it.1 == 0), "{all:?}");
    let by_server = requests(&scene.client(), scene.vip().into(), 40);
    assert_eq!(by_server.len(), 2, "{by_server:?}");
}
