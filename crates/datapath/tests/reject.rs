//! How many packets of services without backends are refused.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddrV4};

use abi::pace::{ICMP_ERRORS, Pace, REJECTIONS, WINDOW_LOG2};
use abi::reason::Reason;
use testkit::builder::PacketBuilder;
use testkit::outcome::process;
use testkit::tables::{Capacities, MemoryTables};
use testkit::world;
use wire::tcp::{RST, SYN};

const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 40_000);
/// Of `testkit::world`: over TCP and UDP, whose backends are dead.
const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 10), 7001);

fn tables(rejections: u32) -> MemoryTables {
    let mut content = world::content();
    content.settings.rejections_per_window = rejections;
    let capacities = Capacities {
        established: 64,
        half_open: 64,
        exceptions: 64,
    };
    MemoryTables::new(content, capacities)
}

fn meets(tables: &MemoryTables, packet: PacketBuilder) -> Reason {
    process(tables, &packet.build(), world::INTERFACE).reason
}

fn segment(flags: u16) -> PacketBuilder {
    PacketBuilder::tcp(CLIENT, SERVICE).flags(flags)
}

#[test]
fn each_window_has_so_many_refusals_for_tcp_and_udp_together() {
    let tables = tables(3);
    for window in 0..3 {
        tables.set_now(window << WINDOW_LOG2);
        let packets = [
            segment(SYN),
            PacketBuilder::udp(CLIENT, SERVICE),
            segment(SYN),
            segment(SYN),
            PacketBuilder::udp(CLIENT, SERVICE),
        ];
        let met = packets.map(|packet| meets(&tables, packet));
        let [refused, dropped] = [Reason::Rejected, Reason::NoBackend];
        assert_eq!(met, [refused, refused, refused, dropped, dropped]);
    }
    assert_eq!(tables.pace_now(REJECTIONS).refused, 6);
    // What is too big has a pace of its own.
    assert_eq!(tables.pace_now(ICMP_ERRORS), Pace::default());
}

#[test]
fn what_may_not_be_answered_uses_up_nothing() {
    let tables = tables(1);
    let from_nobody = SocketAddrV4::new(Ipv4Addr::BROADCAST, 40_000);
    for packet in [
        segment(RST),
        PacketBuilder::tcp(from_nobody, SERVICE).flags(SYN),
    ] {
        assert_eq!(meets(&tables, packet), Reason::NoBackend);
    }
    assert_eq!(meets(&tables, segment(SYN)), Reason::Rejected);
}
