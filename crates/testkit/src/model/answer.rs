//! What a balancer sends itself: ICMP (RFC 792, RFC 1191), ICMPv6 (RFC 4443), TCP (RFC 9293).

use std::net::IpAddr;

use super::bytes::{field, put, sum};
use super::packet::{Packet, Part, TCP};

/// Hop limit of messages of our own.
pub(super) const OWN_HOPS: u8 = 64;

/// Neither "this network", multicast, broadcast nor unspecified.
pub(super) fn is_one_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !matches!(address.octets()[0], 0 | 224..),
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unspecified(),
    }
}

/// "Fragmentation needed" or "packet too big".
pub(super) fn too_big(frame: &[u8], packet: &Packet, mtu: usize) -> Option<Vec<u8>> {
    let kind = if packet.is_v6() { [2, 0] } else { [3, 4] };
    complaint(frame, packet, kind, mtu)
}

/// What a host answers where nobody listens: a reset (RFC 9293, section 3.10.7.1), or "port
/// unreachable" (RFC 1122, section 4.1.3.1; RFC 4443, section 3.1).
pub(super) fn refusal(frame: &[u8], packet: &Packet) -> Option<Vec<u8>> {
    match (packet.protocol, packet.is_v6()) {
        (TCP, _) => reset(frame, packet),
        (_, false) => complaint(frame, packet, [3, 3], 0),
        (_, true) => complaint(frame, packet, [1, 4], 0),
    }
}

fn reset(frame: &[u8], packet: &Packet) -> Option<Vec<u8>> {
    if !may_be_answered(packet) {
        return None;
    }
    let segment = &frame[packet.transport..packet.end];
    let [fin, syn, rst, ack] = [0, 1, 2, 4].map(|bit| segment[13] >> bit & 1 == 1);
    let header_length = usize::from(segment[12] >> 4) * 4;
    if rst || header_length < 20 || header_length > segment.len() {
        return None;
    }
    let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| segment[at + i]));
    let length = segment.len() - header_length + usize::from(syn) + usize::from(fin);
    let mut answer = [&segment[2..4], &segment[..2]].concat();
    if ack {
        // "<SEQ=SEG.ACK><CTL=RST>"
        answer.extend(number(8).to_be_bytes());
        answer.extend([0, 0, 0, 0, 0x50, 0x04]);
    } else {
        // "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"
        answer.extend([0; 4]);
        answer.extend(number(4).wrapping_add(length as u32).to_be_bytes());
        answer.extend([0x50, 0x14]);
    }
    answer.extend([0; 6]);
    let total = sum(&[&answer]) + pseudo_header(frame, packet, TCP, answer.len());
    put(&mut answer, 16, field(total, 0));
    Some(sent_back(frame, packet, TCP, &answer))
}

/// Whether a packet may be answered at all: no later fragment, and nothing from nobody in particular
/// (RFC 1122, section 3.2.2).
fn may_be_answered(packet: &Packet) -> bool {
    !matches!(packet.part, Part::Later(_)) && is_one_host(packet.source)
}

/// An error about a packet, with type and code and what else it says. It quotes as many words of the
/// packet as fit in what every host must accept: 576 bytes, 1280 bytes.
fn complaint(frame: &[u8], packet: &Packet, kind: [u8; 2], says: usize) -> Option<Vec<u8>> {
    if !may_be_answered(packet) {
        return None;
    }
    let room = if packet.is_v6() { 1280 - 48 } else { 576 - 28 };
    let quote = packet.length().min(room) / 4 * 4;
    let mut message = [kind[0], kind[1], 0, 0, 0, 0].to_vec();
    message.extend((says as u16).to_be_bytes());
    message.extend(&frame[packet.ip..packet.ip + quote]);
    let mut total = sum(&[&message]);
    if packet.is_v6() {
        total += pseudo_header(frame, packet, 58, message.len());
    }
    put(&mut message, 2, field(total, 0));
    let protocol = if packet.is_v6() { 58 } else { 1 };
    Some(sent_back(frame, packet, protocol, &message))
}

/// RFC 9293, section 3.1, and RFC 8200, section 8.1: the same sum whichever way the packet goes.
fn pseudo_header(frame: &[u8], packet: &Packet, protocol: u8, length: usize) -> u64 {
    let (at, address) = packet.addresses();
    sum(&[&frame[at..at + 2 * address]]) + u64::from(protocol) + length as u64
}

/// A frame back to the sender of a packet, from the address that the packet was sent to.
fn sent_back(frame: &[u8], packet: &Packet, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (at, length) = packet.addresses();
    let source = &frame[at + length..at + 2 * length];
    let destination = &frame[at..at + length];
    let mut new = frame[..packet.ip].to_vec();
    new[..6].copy_from_slice(&frame[6..12]);
    new[6..12].copy_from_slice(&frame[..6]);
    if packet.is_v6() {
        new.extend([0x60, 0, 0, 0]);
        new.extend((payload.len() as u16).to_be_bytes());
        new.extend([protocol, OWN_HOPS]);
        new.extend([source, destination].concat());
    } else {
        let mut header = vec![0x45, 0];
        header.extend((20 + payload.len() as u16).to_be_bytes());
        header.extend([0, 0, 0x40, 0, OWN_HOPS, protocol, 0, 0]);
        header.extend([source, destination].concat());
        let checksum = field(sum(&[&header]), 0);
        put(&mut header, 10, checksum);
        new.extend(header);
    }
    new.extend(payload);
    new
}
