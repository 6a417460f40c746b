//! The table of cases.

use std::net::{IpAddr, SocketAddr};

use abi::decap::DecapReason;

use super::address;
use crate::builder::{Extension, GUE_PORT, PacketBuilder};

/// Addresses of the host.
pub const LOCALS: [&str; 2] = [HOST, HOST_V6];
/// Its IPv4 address.
pub const HOST: &str = "10.2.0.2";
/// Its IPv6 address.
pub const HOST_V6: &str = "fd00:2::2";
/// Who may send, with bits: as a load balancer with `outer_entropy` needs it.
pub const SENDERS: [(&str, u32); 2] = [("192.0.0.0", 16), ("fd00:f::", 96)];
/// What inner packets may be addressed to, with bits.
pub const VIPS: [(&str, u32); 3] = [
    ("192.0.2.100", 32),
    ("fd00:f::100", 128),
    ("198.51.100.0", 24),
];

const BALANCER: &str = "192.0.2.10";
const BALANCER_V6: &str = "fd00:f::10";
const CLIENT: &str = "10.1.0.1";
const CLIENT_V6: &str = "fd00:1::1";
const VIP: &str = "192.0.2.100";
const VIP_V6: &str = "fd00:f::100";
const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 3, 2], [2, 0, 0, 0, 3, 254]);

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

/// A packet, and what is to become of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The sentence it proves.
    pub name: String,
    /// The frame.
    pub input: Vec<u8>,
    /// Why it meets its end.
    pub reason: DecapReason,
    /// The frame afterwards.
    pub output: Vec<u8>,
}

/// All cases.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        taken(),
        passed(),
        refused_outer(),
        refused_inner(),
        congestion(),
    ]
    .concat()
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    V4,
    V6,
}
use Family::{V4, V6};

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Ipip,
    Gue,
}
use Mode::{Gue, Ipip};

const FAMILIES: [Family; 2] = [V4, V6];
const MODES: [Mode; 2] = [Ipip, Gue];

impl Family {
    const fn pick(self, v4: &'static str, v6: &'static str) -> &'static str {
        match self {
            V4 => v4,
            V6 => v6,
        }
    }

    const fn number(self) -> u8 {
        match self {
            V4 => 4,
            V6 => 6,
        }
    }
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Ipip => "ipip",
            Gue => "gue",
        }
    }

    const fn reason(self) -> DecapReason {
        match self {
            Ipip => DecapReason::Ipip,
            Gue => DecapReason::Gue,
        }
    }
}

fn socket(text: &str, port: u16) -> SocketAddr {
    (address(text), port).into()
}

/// A client's segment to a VIP.
fn client(family: Family) -> PacketBuilder {
    let from = socket(family.pick(CLIENT, CLIENT_V6), 40_000);
    let to = socket(family.pick(VIP, VIP_V6), 8000);
    PacketBuilder::tcp(from, to)
        .flags(wire::tcp::SYN)
        .payload(b"from a client")
        .macs(MACS.0, MACS.1)
}

/// The packet around it.
fn around(mode: Mode, outer: Family, inner: &PacketBuilder) -> PacketBuilder {
    let from = outer.pick(BALANCER, BALANCER_V6);
    wrapped(mode, from, outer.pick(HOST, HOST_V6), inner)
}

fn wrapped(mode: Mode, from: &str, to: &str, inner: &PacketBuilder) -> PacketBuilder {
    let packet = inner.ip_packet();
    let builder = match mode {
        Ipip => PacketBuilder::ipip(address(from), address(to), &packet),
        Gue => PacketBuilder::gue(socket(from, 50_000), socket(to, GUE_PORT), &packet),
    };
    builder.macs(MACS.0, MACS.1)
}

fn case(name: impl Into<String>, input: Vec<u8>, reason: DecapReason, output: Vec<u8>) -> Case {
    let name = name.into();
    Case {
        name,
        input,
        reason,
        output,
    }
}

/// A case whose frame stays as it is.
fn same(name: impl Into<String>, input: Vec<u8>, reason: DecapReason) -> Case {
    case(name, input.clone(), reason, input)
}

fn taken() -> Vec<Case> {
    let mut cases = Vec::new();
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

fn passed() -> Vec<Case> {
    let ours = |port| PacketBuilder::udp(socket(BALANCER, 9), socket(HOST, port));
    let whole = around(Gue, V4, &client(V4)).build();
    let three = around(Ipip, V4, &client(V4))
        .tag(0x88a8, 1)
        .tag(0x8100, 2)
        .tag(0x8100, 3);
    let later = PacketBuilder::other(17, address(BALANCER), address(HOST))
        .fragment(7, 8)
        .payload(&[0x17, 0xc0].repeat(20));
    let elsewhere = |mode, to| wrapped(mode, BALANCER, to, &client(V4)).build();
    let mut arp = [0xff; 60].to_vec();
    arp[12..14].copy_from_slice(&[8, 6]);
    vec![
        same("ARP", arp, DecapReason::NotIp),
        same(
            "a client's packet without a tunnel",
            client(V4).build(),
            DecapReason::NotTunnel,
        ),
        same(
            "the same in IPv6",
            client(V6).build(),
            DecapReason::NotTunnel,
        ),
        same(
            "UDP to another port",
            ours(GUE_PORT + 1).build(),
            DecapReason::NotTunnel,
        ),
        same(
            "GRE",
            PacketBuilder::other(47, address(BALANCER), address(HOST)).build(),
            DecapReason::NotTunnel,
        ),
        same(
            "a later fragment of UDP",
            later.build(),
            DecapReason::NotTunnel,
        ),
        same("three tags", three.build(), DecapReason::TooManyTags),
        same(
            "a frame without a whole UDP header",
            whole[..14 + 20 + 7].to_vec(),
            DecapReason::Truncated,
        ),
        same(
            "a frame without a whole IP header",
            whole[..14 + 19].to_vec(),
            DecapReason::Truncated,
        ),
        same(
            "IPIP to another host",
            elsewhere(Ipip, "10.2.0.3"),
            DecapReason::NotForHost,
        ),
        same(
            "GUE to another host",
            elsewhere(Gue, "10.2.0.3"),
            DecapReason::NotForHost,
        ),
    ]
}

fn refused_outer() -> Vec<Case> {
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

fn refused_inner() -> Vec<Case> {
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

/// RFC 6040, figure 4.
fn congestion() -> Vec<Case> {
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
