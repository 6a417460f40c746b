//! QUIC packets of clients.

use super::finish::bytes;
use crate::builder::quic::{LongType, connection_id, long_header, short_header};
use crate::random::Random;

/// A UDP payload with a connection id of one of these servers, mostly.
pub(super) fn payload(random: &mut Random, config: u8, servers: &[Vec<u8>]) -> Vec<u8> {
    let mut server = match servers.is_empty() {
        true => vec![0; 4],
        false => random.pick(servers).clone(),
    };
    if random.one_in(8) {
        server[0] ^= 0x80;
    }
    let config = match random.one_in(8) {
        true => random.below(8) as u8,
        false => config,
    };
    let nonce_length = random.below(9);
    let mut id = connection_id(config, &server, &bytes(random, nonce_length));
    if random.one_in(8) {
        id.truncate(random.below(id.len()));
    }
    let kinds = [
        LongType::Initial,
        LongType::ZeroRtt,
        LongType::Handshake,
        LongType::Retry,
    ];
    let mut packet = match random.below(4) {
        0..2 => short_header(&id),
        _ => long_header(*random.pick(&kinds), &id, &[7; 8]),
    };
    if random.one_in(16) {
        // Version 2 (RFC 9369).
        let version = [0x6b, 0x33, 0x43, 0xcf];
        packet[1..5].copy_from_slice(&version);
    }
    if random.one_in(8) {
        packet.truncate(random.below(packet.len()));
    }
    packet
}
