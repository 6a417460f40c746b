//! Interfaces of the load balancer that go down, change and are made anew, and routes that change,
//! while connections are held.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use control::event::{Event, What};
use control::status::InterfaceStatus;
use evenkeel_tests::support::{
    Family, PATIENCE, Scene, Service, assert_used, eventually, fresh_requests, hold, ip,
    xdp_programs,
};
use lab::topology::{ROUTED, TUNNEL};

const CONNECTIONS: usize = 40;

fn assert_both_answer(scene: &Scene) {
    let by_server = fresh_requests(&scene.client(), scene.vip().into(), 40);
    assert!(by_server.len() > 1, "{by_server:?}");
}

fn interface(scene: &Scene, name: &str) -> Option<InterfaceStatus> {
    let mut all = scene.status().interfaces.into_iter();
    all.find(|interface| interface.name == name)
}

/// Waits for an event about an interface whose text has this in it.
fn until_told(scene: &Scene, name: &str, part: &str) {
    eventually(&format!("{name}: {part}"), PATIENCE, || {
        let finished = scene.command("events --json");
        let mut events = finished
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Event>(line).unwrap().what);
        let told = |what: What| {
            matches!(what, What::Interface { interface, change }
                if interface == name && change.contains(part))
        };
        events.any(told).then_some(())
    });
}

fn balance(scene: &mut Scene, mode: &'static str) {
    let service = Service::tcp(scene.vip().into(), mode).to(&scene.backends(Family::V4));
    scene.balance(&[service]);
}

#[test]
fn connections_outlive_an_interface_that_goes_down_and_gets_another_mac_and_mtu() {
    let mut scene = Scene::new(&ROUTED, "ifchange");
    balance(&mut scene, "nat");
    let holding = hold(&scene.client(), scene.target(), CONNECTIONS);
    let lb = scene.balancer_host();
    ip(&lb, "link set eth1 down");
    until_told(&scene, "eth1", "carrier");
    ip(&lb, "link set eth1 up");
    eventually("the program is on eth1", PATIENCE, || {
        (!xdp_programs(&lb, "eth1").is_empty()).then_some(())
    });
    assert_used(&holding, "after down and up");

    let mac = "de:ad:be:ef:77:01";
    ip(&lb, "link set eth1 down");
    ip(&lb, &format!("link set eth1 address {mac}"));
    ip(&lb, "link set eth1 mtu 1400");
    ip(&lb, "link set eth1 up");
    // Backends learn the new MAC from the first packet that asks for theirs.
    ip(&lb, "neighbour flush dev eth1");
    until_told(&scene, "eth1", mac);
    until_told(&scene, "eth1", "another MTU: 1400, was 1500");
    eventually("the status has the new MAC", PATIENCE, || {
        (interface(&scene, "eth1")?.mac.as_deref() == Some(mac)).then_some(())
    });
    assert_used(&holding, "with another MAC");
    assert_both_answer(&scene);
    let report = holding.finish().unwrap();
    assert!(report.broken.is_empty(), "{report}");
}

#[test]
fn an_interface_that_is_made_anew_is_attached_again_and_connections_by_others_stay() {
    let mut scene = Scene::new(&ROUTED, "ifanew");
    let lb = scene.balancer_host();
    ip(&lb, "link add extra type veth peer name beyond");
    ip(&lb, "link set extra up");
    ip(&lb, "link set beyond up");
    let service = Service::tcp(scene.vip().into(), "nat").to(&scene.backends(Family::V4));
    let text = format!("interfaces = [\"eth0\", \"eth1\", \"extra\"]\n{service}");
    scene.run_config(&text, "auto");
    let holding = hold(&scene.client(), scene.target(), CONNECTIONS);
    let before = interface(&scene, "extra").expect("it is attached").index;

    ip(&lb, "link del extra");
    until_told(&scene, "extra", "is gone");
    eventually("the status without it", PATIENCE, || {
        interface(&scene, "extra").is_none().then_some(())
    });
    assert_used(&holding, "without it");
    ip(&lb, "link add extra type veth peer name beyond");
    ip(&lb, "link set extra up");
    until_told(&scene, "extra", "is there, the program is attached");
    let now = interface(&scene, "extra").expect("it is attached again");
    assert_ne!(now.index, before);
    assert_eq!(xdp_programs(&lb, "extra").len(), 1);
    assert_used(&holding, "with the new one");
    assert_both_answer(&scene);
    assert_eq!(holding.finish().unwrap().broken, []);
}

#[test]
fn a_route_to_backends_that_changes_is_followed() {
    let mut scene = Scene::new(&TUNNEL, "route");
    scene.decapsulate();
    balance(&mut scene, "ipip");
    let holding = hold(&scene.client(), scene.target(), CONNECTIONS);
    let mac = |scene: &Scene| scene.status().services[0].backends[0].mac.clone();
    let (first, lb) = (mac(&scene), scene.balancer_host());
    // r1 is a router, too, and knows the way over r2.
    ip(&lb, "route replace 10.2.0.0/24 via 192.0.2.1");
    eventually("another next hop", PATIENCE, || {
        (mac(&scene).is_some() && mac(&scene) != first).then_some(())
    });
    assert_used(&holding, "by the other router");
    ip(&lb, "route replace 10.2.0.0/24 via 192.0.2.2");
    eventually("the first next hop", PATIENCE, || {
        (mac(&scene) == first).then_some(())
    });
    assert_used(&holding, "by the first router again");
    assert_both_answer(&scene);
    assert_eq!(holding.finish().unwrap().broken, []);
}
