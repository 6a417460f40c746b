//! Which packets are routed by their connection id, and where it is in them.

use abi::control::feature;
use testkit::builder::PacketBuilder;
use testkit::builder::quic::{
    LongType, VERSION_1, VERSION_2, long_header, long_header_of, short_header,
};

use super::scene::{BACKENDS, everywhere, id_of, short_to, unknown_id};

/// Not a version, but any other might look like it (RFC 9000, section 15).
const SOME_VERSION: u32 = 0x1a2a_3a4a;

#[test]
fn a_short_headers_id_names_the_backend_whatever_the_addresses_are() {
    for scene in everywhere() {
        let mut led_elsewhere = 0;
        for number in 0..32 {
            for backend in 0..BACKENDS {
                scene.assert_by_id(number, &short_to(backend), backend);
                led_elsewhere +=
                    u32::from(scene.by_addresses(scene.client(number)).backend != backend);
            }
        }
        assert!(led_elsewhere >= 32, "{}: {led_elsewhere}", scene.name());
    }
}

#[test]
fn an_id_of_no_server_is_counted_and_the_addresses_decide() {
    for scene in everywhere() {
        for number in 0..32 {
            scene.assert_unknown(number, &short_header(&unknown_id()));
            let handshake = long_header(LongType::Handshake, &unknown_id(), &[1, 2, 3]);
            scene.assert_unknown(number, &handshake);
        }
    }
}

#[test]
fn initial_and_0_rtt_packets_say_nothing_even_if_their_id_looks_like_a_servers() {
    for scene in everywhere() {
        for version in [VERSION_1, VERSION_2] {
            for kind in [LongType::Initial, LongType::ZeroRtt] {
                for backend in 0..BACKENDS {
                    let packet = long_header_of(version, kind, &id_of(backend), &[7; 8]);
                    scene.assert_says_nothing(1, &packet);
                }
            }
        }
    }
}

#[test]
fn handshake_packets_go_by_id_in_both_versions_whatever_the_clients_own_id_is() {
    for scene in everywhere() {
        for version in [VERSION_1, VERSION_2, SOME_VERSION] {
            for backend in 0..BACKENDS {
                for source_id in [&[][..], &[9; 8], &[9; 20]] {
                    let id = id_of(backend);
                    let packet = long_header_of(version, LongType::Handshake, &id, source_id);
                    scene.assert_by_id(2, &packet, backend);
                }
            }
        }
    }
}

#[test]
fn a_short_header_that_ends_before_any_could_goes_by_addresses() {
    let packet = short_to(3);
    // The header's first byte, the id's first octet, and a word that any id's server id is in.
    let shortest = 1 + 1 + 8;
    for scene in everywhere() {
        for length in 0..packet.len() {
            match length {
                0..2 => scene.assert_says_nothing(3, &packet[..length]),
                2.. if length < shortest => scene.assert_unknown(3, &packet[..length]),
                _ => scene.assert_by_id(3, &packet[..length], 3),
            }
        }
    }
}

#[test]
fn a_long_header_that_ends_before_its_id_does_goes_by_addresses() {
    let packet = long_header(LongType::Handshake, &id_of(3), &[]);
    // First byte, version, the id's length and its first octet.
    let headers = 1 + 4 + 1 + 1;
    for scene in everywhere() {
        for length in 0..packet.len() {
            match length {
                0..7 => scene.assert_says_nothing(3, &packet[..length]),
                7.. if length < headers + 8 => scene.assert_unknown(3, &packet[..length]),
                _ => scene.assert_by_id(3, &packet[..length], 3),
            }
        }
    }
}

#[test]
fn a_long_headers_id_that_is_too_short_for_a_server_id_says_nothing() {
    let id = id_of(3);
    for scene in everywhere() {
        for length in 0..id.len() {
            let packet = long_header(LongType::Handshake, &id[..length], &[5; 16]);
            match length {
                // First octet and server id.
                0..5 => scene.assert_says_nothing(4, &packet),
                _ => scene.assert_by_id(4, &packet, 3),
            }
        }
    }
}

#[test]
fn other_datagrams_go_through_somewhere() {
    for scene in everywhere() {
        for first in 0..=255 {
            let outcome = scene.anew().send(scene.client(5), &[first; 40]);
            assert!(outcome.backend < BACKENDS, "{}: {first:02x}", scene.name());
        }
    }
}

#[test]
fn only_udp_is_quic() {
    for mut scene in everywhere() {
        let key = (scene.vip().ip(), scene.vip().port(), wire::ipv4::TCP);
        let index = 0;
        scene
            .tables
            .content
            .add_key(key, abi::directory::SERVICE, index);
        let from = scene.client(6);
        for backend in 0..BACKENDS {
            let segment = PacketBuilder::tcp(from, scene.vip())
                .flags(wire::tcp::SYN)
                .payload(&short_to(backend));
            let outcome = scene.anew().process(&segment);
            assert_eq!(outcome.reason.name(), "new_flow", "{}", scene.name());
        }
    }
}

#[test]
fn a_service_without_quic_does_not_look_at_ids() {
    for mut scene in everywhere() {
        scene.tables.content.services[0].flags = 0;
        for backend in 0..BACKENDS {
            scene.assert_says_nothing(7, &short_to(backend));
        }
    }
    for mut scene in everywhere() {
        scene.tables.content.settings.features &= !feature::QUIC;
        for backend in 0..BACKENDS {
            scene.assert_says_nothing(7, &short_to(backend));
        }
    }
}
