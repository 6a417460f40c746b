//! What is dropped.

use std::net::IpAddr;

use abi::decap::DecapReason;

use super::address;
use super::cases::Family::{V4, V6};
use super::cases::Mode::{Gue, Ipip};
use super::cases::{
    BALANCER, BALANCER_V6, CLIENT, CLIENT_V6, Case, FAMILIES, Family, HOST, HOST_V6, MACS, MODES,
    Mode, around, client, same, socket, wrapped,
};
use crate::builder::{Extension, GUE_PORT, PacketBuilder};

pub(super) fn refused_outer() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in MODES {
        let name = mode.name();
        for (from, to) in [("10.9.9.9", HOST), ("fd00:f::1:0:1", HOST_V6)] {
            let frame = wrapped(mode, from, to, &client(V4)).build();
            cases.push(same(
                format!("{name} from {from}, who may not send"),
                frame,
                DecapReason::SenderUnknown,
            ));
        }
        for outer in FAMILIES {
            let mut cut = around(mode, outer, &client(V4)).build();
            cut.pop();
            cases.push(same(
                format!("{name}: a frame that lacks its last byte"),
                cut,
                DecapReason::OuterMalformed,
            ));
        }
        let wrong = around(mode, V4, &client(V4)).wrong_by(1, 0).build();
        cases.push(same(
            format!("{name}: a wrong outer checksum"),
            wrong,
            DecapReason::OuterMalformed,
        ));
        let first = around(mode, V4, &client(V4)).fragment(9, 0x2000).build();
        cases.push(same(
            format!("{name}: a first fragment"),
            first,
            DecapReason::OuterFragment,
        ));
        let first = around(mode, V6, &client(V4)).extension(Extension::Fragment {
            offset: 0,
            more: true,
            identification: 9,
        });
        cases.push(same(
            format!("{name}: a first fragment of IPv6"),
            first.build(),
            DecapReason::OuterFragment,
        ));
    }
    let options = around(Ipip, V4, &client(V4)).ipv4_options(&[1; 4]);
    cases.push(same(
        "outer options",
        options.build(),
        DecapReason::OuterOptions,
    ));
    let later = around(Ipip, V4, &client(V4)).fragment(9, 1).build();
    cases.push(same(
        "a later fragment of ipip",
        later,
        DecapReason::OuterFragment,
    ));
    cases.extend(refused_gue());
    cases
}

fn refused_gue() -> Vec<Case> {
    const UDP: usize = 14 + 20;
    const HEADER: usize = UDP + 8;
    let changed = |at: usize, value: u8| {
        let mut frame = around(Gue, V4, &client(V4)).build();
        frame[at] = value;
        frame
    };
    let unsupported = |name, at, value| same(name, changed(at, value), DecapReason::GueUnsupported);
    let short = changed(UDP + 5, 11);
    let long = changed(UDP + 4, 1);
    vec![
        unsupported("GUE of version 1", HEADER, 0x40),
        unsupported("a control message of GUE", HEADER, 0x20),
        unsupported("extension fields of GUE", HEADER, 0x01),
        unsupported("flags of GUE", HEADER + 2, 0x80),
        unsupported("GUE that carries TCP", HEADER + 1, 6),
        same(
            "a datagram too short for GUE",
            short,
            DecapReason::OuterMalformed,
        ),
        same(
            "a datagram longer than its packet",
            long,
            DecapReason::OuterMalformed,
        ),
    ]
}

pub(super) fn refused_inner() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in MODES {
        for outer in FAMILIES {
            let name = format!("{} in {}", mode.name(), outer.number());
            for to in ["192.0.2.101", "fd00:f::101", HOST] {
                let to: IpAddr = address(to);
                let from = address(if to.is_ipv4() { CLIENT } else { CLIENT_V6 });
                let stray = PacketBuilder::udp((from, 1), (to, 2));
                cases.push(same(
                    format!("{name}: to {to}, which is no VIP"),
                    around(mode, outer, &stray).build(),
                    DecapReason::NotForVip,
                ));
            }
            for inner in FAMILIES {
                cases.extend(malformed(mode, outer, inner, &name));
            }
        }
    }
    cases
}

/// Inner headers with one byte changed, and inner packets that are cut off inside a whole outer one.
fn malformed(mode: Mode, outer: Family, inner: Family, name: &str) -> Vec<Case> {
    let packet = client(inner).ip_packet();
    let number = inner.number();
    let with = |packet: &[u8]| {
        let from = outer.pick(BALANCER, BALANCER_V6);
        let to = outer.pick(HOST, HOST_V6);
        let protocol = if inner == V4 { 4 } else { 41 };
        let builder = match mode {
            Ipip => PacketBuilder::other(protocol, address(from), address(to)).payload(packet),
            Gue => PacketBuilder::udp(socket(from, 50_000), socket(to, GUE_PORT))
                .payload(&[&[0, protocol, 0, 0], packet].concat()),
        };
        builder.macs(MACS.0, MACS.1).build()
    };
    let changed = |at: usize, value: u8| {
        let mut packet = packet.clone();
        packet[at] = value;
        with(&packet)
    };
    let length_at = match inner {
        V4 => 3,
        V6 => 5,
    };
    let header = match inner {
        V4 => 20,
        V6 => 40,
    };
    let longer = packet[length_at] + 1;
    let mut frames = vec![
        ("another version", changed(0, 0x55)),
        ("longer than what carries it", changed(length_at, longer)),
        ("cut off in the payload", with(&packet[..packet.len() - 1])),
        ("cut off in the header", with(&packet[..header - 1])),
        ("nothing", with(&[])),
    ];
    if inner == V4 {
        frames.push(("a header of 16 bytes", changed(0, 0x44)));
        frames.push(("a length below the header's", changed(3, 19)));
    }
    let malformed = |(what, frame)| {
        same(
            format!("{name}: inner {number}, {what}"),
            frame,
            DecapReason::InnerMalformed,
        )
    };
    frames.into_iter().map(malformed).collect()
}
