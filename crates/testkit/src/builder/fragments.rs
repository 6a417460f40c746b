//! Takes a packet to pieces (RFC 791 section 3.2, RFC 8200 section 4.5).

use super::checksum;
use super::header::Extension;
use crate::checksums::sum;

/// The fragments of a frame's IP packet for a way that carries IP packets of `mtu` bytes, or the
/// frame alone if it fits. IPv4 keeps its identification, and every fragment all options;
/// IPv6 gets `identification`. Padding is lost.
///
/// # Panics
/// If it is not an IP packet, or the MTU has no room for 8 bytes behind the headers.
#[must_use]
pub fn fragments(frame: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let start = ip_start(frame);
    let (ethernet, packet) = frame.split_at(start);
    let pieces = match packet[0] >> 4 {
        4 => ipv4(packet, mtu),
        6 => ipv6(packet, mtu, identification),
        version => panic!("an IP packet has version 4 or 6, this one {version}"),
    };
    let framed = |piece: Vec<u8>| [ethernet, &piece].concat();
    pieces.into_iter().map(framed).collect()
}

fn ip_start(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(frame[at..at + 2], [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    at + 2
}

fn ipv4(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let total = usize::from(u16_at(packet, 2));
    let packet = &packet[..total];
    if total <= mtu {
        return vec![packet.to_vec()];
    }
    let (header, payload) = packet.split_at(usize::from(packet[0] & 0xf) * 4);
    let word = u16_at(header, 6);
    let piece_length = room(mtu, header.len());
    let piece = |(index, chunk): (usize, &[u8])| {
        let offset = (word & 0x1fff) + (index * piece_length / 8) as u16;
        let is_last = (index + 1) * piece_length >= payload.len();
        let more = if is_last { word & 0x2000 } else { 0x2000 };
        let mut piece = header.to_vec();
        piece[2..4].copy_from_slice(&((header.len() + chunk.len()) as u16).to_be_bytes());
        piece[6..8].copy_from_slice(&(more | offset).to_be_bytes());
        piece[10..12].fill(0);
        let checksum = checksum(sum(&piece), 0);
        piece[10..12].copy_from_slice(&checksum.to_be_bytes());
        piece.extend(chunk);
        piece
    };
    payload
        .chunks(piece_length)
        .enumerate()
        .map(piece)
        .collect()
}

fn ipv6(packet: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let packet = &packet[..40 + usize::from(u16_at(packet, 4))];
    if packet.len() <= mtu {
        return vec![packet.to_vec()];
    }
    let (next_at, split) = per_fragment_headers(packet);
    let (headers, payload) = packet.split_at(split);
    let piece_length = room(mtu, headers.len() + 8);
    let piece = |(index, chunk): (usize, &[u8])| {
        let extension = Extension::Fragment {
            offset: (index * piece_length) as u16,
            more: (index + 1) * piece_length < payload.len(),
            identification,
        };
        let mut piece = headers.to_vec();
        piece.extend(extension.bytes(headers[next_at]));
        piece[next_at] = 44;
        piece.extend(chunk);
        let length = (piece.len() - 40) as u16;
        piece[4..6].copy_from_slice(&length.to_be_bytes());
        piece
    };
    payload
        .chunks(piece_length)
        .enumerate()
        .map(piece)
        .collect()
}

/// Where the last "next header" before the fragment header is, and where that header goes: behind
/// hop-by-hop options and a routing header.
fn per_fragment_headers(packet: &[u8]) -> (usize, usize) {
    let (mut place, mut last, mut at) = ((6, 40), 6, 40);
    loop {
        match packet[last] {
            number @ (0 | 43 | 60) => {
                (last, at) = (at, at + 8 * (usize::from(packet[at + 1]) + 1));
                if number != 60 {
                    place = (last, at);
                }
            }
            _ => return place,
        }
    }
}

fn room(mtu: usize, headers: usize) -> usize {
    let room = mtu.saturating_sub(headers) & !7;
    assert!(
        room > 0,
        "an MTU of {mtu} has no room behind {headers} bytes"
    );
    room
}

/// Length of an IP packet's headers, extension headers included.
pub(super) fn headers_length(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 {
        return usize::from(packet[0] & 0xf) * 4;
    }
    let (mut next, mut at) = (packet[6], 40);
    while matches!(next, 0 | 43 | 44 | 60) {
        let length = match next {
            44 => 8,
            _ => 8 * (usize::from(packet[at + 1]) + 1),
        };
        (next, at) = (packet[at], at + length);
    }
    at
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
