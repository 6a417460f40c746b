//! Ways that are narrower than their ends: senders learn what fits, and everything arrives.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_tests::support::{Family, PATIENCE, PORT, Scene, ip, path_mtu, reason};
use lab::fetch::{Datagram, FetchOptions, Target, Transfer, download, udp, upload};

const BYTES: u64 = 1_000_000;
/// Of a narrow network.
const NARROW: u16 = 1_400;
/// Lets a host announce segments that fit 1,500 bytes, whatever fits its own link: others
/// then find out on the way.
const ADVMSS: [u32; 2] = [1_460, 1_440];

fn service(scene: &Scene, family: Family) -> SocketAddr {
    SocketAddr::new(scene.vip_of(family), PORT)
}

/// A lab where one network is narrow.
fn narrow(mode: &'static str, test: &str, network: &str) -> Scene {
    Scene::in_mode_with(mode, test, |lab| lab.mtu(network, NARROW).unwrap())
}

/// Makes a host announce large segments on all its routes.
fn announce_large_segments(scene: &Scene, host: &str) {
    let host = scene.host(host);
    for (option, mss) in ["-4", "-6"].iter().zip(ADVMSS) {
        let routes = ip(&host, &format!("{option} route show"));
        let is_own = |route: &&str| route.contains("dev eth0") && !route.starts_with("fe80");
        for route in routes.lines().filter(is_own) {
            ip(
                &host,
                &format!("{option} route replace {route} advmss {mss}"),
            );
        }
    }
}

fn intact(transfer: Transfer) -> Transfer {
    assert!(transfer.intact(), "{transfer:?}");
    transfer
}

fn send_up(scene: &Scene, family: Family) -> Transfer {
    let target = Target::root(service(scene, family));
    let sent = scene.client().inside(|| upload(&target, BYTES, PATIENCE));
    intact(sent.unwrap().unwrap())
}

fn bring_down(scene: &Scene, family: Family) -> Transfer {
    let target = Target::root(service(scene, family));
    let brought = scene.client().inside(|| download(&target, BYTES, PATIENCE));
    intact(brought.unwrap().unwrap())
}

/// An upload to backends behind a network that is narrower than they say.
fn assert_upload_fits(mode: &'static str) {
    let scene = narrow(mode, "mtuup", "backends");
    for host in ["h2", "h3"] {
        announce_large_segments(&scene, host);
    }
    for family in Family::BOTH {
        send_up(&scene, family);
        let learnt = path_mtu(&scene.client(), service(&scene, family).ip());
        assert_eq!(learnt, Some(NARROW.into()), "{family:?}");
    }
    let told = reason(&scene.status(), "too_big");
    assert!((2..100).contains(&told), "{told}");
}

#[test]
fn in_nat_an_upload_finishes_through_a_narrow_network_before_the_backends() {
    assert_upload_fits("nat");
}

#[test]
fn in_dnat_an_upload_finishes_through_a_narrow_network_before_the_backends() {
    assert_upload_fits("dnat");
}

/// A download from backends to clients beyond a network that is narrower than both say; `teller` is
/// whether the load balancer tells the backends, or a router does.
fn assert_download_fits(mode: &'static str, network: &str, by_balancer: bool) {
    let scene = narrow(mode, &format!("mtudown{}", &network[..1]), network);
    let client = scene.client();
    announce_large_segments(&scene, client.name());
    for family in Family::BOTH {
        let server = bring_down(&scene, family).server.unwrap();
        let server = scene.host(&server);
        let peer = scene.peer_of_backends(mode, family);
        assert_eq!(path_mtu(&server, peer), Some(NARROW.into()), "{family:?}");
    }
    let status = scene.status();
    let (ours, forwarded) = (
        reason(&status, "too_big"),
        reason(&status, "icmp_forwarded"),
    );
    assert_eq!((ours > 0, forwarded > 0), (by_balancer, !by_balancer));
}

#[test]
fn in_nat_a_download_finishes_through_a_narrow_network_beside_the_load_balancer() {
    assert_download_fits("nat", "front", true);
}

#[test]
fn in_dnat_a_download_finishes_through_a_narrow_network_beside_the_load_balancer() {
    assert_download_fits("dnat", "front", true);
}

#[test]
fn in_nat_a_download_finishes_through_a_network_that_a_router_says_is_narrow() {
    assert_download_fits("nat", "clients", false);
}

#[test]
fn in_dnat_a_download_finishes_through_a_network_that_a_router_says_is_narrow() {
    assert_download_fits("dnat", "clients", false);
}

#[test]
fn in_ipip_a_download_finishes_through_a_network_that_a_router_says_is_narrow() {
    assert_download_fits("ipip", "clients", false);
}

#[test]
fn in_gue_a_download_finishes_through_a_network_that_a_router_says_is_narrow() {
    assert_download_fits("gue", "clients", false);
}

/// An upload in full packets, which have no room for the outer header of `overhead` bytes.
fn assert_upload_fits_in_tunnel(mode: &'static str, overhead: [u32; 2]) {
    let scene = Scene::in_mode(mode, "mtu");
    for (family, overhead) in Family::BOTH.into_iter().zip(overhead) {
        send_up(&scene, family);
        let learnt = path_mtu(&scene.client(), service(&scene, family).ip());
        assert_eq!(learnt, Some(1_500 - overhead), "{family:?}");
    }
    let told = reason(&scene.status(), "too_big");
    assert!((2..100).contains(&told), "{told}");
}

#[test]
fn in_ipip_an_upload_leaves_room_for_the_outer_header() {
    assert_upload_fits_in_tunnel("ipip", [20, 40]);
}

#[test]
fn in_gue_an_upload_leaves_room_for_the_outer_headers() {
    assert_upload_fits_in_tunnel("gue", [32, 52]);
}

/// An upload through a router behind the next one whose way on has no room for outer headers. What
/// it says about them is for the load balancer's host, and no client learns it; the MTU of the
/// route does.
fn assert_upload_fits_beyond_the_next_router(mode: &'static str, overhead: [u32; 2]) {
    let scene = narrow(mode, "mtufar", "backends");
    for host in ["h2", "h3", "h4", "h6"] {
        announce_large_segments(&scene, host);
    }
    let client = scene.client();
    for family in Family::BOTH {
        let datagram = FetchOptions {
            requests: 1,
            datagram: Datagram::Hashed(NARROW.into()),
            timeout: Duration::from_millis(500),
            ..FetchOptions::new(Target::root(service(&scene, family)))
        };
        let report = client.inside(|| udp(&datagram)).unwrap().unwrap();
        assert_eq!(report.summary.answered, 0, "{family:?}");
    }
    let status = scene.status();
    assert_eq!(reason(&status, "too_big"), 0);
    assert!(reason(&status, "icmp_for_host") >= 2);

    for route in ["10.2.0.0/24 via 192.0.2.2", "fd00:2::/64 via fd00:f::2"] {
        let change = format!("route change {route} mtu {NARROW}");
        ip(&scene.balancer_host(), &change);
    }
    for (family, overhead) in Family::BOTH.into_iter().zip(overhead) {
        send_up(&scene, family);
        let learnt = path_mtu(&client, service(&scene, family).ip());
        assert_eq!(learnt, Some(u32::from(NARROW) - overhead), "{family:?}");
    }
}

#[test]
fn in_ipip_an_upload_finishes_through_a_narrow_network_that_the_route_tells_of() {
    assert_upload_fits_beyond_the_next_router("ipip", [20, 40]);
}

#[test]
fn in_gue_an_upload_finishes_through_a_narrow_network_that_the_route_tells_of() {
    assert_upload_fits_beyond_the_next_router("gue", [32, 52]);
}
