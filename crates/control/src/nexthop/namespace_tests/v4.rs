//! IPv4: routes and ARP.

use super::*;

fn by_eth0(destination: Mac) -> String {
    format!("from 10.9.0.1 {LB0} to {destination} mtu 1500")
}

fn via_near() -> String {
    format!("from 10.9.0.1 {LB0} to {NEAR} via 10.9.0.2 mtu 1500")
}

#[test]
fn targets_on_the_link_behind_a_gateway_and_nowhere_are_told_apart() {
    let lab = Lab::new();
    lab.ip("lb", "link set lo up");
    lab.ip(
        "lb",
        "route add 10.20.0.0/16 via 10.9.0.2 mtu 1400 src 10.9.1.1",
    );
    lab.ip("lb", "route add blackhole 10.30.0.1");
    lab.ip("lb", "route add unreachable 10.30.0.2");
    lab.ip("lb", "route add prohibit 10.30.0.3");
    let addresses = [
        "10.9.0.2",
        "10.9.0.3",
        "10.20.1.1",
        "10.9.0.1",
        "10.9.0.255",
        "10.30.0.1",
        "10.30.0.2",
        "10.30.0.3",
        "192.0.2.1",
    ];
    lab.in_lb(|| async {
        let next_hops = start(&addresses).await;
        let all = settled(&next_hops).await;
        let words = addresses.map(|text| in_words(all.get(&address(text))));
        let forbidden = |target: &str, kind: &str| {
            format!(
                "the route to {target} is of type {kind}: remove it, or add a more specific one"
            )
        };
        assert_eq!(
            words,
            [
                by_eth0(NEAR),
                "no answer from 10.9.0.3 on eth0: is it up, and in this network?".into(),
                format!("from 10.9.1.1 {LB0} to {NEAR} via 10.9.0.2 mtu 1400"),
                "10.9.0.1 is an address of this host: a backend has to be another host or \
                 namespace"
                    .into(),
                forbidden("10.9.0.255", "broadcast"),
                forbidden("10.30.0.1", "blackhole"),
                forbidden("10.30.0.2", "unreachable"),
                forbidden("10.30.0.3", "prohibit"),
                "no route to 192.0.2.1: is the interface towards it up, with an address of its \
                 network?"
                    .into(),
            ]
        );
        let eth0 = interface("eth0").await.unwrap();
        assert_eq!(
            all[&address("10.9.0.2")]
                .next_hop()
                .unwrap()
                .interface_index,
            eth0.index
        );
    });
}

#[test]
fn a_given_mac_needs_no_neighbour_and_targets_can_be_replaced() {
    let lab = Lab::new();
    lab.in_lb(|| async {
        let given = Target {
            address: address("10.9.0.77"),
            mac: Some(OTHER),
        };
        let mut next_hops = NextHops::start(vec![given]).await.unwrap();
        let first = next_hops.changes().await.unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(in_words(Some(&first[0].1)), by_eth0(OTHER));
        next_hops.set_targets(vec![Target {
            address: address("10.9.1.2"),
            mac: None,
        }]);
        let by_eth1 = format!("from 10.9.1.1 {LB1} to {OTHER} mtu 1500");
        until(&mut next_hops, "10.9.1.2", &by_eth1).await;
        assert_eq!(next_hops.current().len(), 1);
    });
}

#[test]
fn a_neighbour_that_comes_up_late_is_found() {
    assert_a_late_neighbour_is_found("10.9.0.3", "addr add 10.9.0.3/24 dev eth0", by_eth0);
}

#[test]
fn a_mac_announced_by_gratuitous_arp_is_followed() {
    let lab = Lab::new();
    lab.sysctl("near", "ipv4/conf/eth0/arp_notify", 1);
    assert_a_new_mac_is_followed(&lab, "10.9.0.2", by_eth0);
}

#[test]
fn a_mac_that_changes_silently_is_noticed_because_entries_are_confirmed() {
    let lab = Lab::new();
    lab.confirm_early("ipv4");
    assert_a_new_mac_is_followed(&lab, "10.9.0.2", by_eth0);
}

#[test]
fn links_that_go_down_and_up_are_followed() {
    let lab = Lab::new();
    lab.in_lb(|| async {
        let mut next_hops = start(&["10.9.0.2"]).await;
        until(&mut next_hops, "10.9.0.2", &by_eth0(NEAR)).await;
        lab.ip("near", "link set eth0 down");
        let no_carrier =
            "interface eth0 has no carrier: is its cable plugged in, its other end up?";
        until(&mut next_hops, "10.9.0.2", no_carrier).await;
        lab.ip("near", "link set eth0 up");
        until(&mut next_hops, "10.9.0.2", &by_eth0(NEAR)).await;
        lab.ip("lb", "link set eth0 down");
        let no_route = "no route to 10.9.0.2: is the interface towards it up, with an address of \
                        its network?";
        until(&mut next_hops, "10.9.0.2", no_route).await;
        lab.ip("lb", "link set eth0 up mtu 1400");
        let smaller = format!("from 10.9.0.1 {LB0} to {NEAR} mtu 1400");
        until(&mut next_hops, "10.9.0.2", &smaller).await;
        lab.ip("lb", "link del eth0");
        until(&mut next_hops, "10.9.0.2", no_route).await;
    });
}

#[test]
fn a_route_that_moves_to_another_gateway_is_followed() {
    let lab = Lab::new();
    lab.ip("lb", "route add 10.20.0.0/16 via 10.9.0.2");
    let by_eth1 = |source: &str| format!("from {source} {LB1} to {OTHER} via 10.9.1.2 mtu 1500");
    lab.in_lb(|| async {
        let mut next_hops = start(&["10.20.1.1"]).await;
        until(&mut next_hops, "10.20.1.1", &via_near()).await;
        lab.ip("lb", "route replace 10.20.0.0/16 via 10.9.1.2");
        until(&mut next_hops, "10.20.1.1", &by_eth1("10.9.1.1")).await;
        lab.ip("lb", "route add 10.20.1.0/24 via 10.9.0.2");
        until(&mut next_hops, "10.20.1.1", &via_near()).await;
        lab.ip("lb", "route del 10.20.1.0/24");
        lab.ip("lb", "addr add 10.9.1.5/24 dev eth1");
        lab.ip("lb", "route replace 10.20.0.0/16 via 10.9.1.2 src 10.9.1.5");
        until(&mut next_hops, "10.20.1.1", &by_eth1("10.9.1.5")).await;
        lab.ip("lb", "addr del 10.9.1.5/24 dev eth1");
        let no_route = "no route to 10.20.1.1: is the interface towards it up, with an address of \
                        its network?";
        until(&mut next_hops, "10.20.1.1", no_route).await;
    });
}

#[test]
fn a_flushed_neighbour_table_interrupts_nothing() {
    let lab = Lab::new();
    lab.in_lb(|| async {
        let mut next_hops = start(&["10.9.0.2"]).await;
        until(&mut next_hops, "10.9.0.2", &by_eth0(NEAR)).await;
        lab.ip("lb", "neigh flush all");
        lab.ip("near", "addr add 10.9.0.3/24 dev eth0");
        // By the time a later target is resolved, the flush has been dealt with.
        let both = ["10.9.0.2", "10.9.0.3"].map(|text| Target {
            address: address(text),
            mac: None,
        });
        next_hops.set_targets(both.to_vec());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while in_words(next_hops.current().get(&address("10.9.0.3"))) != by_eth0(NEAR) {
            let changes = tokio::time::timeout_at(deadline, next_hops.changes()).await;
            for (changed, resolution) in changes.unwrap().unwrap() {
                let is_late = changed == address("10.9.0.3");
                assert!(is_late || resolution.next_hop().is_some(), "{resolution:?}");
            }
        }
    });
}

#[test]
fn lost_notifications_are_made_up_for() {
    let lab = Lab::new();
    lab.in_lb(|| async {
        let mut next_hops = start(&["10.20.1.1"]).await;
        let no_route = "no route to 10.20.1.1: is the interface towards it up, with an address of \
                        its network?";
        until(&mut next_hops, "10.20.1.1", no_route).await;
        // Nothing is read while this thread waits for the command, so the socket's buffer fills.
        let routes: String = (0..20_000)
            .map(|n| {
                format!(
                    "route add 10.{}.{}.{}/32 via 10.9.0.2\n",
                    100 + n / 65_536,
                    n / 256 % 256,
                    n % 256
                )
            })
            .chain(["route add 10.20.0.0/16 via 10.9.0.2\n".to_owned()])
            .collect();
        let file = std::env::temp_dir().join(lab.name("routes"));
        std::fs::write(&file, routes).unwrap();
        lab.ip("lb", &format!("-batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        until(&mut next_hops, "10.20.1.1", &via_near()).await;
        assert!(
            next_hops.overruns() > 0,
            "the flood was too small for this test"
        );
    });
}

#[test]
fn an_mtu_that_the_kernel_was_told_on_the_way_does_not_count() {
    assert_a_learnt_mtu_does_not_count("10.20.0.1", "10.20.0.0/16", "10.9.0.2");
}
