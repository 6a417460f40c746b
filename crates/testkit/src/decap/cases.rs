//! The cases, and what they are made of.

use std::net::SocketAddr;

use abi::decap::DecapReason;

use super::address;
use super::passed::passed;
use super::refused::{refused_inner, refused_outer};
use super::taken::{congestion, taken};
use crate::builder::{GUE_PORT, PacketBuilder};

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

pub(super) const BALANCER: &str = "192.0.2.10";
pub(super) const BALANCER_V6: &str = "fd00:f::10";
pub(super) const CLIENT: &str = "10.1.0.1";
pub(super) const CLIENT_V6: &str = "fd00:1::1";
const VIP: &str = "192.0.2.100";
const VIP_V6: &str = "fd00:f::100";
pub(super) const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 3, 2], [2, 0, 0, 0, 3, 254]);

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
pub(super) enum Family {
    V4,
    V6,
}
use Family::{V4, V6};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    Ipip,
    Gue,
}
use Mode::{Gue, Ipip};

pub(super) const FAMILIES: [Family; 2] = [V4, V6];
pub(super) const MODES: [Mode; 2] = [Ipip, Gue];

impl Family {
    pub(super) const fn pick(self, v4: &'static str, v6: &'static str) -> &'static str {
        match self {
            V4 => v4,
            V6 => v6,
        }
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            V4 => 4,
            V6 => 6,
        }
    }
}

impl Mode {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Ipip => "ipip",
            Gue => "gue",
        }
    }

    pub(super) const fn reason(self) -> DecapReason {
        match self {
            Ipip => DecapReason::Ipip,
            Gue => DecapReason::Gue,
        }
    }
}

pub(super) fn socket(text: &str, port: u16) -> SocketAddr {
    (address(text), port).into()
}

/// A client's segment to a VIP.
pub(super) fn client(family: Family) -> PacketBuilder {
    let from = socket(family.pick(CLIENT, CLIENT_V6), 40_000);
    let to = socket(family.pick(VIP, VIP_V6), 8000);
    PacketBuilder::tcp(from, to)
        .flags(wire::tcp::SYN)
        .payload(b"from a client")
        .macs(MACS.0, MACS.1)
}

/// The packet around it.
pub(super) fn around(mode: Mode, outer: Family, inner: &PacketBuilder) -> PacketBuilder {
    let from = outer.pick(BALANCER, BALANCER_V6);
    wrapped(mode, from, outer.pick(HOST, HOST_V6), inner)
}

pub(super) fn wrapped(mode: Mode, from: &str, to: &str, inner: &PacketBuilder) -> PacketBuilder {
    let packet = inner.ip_packet();
    let builder = match mode {
        Ipip => PacketBuilder::ipip(address(from), address(to), &packet),
        Gue => PacketBuilder::gue(socket(from, 50_000), socket(to, GUE_PORT), &packet),
    };
    builder.macs(MACS.0, MACS.1)
}

pub(super) fn case(
    name: impl Into<String>,
    input: Vec<u8>,
    reason: DecapReason,
    output: Vec<u8>,
) -> Case {
    let name = name.into();
    Case {
        name,
        input,
        reason,
        output,
    }
}

/// A case whose frame stays as it is.
pub(super) fn same(name: impl Into<String>, input: Vec<u8>, reason: DecapReason) -> Case {
    case(name, input.clone(), reason, input)
}
