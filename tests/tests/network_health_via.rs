//! Health checks by way of a service, out of tunnels that `evenkeel decap` ends.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use control::config::{Checked, parse};
use control::health::{Endpoint, Health, State};
use control::nexthop::{NextHops, targets};
use evenkeel_tests::support::{Family, PATIENCE, PORT, Scene};
use lab::topology::TUNNEL;

/// Services of both modes, families and families of backends, checked by way of themselves.
///
/// A check that is to succeed may be late a few times: `fall`.
fn config(scene: &Scene, port: u16, fall: u8) -> Checked {
    let mut text = String::new();
    for (number, mode) in ["ipip", "gue"].into_iter().enumerate() {
        for family in Family::BOTH {
            for outer in Family::BOTH {
                let number = 10 * number + 2 * usize::from(family == outer) + 1;
                let vip = match scene.vip_of(family) {
                    IpAddr::V4(vip) => format!("tcp://{vip}:{number}"),
                    IpAddr::V6(vip) => format!("tcp://[{vip}]:{number}"),
                };
                text += &format!(
                    "[[service]]\naddress = \"{vip}\"\nmode = \"{mode}\"\nhealth = {{ type = \
                     \"tcp\", via = \"service\", port = {port}, interval = \"1s\", fall = {fall} }}\n\
                     backends = {:?}\n",
                    scene
                        .backends(outer)
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                );
            }
        }
    }
    parse("lb.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

/// What becomes of every backend, from the load balancer's host.
fn verdicts(scene: &Scene, checked: &Checked) -> BTreeMap<String, (State, String)> {
    let check = async {
        let next_hops = NextHops::start(targets(checked.desired.backends())).await;
        let next_hops = next_hops.expect("netlink");
        let hops = next_hops.wait_all(Instant::now() + PATIENCE).await;
        let mut health = Health::start(None);
        health.set_next_hops(
            hops.iter()
                .filter_map(|(address, known)| Some((*address, *known.next_hop()?))),
        );
        health.set_subjects(checked);
        while health.board().count(State::Unknown, Instant::now()) > 0 {
            health.changes().await;
        }
        let board = health.board();
        let mut all = BTreeMap::new();
        for service in &checked.desired.services {
            for backend in &service.backends {
                let endpoint = Endpoint::of(service, backend);
                let report = board.health(&service.id, endpoint, Instant::now());
                let report = report.expect("a backend that is checked");
                let text = report.check.map(|check| check.text).unwrap_or_default();
                all.insert(format!("{} {endpoint}", service.id), (report.state, text));
            }
        }
        all
    };
    let inside = scene.balancer_host().inside(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(PATIENCE, check).await })
    });
    let inside = inside.unwrap_or_else(|error| panic!("{error}"));
    inside.expect("verdicts in time")
}

#[test]
fn a_backend_whose_tunnel_ends_is_up_and_one_without_is_down() {
    let mut scene = Scene::new(&TUNNEL, "viahealth");
    let before = verdicts(&scene, &config(&scene, PORT, 2));
    for (backend, verdict) in &before {
        assert_eq!(verdict.0, State::Down, "{backend}: {}", verdict.1);
    }
    scene.decapsulate();
    let after = verdicts(&scene, &config(&scene, PORT, 20));
    for (backend, verdict) in &after {
        let connected = "connected to the service's address".to_owned();
        assert_eq!(*verdict, (State::Up, connected), "{backend}");
    }
    // A port that nobody listens on is refused from inside the tunnel.
    let refused = verdicts(&scene, &config(&scene, PORT + 100, 2));
    for (backend, (state, text)) in &refused {
        assert_eq!(
            (*state, &text[..]),
            (State::Down, "connection refused"),
            "{backend}"
        );
    }
    assert!(before.len() >= 24 && before.len() == after.len());
}
