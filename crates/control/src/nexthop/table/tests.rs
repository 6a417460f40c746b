use super::super::facts::Prefix;
use super::*;

const ETH0: u32 = 2;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

fn key(last: u8) -> NeighbourKey {
    NeighbourKey {
        interface_index: ETH0,
        address: ip(last),
    }
}

fn link() -> Link {
    Link {
        name: "eth0".into(),
        mac: Some(mac(10)),
        mtu: 1500,
        up: true,
        carrier: true,
    }
}

fn on_link(last: u8) -> Route {
    Route {
        interface_index: ETH0,
        next_hop: ip(last),
        source_address: Some(ip(10)),
        mtu: None,
    }
}

/// A table with eth0 and one target, 10.0.0.2, on its link.
fn table(now: Instant) -> Table {
    let mut table = Table::default();
    table.set_targets(&[Target {
        address: ip(2),
        mac: None,
    }]);
    table.resync(vec![(ETH0, link())], Vec::new(), now);
    assert_eq!(table.take_stale_routes(), BTreeSet::from([ip(2)]));
    table.set_route(ip(2), Ok(on_link(2)), now);
    table
}

fn next_hop_mac(table: &Table, last: u8) -> Option<Mac> {
    let resolution = table.resolution(ip(last))?;
    resolution
        .next_hop()
        .map(|next_hop| next_hop.destination_mac)
}

fn reason(table: &Table) -> String {
    match table.resolution(ip(2)) {
        Some(Resolution::Unresolved(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn prefixes_cover_what_they_should() {
    let range = |length| {
        let address = IpAddr::from([10, 1, 2, 3]);
        let range = Prefix { address, length }.range();
        (range.start().to_string(), range.end().to_string())
    };
    assert_eq!(range(0), ("0.0.0.0".into(), "255.255.255.255".into()));
    assert_eq!(range(8), ("10.0.0.0".into(), "10.255.255.255".into()));
    assert_eq!(range(23), ("10.1.2.0".into(), "10.1.3.255".into()));
    assert_eq!(range(32), ("10.1.2.3".into(), "10.1.2.3".into()));
    let v6 = Prefix {
        address: "2001:db8::1".parse().unwrap(),
        length: 64,
    };
    assert_eq!(
        v6.range().end().to_string(),
        "2001:db8::ffff:ffff:ffff:ffff"
    );
}

#[test]
fn an_unknown_neighbour_is_asked_for_at_once_and_again_until_it_answers() {
    let now = Instant::now();
    let mut table = table(now);
    assert_eq!(reason(&table), "waiting for 10.0.0.2 to answer on eth0");
    assert_eq!(table.take_due(now), [key(2)]);
    assert_eq!(table.take_due(now), []);
    table.apply(Event::Neighbour(key(2), Some(Neighbour::Failed)), now);
    assert_eq!(
        reason(&table),
        "no answer from 10.0.0.2 on eth0: is it up, and in this network?"
    );
    assert_eq!(table.take_due(now + RETRY), [key(2)]);
    table.apply(Event::Neighbour(key(2), Some(Neighbour::Unknown)), now);
    assert!(
        reason(&table).starts_with("no answer"),
        "asking again is no news"
    );
    table.apply(
        Event::Neighbour(key(2), Some(Neighbour::Confirmed(mac(2)))),
        now,
    );
    assert_eq!(next_hop_mac(&table, 2), Some(mac(2)));
    assert_eq!(table.take_touched(), BTreeSet::from([ip(2)]));
    assert_eq!(table.take_due(now + CONFIRM - Duration::from_secs(1)), []);
    assert_eq!(table.take_due(now + CONFIRM + SPREAD), [key(2)]);
}

#[test]
fn a_stale_neighbour_is_used_and_confirmed_at_once() {
    let now = Instant::now();
    let mut table = table(now);
    table.take_due(now);
    table.apply(
        Event::Neighbour(key(2), Some(Neighbour::Confirmed(mac(2)))),
        now,
    );
    table.apply(
        Event::Neighbour(key(2), Some(Neighbour::Stale(mac(3)))),
        now,
    );
    assert_eq!(next_hop_mac(&table, 2), Some(mac(3)));
    assert_eq!(table.take_due(now), [key(2)]);
}

#[test]
fn a_dropped_entry_keeps_its_mac_until_the_neighbour_is_known_not_to_answer() {
    let now = Instant::now();
    let mut table = table(now);
    table.take_due(now);
    table.apply(
        Event::Neighbour(key(2), Some(Neighbour::Confirmed(mac(2)))),
        now,
    );
    table.apply(Event::Neighbour(key(2), None), now);
    assert_eq!(next_hop_mac(&table, 2), Some(mac(2)));
    assert_eq!(table.take_due(now), [key(2)]);
    table.apply(Event::Neighbour(key(2), Some(Neighbour::Failed)), now);
    assert_eq!(next_hop_mac(&table, 2), None);
    assert_eq!(table.take_due(now), [key(2)], "it may have another MAC");
    table.apply(Event::Neighbour(key(2), Some(Neighbour::Failed)), now);
    assert_eq!(table.take_due(now), []);
}

#[test]
fn what_is_wrong_with_the_link_comes_first() {
    let now = Instant::now();
    let mut table = table(now);
    let mut with = |change: fn(&mut Link)| {
        let mut link = link();
        change(&mut link);
        table.apply(Event::Link(ETH0, Some(link)), now);
        assert_eq!(table.take_stale_routes(), BTreeSet::from([ip(2)]));
        (reason(&table), table.take_due(now).len())
    };
    let down = "interface eth0 is down: ip link set eth0 up";
    assert_eq!(with(|link| link.up = false), (down.into(), 0));
    let no_carrier = "interface eth0 has no carrier: is its cable plugged in, its other end up?";
    assert_eq!(with(|link| link.carrier = false), (no_carrier.into(), 0));
    let tunnel = "interface eth0 is not Ethernet: packets can leave by Ethernet interfaces only";
    assert_eq!(with(|link| link.mac = None), (tunnel.into(), 1));
    table.apply(Event::Link(ETH0, None), now);
    assert_eq!(
        reason(&table),
        "the interface towards 10.0.0.2 has just disappeared"
    );
}

#[test]
fn a_message_about_a_link_that_has_not_changed_costs_nothing() {
    let now = Instant::now();
    let mut table = table(now);
    table.take_touched();
    table.apply(Event::Link(ETH0, Some(link())), now);
    assert_eq!(table.take_stale_routes(), BTreeSet::new());
    assert_eq!(table.take_touched(), BTreeSet::new());
}

#[test]
fn only_targets_inside_a_changed_prefix_are_looked_up_again() {
    let now = Instant::now();
    let mut table = table(now);
    let prefix = |address: [u8; 4], length| {
        Event::Route(Prefix {
            address: IpAddr::from(address),
            length,
        })
    };
    table.apply(prefix([10, 0, 1, 0], 24), now);
    assert_eq!(table.take_stale_routes(), BTreeSet::new());
    table.apply(prefix([10, 0, 0, 0], 24), now);
    assert_eq!(table.take_stale_routes(), BTreeSet::from([ip(2)]));
    table.apply(prefix([0, 0, 0, 0], 0), now);
    assert_eq!(table.take_stale_routes(), BTreeSet::from([ip(2)]));
}

#[test]
fn targets_behind_one_gateway_share_its_neighbour() {
    let now = Instant::now();
    let mut table = table(now);
    table.set_targets(&[4, 5, 6].map(|last| Target {
        address: ip(last),
        mac: (last == 6).then(|| mac(66)),
    }));
    for last in [4, 5, 6] {
        let route = Route {
            mtu: Some(if last == 5 { 9000 } else { 1400 }),
            ..on_link(1)
        };
        table.set_route(ip(last), Ok(route), now);
    }
    assert_eq!(table.take_due(now), [key(1)]);
    assert_eq!(
        next_hop_mac(&table, 6),
        Some(mac(66)),
        "given, not asked for"
    );
    table.take_touched();
    table.apply(
        Event::Neighbour(key(1), Some(Neighbour::Confirmed(mac(1)))),
        now,
    );
    assert_eq!(table.take_touched(), BTreeSet::from([ip(4), ip(5)]));
    let mtu = |last| table.resolution(ip(last)).unwrap().next_hop().unwrap().mtu;
    assert_eq!(
        (mtu(4), mtu(5)),
        (1400, 1500),
        "the smaller of route's and link's"
    );
    assert_eq!(table.resolution(ip(2)), None, "no target any more");
    table.set_targets(&[]);
    assert_eq!(table.take_due(now + CONFIRM + SPREAD), []);
}

#[test]
fn a_refused_question_is_the_reason() {
    let now = Instant::now();
    let mut table = table(now);
    table.asked(key(2), Err("Operation not permitted (os error 1)".into()));
    assert_eq!(
        reason(&table),
        "cannot ask for 10.0.0.2 on eth0: Operation not permitted (os error 1)"
    );
    table.asked(key(2), Ok(()));
    assert_eq!(reason(&table), "waiting for 10.0.0.2 to answer on eth0");
}

#[test]
fn a_router_in_between_is_told_unless_the_mac_is_given() {
    let now = Instant::now();
    let gateway = |given: Option<Mac>| {
        let mut table = Table::default();
        table.set_targets(&[Target {
            address: ip(2),
            mac: given,
        }]);
        let neighbours = vec![(key(1), Neighbour::Confirmed(mac(1)))];
        table.resync(vec![(ETH0, link())], neighbours, now);
        let route = Route {
            next_hop: ip(1),
            ..on_link(2)
        };
        table.set_route(ip(2), Ok(route), now);
        match table.resolution(ip(2)) {
            Some(Resolution::Resolved { gateway, .. }) => gateway,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(gateway(None), Some(ip(1)));
    assert_eq!(gateway(Some(mac(2))), None);
}
