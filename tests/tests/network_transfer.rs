//! Long transfers arrive whole.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::time::Duration;

use evenkeel_tests::support::{Scene, dropped, reason};
use lab::Topology;
use lab::fetch::{download, upload};
use lab::topology::{ROUTED, TUTORIAL};

const BYTES: u64 = 200_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Both directions through a lab's load balancer.
fn assert_intact(topology: &'static Topology, client: &str, interfaces: &str, backends: &str) {
    let mut scene = Scene::new(topology, "transfer");
    let service = scene.vip();
    scene.run(&format!(
        "{interfaces} --service tcp://{service} {backends}"
    ));
    let (host, target) = (scene.host(client), scene.target());
    let down = host.inside(|| download(&target, BYTES, PATIENCE)).unwrap();
    let up = host.inside(|| upload(&target, BYTES, PATIENCE)).unwrap();
    for transfer in [down.unwrap(), up.unwrap()] {
        assert!(transfer.intact(), "{transfer:?}");
    }

    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert_eq!(reason(&status, "new_flow"), 2);
    let backends = &status.services[0].backends;
    // Both directions went through the program, and not around it.
    assert!(backends.iter().map(|b| b.bytes).sum::<u64>() > BYTES);
    assert!(backends.iter().map(|b| b.reply_bytes).sum::<u64>() > BYTES);
}

#[test]
fn two_hundred_megabytes_each_way_arrive_whole_through_one_interface() {
    assert_intact(
        &TUTORIAL,
        "client",
        "veth6",
        "--backend 10.0.0.2 --backend 10.0.0.3",
    );
}

#[test]
fn two_hundred_megabytes_each_way_arrive_whole_through_two_interfaces() {
    assert_intact(
        &ROUTED,
        "c1",
        "eth0 eth1",
        "--backend 10.2.0.2 --backend 10.2.0.3",
    );
}
