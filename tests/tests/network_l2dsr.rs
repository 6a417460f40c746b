//! Mode `l2-dsr`: only the MAC changes, and backends answer past the load balancer.

#![forbid(unsafe_code)]

use std::net::SocketAddr;

use evenkeel_tests::support::{
    Family, PORT, Scene, datagrams, dropped, reason, requests, transfer,
};
use lab::fetch::Datagram;

const REQUESTS: usize = 60;

#[test]
fn requests_and_datagrams_of_both_families_are_answered_past_the_load_balancer() {
    let scene = Scene::in_mode("l2-dsr", "all");
    let client = scene.client();
    for family in Family::BOTH {
        let service = SocketAddr::new(scene.vip_of(family), PORT);
        for by_server in [
            requests(&client, service, REQUESTS),
            datagrams(&client, service, REQUESTS, Datagram::Short),
        ] {
            let servers: Vec<_> = by_server.keys().collect();
            assert_eq!(servers, ["h2", "h3", "h6"], "{service}");
        }
        transfer(&client, service, 1_000_000);
    }
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert_eq!(reason(&status, "new_flow"), 2 * (REQUESTS as u64 + 2));
    // Two of them are datagrams' only packets.
    assert!(reason(&status, "forwarded") > 2 * REQUESTS as u64);
    assert_eq!(reason(&status, "replied"), 0);
}
