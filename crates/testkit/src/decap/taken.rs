//! What is taken, and its marks of congestion.

use abi::decap::DecapReason;

use super::cases::Family::{V4, V6};
use super::cases::Mode::{Gue, Ipip};
use super::cases::{
    CLIENT, Case, FAMILIES, HOST, MACS, MODES, around, case, client, same, socket, wrapped,
};
use crate::builder::PacketBuilder;

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

pub(super) fn taken() -> Vec<Case> {
    let mut cases = oddities();
    for mode in MODES {
        for outer in FAMILIES {
            for inner in FAMILIES {
                let (a, b, name) = (inner.number(), outer.number(), mode.name());
                let client = client(inner);
                let reason = mode.reason();
                let around = |client: &PacketBuilder| around(mode, outer, client);
                cases.push(case(
                    format!("{name}: {a} in {b}"),
                    around(&client).build(),
                    reason,
                    client.build(),
                ));
                let one = |builder: PacketBuilder| builder.tag(0x8100, 0x2064).build();
                cases.push(case(
                    format!("{name}: {a} in {b} behind a tag"),
                    one(around(&client)),
                    reason,
                    one(client.clone()),
                ));
                let two = |builder: PacketBuilder| {
                    builder.tag(0x88a8, 0x0007).tag(0x8100, 0xe123).build()
                };
                cases.push(case(
                    format!("{name}: {a} in {b} behind two tags"),
                    two(around(&client)),
                    reason,
                    two(client.clone()),
                ));
            }
        }
    }
    cases
}

/// What is not alike for every combination.
fn oddities() -> Vec<Case> {
    let mut cases = Vec::new();
    let padded = around(Ipip, V4, &client(V4)).padding(7).build();
    let expected = client(V4).padding(7).build();
    cases.push(case(
        "what is behind the packet stays",
        padded,
        DecapReason::Ipip,
        expected,
    ));
    let udp = PacketBuilder::udp(socket(CLIENT, 5), socket("198.51.100.77", 53))
        .payload(b"odd")
        .macs(MACS.0, MACS.1);
    cases.push(case(
        "a VIP of a prefix",
        wrapped(Gue, "192.0.77.1", HOST, &udp).build(),
        DecapReason::Gue,
        udp.build(),
    ));
    let options = client(V4).ipv4_options(&[1; 8]);
    cases.push(case(
        "options of the inner packet are the host's business",
        around(Ipip, V6, &options).build(),
        DecapReason::Ipip,
        options.build(),
    ));
    let fragment = client(V4).fragment(7, 0x2000);
    cases.push(case(
        "an inner fragment is the host's business",
        around(Ipip, V4, &fragment).build(),
        DecapReason::Ipip,
        fragment.build(),
    ));
    cases
}

/// RFC 6040, figure 4.
pub(super) fn congestion() -> Vec<Case> {
    const TABLE: [(u8, u8, Option<u8>); 9] = [
        (NOT_ECT, NOT_ECT, Some(NOT_ECT)),
        (ECT_0, NOT_ECT, Some(NOT_ECT)),
        (CE, NOT_ECT, None),
        (NOT_ECT, ECT_0, Some(ECT_0)),
        (ECT_1, ECT_0, Some(ECT_1)),
        (CE, ECT_0, Some(CE)),
        (ECT_0, ECT_1, Some(ECT_1)),
        (CE, ECT_1, Some(CE)),
        (NOT_ECT, CE, Some(CE)),
    ];
    const CLASS: u8 = 0xb8;
    let mut cases = Vec::new();
    for mode in MODES {
        for (outer, inner) in [(V4, V4), (V4, V6), (V6, V4), (V6, V6)] {
            for (outer_ecn, inner_ecn, expected) in TABLE {
                let client = client(inner).traffic_class(CLASS | inner_ecn);
                // The outer code point is none of the inner packet's business (RFC 2983).
                let input = around(mode, outer, &client)
                    .traffic_class(0x50 | outer_ecn)
                    .build();
                let name = format!(
                    "{}: {} in {}, ECN {inner_ecn:02b} in {outer_ecn:02b}",
                    mode.name(),
                    inner.number(),
                    outer.number()
                );
                cases.push(match expected {
                    Some(ecn) => {
                        let output = client.clone().traffic_class(CLASS | ecn).build();
                        case(name, input, mode.reason(), output)
                    }
                    None => same(name, input, DecapReason::CongestionLost),
                });
            }
        }
    }
    cases
}
