//! What a connection id is made of.

use abi::quic::{MAX_SERVER_ID, UNROUTABLE};
use testkit::builder::quic::{LongType, connection_id, long_header, short_header};

use super::scene::{BACKENDS, CONFIG, LENGTH, NONCE, everywhere, server_id, server_key, with_ids};

#[test]
fn server_ids_have_one_to_eight_bytes() {
    for length in 1..=usize::from(MAX_SERVER_ID) {
        for scene in with_ids(length, CONFIG) {
            for backend in 0..BACKENDS {
                let id = connection_id(CONFIG, &server_id(backend, length), &NONCE);
                scene.assert_by_id(1, &short_header(&id), backend);
                let handshake = long_header(LongType::Handshake, &id, &[]);
                scene.assert_by_id(1, &handshake, backend);
            }
        }
    }
}

#[test]
fn every_bit_of_a_server_id_counts_and_none_behind_it() {
    for length in 1..=usize::from(MAX_SERVER_ID) {
        for scene in with_ids(length, CONFIG) {
            let right = connection_id(CONFIG, &server_id(3, length), &NONCE);
            for bit in 0..8 * right.len() {
                let mut id = right.clone();
                id[bit / 8] ^= 1 << (bit % 8);
                // The id of another backend, or none.
                let other = (0..BACKENDS).find(|b| server_id(*b, length)[..] == id[1..=length]);
                match (bit / 8, other) {
                    (0, _) => {}
                    (byte, _) if byte > length => scene.assert_by_id(2, &short_header(&id), 3),
                    (_, Some(other)) => scene.assert_by_id(2, &short_header(&id), other),
                    (_, None) => scene.assert_unknown(2, &short_header(&id)),
                }
            }
        }
    }
}

#[test]
fn the_first_octets_low_bits_are_the_servers_own() {
    for scene in everywhere() {
        for low in 0..32 {
            let mut id = connection_id(CONFIG, &server_id(1, LENGTH), &NONCE);
            id[0] = CONFIG << 5 | low;
            scene.assert_by_id(3, &short_header(&id), 1);
            // Also where the header has a length that they contradict: random bits are allowed.
            let handshake = long_header(LongType::Handshake, &id, &[]);
            scene.assert_by_id(3, &handshake, 1);
        }
    }
}

#[test]
fn ids_of_another_config_rotation_are_unknown() {
    for config in 0..UNROUTABLE {
        for scene in with_ids(LENGTH, config) {
            for written in 0..=UNROUTABLE {
                let id = connection_id(written, &server_id(2, LENGTH), &NONCE);
                match written == config {
                    true => scene.assert_by_id(4, &short_header(&id), 2),
                    false => scene.assert_unknown(4, &short_header(&id)),
                }
            }
        }
    }
}

/// Section 4.1 of the draft: "a packet with a DCID with config ID codepoint 0b111 is always
/// unroutable".
#[test]
fn the_reserved_config_rotation_is_never_routable_even_if_a_service_has_it() {
    for scene in with_ids(LENGTH, UNROUTABLE) {
        for backend in 0..BACKENDS {
            let id = connection_id(UNROUTABLE, &server_id(backend, LENGTH), &NONCE);
            scene.assert_unknown(5, &short_header(&id));
        }
    }
}

#[test]
fn an_id_of_another_services_backend_is_unknown() {
    for mut scene in everywhere() {
        let id = server_id(9, LENGTH);
        let key = server_key(&id, 1);
        scene.tables.content.quic_servers.push((key, 3));
        let id = connection_id(CONFIG, &id, &NONCE);
        scene.assert_unknown(6, &short_header(&id));
    }
}

/// The draft's appendix B.1, as its source has it: config rotation, server id, connection id.
#[test]
fn the_drafts_unencrypted_test_vectors_are_routed() {
    let vectors: [(u8, &[u8], &[u8]); 2] = [
        (
            0,
            &[0xc4, 0x60, 0x5e],
            &[0x07, 0xc4, 0x60, 0x5e, 0x45, 0x04, 0xcc, 0x4f],
        ),
        (
            1,
            &[0xa3, 0x50, 0xd2, 0x8b, 0x42],
            &[
                0x20, 0xa3, 0x50, 0xd2, 0x8b, 0x42, 0x03, 0x48, 0x7d, 0x97, 0x0b,
            ],
        ),
    ];
    for (config, server, id) in vectors {
        for mut scene in with_ids(server.len(), config) {
            let key = server_key(server, 0);
            scene.tables.content.quic_servers.push((key, 1));
            scene.assert_by_id(7, &short_header(id), 1);
        }
    }
}
