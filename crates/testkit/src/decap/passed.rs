//! What passes untouched.

use abi::decap::DecapReason;

use super::address;
use super::cases::Family::{V4, V6};
use super::cases::Mode::{Gue, Ipip};
use super::cases::{BALANCER, Case, HOST, around, client, same, socket, wrapped};
use crate::builder::{GUE_PORT, PacketBuilder};

pub(super) fn passed() -> Vec<Case> {
    let ours = |port| PacketBuilder::udp(socket(BALANCER, 9), socket(HOST, port));
    let whole = around(Gue, V4, &client(V4)).build();
    let three = around(Ipip, V4, &client(V4))
        .tag(0x88a8, 1)
        .tag(0x8100, 2)
        .tag(0x8100, 3);
    let later = PacketBuilder::other(17, address(BALANCER), address(HOST))
        .fragment(7, 8)
        .payload(&[0x17, 0xc0].repeat(20));
    let mut arp = [0xff; 60].to_vec();
    arp[12..14].copy_from_slice(&[8, 6]);
    let gre = PacketBuilder::other(47, address(BALANCER), address(HOST));
    let not_tunnel = |name, frame| same(name, frame, DecapReason::NotTunnel);
    let truncated = |name, length| same(name, whole[..length].to_vec(), DecapReason::Truncated);
    let not_for_host = |name, mode| {
        let frame = wrapped(mode, BALANCER, "10.2.0.3", &client(V4)).build();
        same(name, frame, DecapReason::NotForHost)
    };
    vec![
        same("ARP", arp, DecapReason::NotIp),
        same("three tags", three.build(), DecapReason::TooManyTags),
        not_tunnel("a client's packet without a tunnel", client(V4).build()),
        not_tunnel("the same in IPv6", client(V6).build()),
        not_tunnel("UDP to another port", ours(GUE_PORT + 1).build()),
        not_tunnel("GRE", gre.build()),
        not_tunnel("a later fragment of UDP", later.build()),
        truncated("a frame without a whole UDP header", 14 + 20 + 7),
        truncated("a frame without a whole IP header", 14 + 19),
        not_for_host("IPIP to another host", Ipip),
        not_for_host("GUE to another host", Gue),
    ]
}
