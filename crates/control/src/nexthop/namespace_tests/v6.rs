//! IPv6: routes and neighbour discovery.

use super::*;

fn by_eth0(destination: Mac) -> String {
    format!("from fd00:9::1 {LB0} to {destination} mtu 1500")
}

fn no_route(target: &str) -> String {
    format!("no route to {target}: is the interface towards it up, with an address of its network?")
}

#[test]
fn targets_on_the_link_behind_a_gateway_and_nowhere_are_told_apart() {
    let lab = Lab::new();
    lab.ip("lb", "link set lo up");
    for route in [
        "fd00:20::/32 via fe80::2 dev eth0 mtu 1400",
        "fd00:21::/32 via fd00:9::2 src fd00:9:0:1::1",
        "blackhole fd00:30::1",
        "unreachable fd00:30::2",
        "prohibit fd00:30::3",
    ] {
        lab.ip("lb", &format!("-6 route add {route}"));
    }
    let addresses = [
        "fd00:9::2",
        "fd00:9::3",
        "fd00:20::1",
        "fd00:21::1",
        "fd00:9::1",
        "fd00:30::1",
        "fd00:30::2",
        "fd00:30::3",
        "2001:db8::1",
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
                "no answer from fd00:9::3 on eth0: is it up, and in this network?".into(),
                format!("from fd00:9::1 {LB0} to {NEAR} via fe80::2 mtu 1400"),
                format!("from fd00:9:0:1::1 {LB0} to {NEAR} via fd00:9::2 mtu 1500"),
                "fd00:9::1 is an address of this host: a backend has to be another host or \
                 namespace"
                    .into(),
                forbidden("fd00:30::1", "blackhole"),
                forbidden("fd00:30::2", "unreachable"),
                forbidden("fd00:30::3", "prohibit"),
                no_route("2001:db8::1"),
            ]
        );
    });
}

#[test]
fn an_ipv4_route_through_an_ipv6_gateway_is_followed() {
    let lab = Lab::new();
    lab.ip("lb", "route add 10.20.0.0/16 via inet6 fe80::2 dev eth0");
    lab.in_lb(|| async {
        let mut next_hops = start(&["10.20.1.1"]).await;
        let expected = format!("from 10.9.0.1 {LB0} to {NEAR} via fe80::2 mtu 1500");
        until(&mut next_hops, "10.20.1.1", &expected).await;
    });
}

#[test]
fn a_link_local_address_is_no_source() {
    let lab = Lab::new();
    lab.ip("lb", "addr del fd00:9::1/64 dev eth0");
    lab.ip("lb", "addr del fd00:9:0:1::1/64 dev eth1");
    lab.ip("lb", "-6 route add fd00:20::/32 via fe80::2 dev eth0");
    lab.in_lb(|| async {
        let mut next_hops = start(&["fd00:20::1"]).await;
        let without = "interface eth0 has no address to send from: ip address add \
                       ADDRESS/LENGTH dev eth0";
        until(&mut next_hops, "fd00:20::1", without).await;
        // With duplicate address detection, which takes a second or two.
        lab.ip("lb", "addr add fd00:9::5/64 dev eth0");
        let expected = format!("from fd00:9::5 {LB0} to {NEAR} via fe80::2 mtu 1500");
        until(&mut next_hops, "fd00:20::1", &expected).await;
    });
}

#[test]
fn a_neighbour_that_comes_up_late_is_found() {
    assert_a_late_neighbour_is_found("fd00:9::3", "addr add fd00:9::3/64 dev eth0 nodad", by_eth0);
}

#[test]
fn a_mac_announced_by_an_unsolicited_advertisement_is_followed() {
    let lab = Lab::new();
    lab.sysctl("near", "ipv6/conf/eth0/ndisc_notify", 1);
    assert_a_new_mac_is_followed(&lab, "fd00:9::2", by_eth0);
}

#[test]
fn a_mac_that_changes_silently_is_noticed_because_entries_are_confirmed() {
    let lab = Lab::new();
    lab.confirm_early("ipv6");
    assert_a_new_mac_is_followed(&lab, "fd00:9::2", by_eth0);
}

#[test]
fn routes_addresses_and_mtus_that_change_are_followed() {
    let lab = Lab::new();
    lab.ip("lb", "-6 route add fd00:20::/32 via fe80::2 dev eth0");
    let via_near = format!("from fd00:9::1 {LB0} to {NEAR} via fe80::2 mtu 1500");
    let via_other = format!("from fd00:9:0:1::1 {LB1} to {OTHER} via fe80::2 mtu 1500");
    lab.in_lb(|| async {
        let mut next_hops = start(&["fd00:20::1"]).await;
        until(&mut next_hops, "fd00:20::1", &via_near).await;
        lab.ip("lb", "-6 route replace fd00:20::/32 via fe80::2 dev eth1");
        until(&mut next_hops, "fd00:20::1", &via_other).await;
        lab.ip(
            "lb",
            "-6 route add fd00:20::/64 via fe80::2 dev eth0 mtu 1300",
        );
        let narrow = via_near.replace("1500", "1300");
        until(&mut next_hops, "fd00:20::1", &narrow).await;
        lab.ip("lb", "-6 route del fd00:20::/64");
        until(&mut next_hops, "fd00:20::1", &via_other).await;
        lab.ip("lb", "link set eth1 mtu 1400");
        let smaller = via_other.replace("1500", "1400");
        until(&mut next_hops, "fd00:20::1", &smaller).await;
        lab.ip("lb", "link set eth1 down");
        until(&mut next_hops, "fd00:20::1", &no_route("fd00:20::1")).await;
    });
}

#[test]
fn an_mtu_that_the_kernel_was_told_on_the_way_does_not_count() {
    assert_a_learnt_mtu_does_not_count("fd00:20::1", "fd00:20::/32", "fe80::2");
}
