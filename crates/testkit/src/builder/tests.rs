use std::net::{SocketAddr, SocketAddrV4};

use super::quic::{LongType, VERSION_2, connection_id, long_header, long_header_of, short_header};
use super::*;
use crate::checksums::{Checksum, check, check_packet};
use crate::fixture::parse_hex;

fn addresses() -> (SocketAddrV4, SocketAddrV4) {
    (
        "10.0.0.1:40000".parse().unwrap(),
        "10.0.0.10:8000".parse().unwrap(),
    )
}

fn addresses_v6() -> (SocketAddr, SocketAddr) {
    (
        "[fd00::1]:40000".parse().unwrap(),
        "[fd00::10]:8000".parse().unwrap(),
    )
}

/// The first packet of fixtures/classify.txt.
#[test]
fn a_syn_is_what_it_is_on_the_wire() {
    let (source, destination) = addresses();
    let built = PacketBuilder::tcp(source, destination)
        .macs(
            [0xde, 0xad, 0xbe, 0xef, 0, 0x10],
            [0xde, 0xad, 0xbe, 0xef, 0, 1],
        )
        .fragment(1, 0x4000)
        .flags(wire::tcp::SYN)
        .numbers(1000, 0)
        .build();
    let golden = "deadbeef0010 deadbeef0001 0800
        45000028 00014000 400626c5 0a000001 0a00000a
        9c401f40 000003e8 00000000 5002ffff dc6f0000";
    assert_eq!(built, parse_hex(golden));
}

#[test]
fn checksums_are_valid_or_wrong_as_asked() {
    let (source, destination) = addresses();
    for length in 0..64 {
        let payload = vec![0xa5; length];
        let tcp = PacketBuilder::tcp(source, destination)
            .tag(0x8100, 5)
            .ipv4_options(&[1, 1, 1, 0])
            .tcp_options(&[2, 4, 5, 0xb4])
            .payload(&payload)
            .padding(3);
        let udp = PacketBuilder::udp(source, destination).payload(&payload);
        for builder in [tcp, udp] {
            assert_eq!(check(&builder.build()).transport, Checksum::Valid);
            assert_eq!(check(&builder.build()).ipv4, Checksum::Valid);
            let wrong = check(&builder.wrong_by(3, 7).build());
            assert_eq!(wrong.ipv4, Checksum::Wrong(3));
            assert_eq!(wrong.transport, Checksum::Wrong(7));
        }
    }
}

#[test]
fn checksums_of_ipv6_and_icmp_are_valid_or_wrong_as_asked() {
    let (source, destination) = addresses_v6();
    let echo = Message::EchoRequest {
        identifier: 1,
        sequence: 2,
    };
    let (v4, vip) = addresses();
    for length in 0..64 {
        let payload = vec![0xa5; length];
        for builder in [
            PacketBuilder::tcp(source, destination),
            PacketBuilder::udp(source, destination),
            PacketBuilder::icmp(source.ip(), destination.ip(), echo),
            PacketBuilder::icmp(*v4.ip(), *vip.ip(), echo),
        ] {
            let builder = builder.payload(&payload).tag(0x88a8, 1).tag(0x8100, 2);
            assert_eq!(check(&builder.build()).transport, Checksum::Valid);
            let wrong = check(&builder.wrong_by(0, 7).build());
            assert_eq!(wrong.transport, Checksum::Wrong(7));
        }
    }
}

#[test]
fn extension_headers_name_each_other_in_order() {
    let (source, destination) = addresses_v6();
    let packet = PacketBuilder::udp(source, destination)
        .traffic_class(0xb8)
        .flow_label(0x1_2345)
        .extension(Extension::HopByHop(1))
        .extension(Extension::Routing { segments_left: 0 })
        .extension(Extension::Fragment {
            offset: 0,
            more: true,
            identification: 7,
        })
        .extension(Extension::DestinationOptions(2))
        .ip_packet();
    let golden = "6b812345 0030 00 40
        fd000000000000000000000000000001 fd000000000000000000000000000010
        2b00010400000000
        2c00000000000000
        3c00000100000007
        1101010c000000000000000000000000
        9c401f40 0008 4998";
    let golden = parse_hex(golden);
    assert_eq!(packet[..golden.len() - 2], golden[..golden.len() - 2]);
}

#[test]
fn fragments_put_together_are_the_packet() {
    let payload: Vec<u8> = (0..4000).map(|n| n as u8).collect();
    let (source, destination) = addresses();
    let whole = PacketBuilder::udp(source, destination)
        .fragment(9, 0)
        .payload(&payload)
        .ipv4_options(&[1; 8]);
    let pieces = fragments(&whole.clone().tag(0x8100, 3).build(), 1500, 0);
    let mut data: Vec<u8> = Vec::new();
    for piece in &pieces {
        let packet = &piece[18..];
        assert!(packet.len() <= 1500);
        let word = u16::from_be_bytes([packet[6], packet[7]]);
        assert_eq!(usize::from(word & 0x1fff) * 8, data.len());
        assert_eq!(word & 0x2000 != 0, data.len() + packet.len() - 28 < 4008);
        data.extend(&packet[28..]);
    }
    assert_eq!(data, whole.ip_packet()[28..]);

    let (source, destination) = addresses_v6();
    let whole = PacketBuilder::udp(source, destination)
        .extension(Extension::HopByHop(1))
        .extension(Extension::DestinationOptions(1))
        .payload(&payload);
    let mut data: Vec<u8> = Vec::new();
    for piece in &fragments(&whole.build(), 1280, 0x0102_0304) {
        let packet = &piece[14..];
        assert!(packet.len() <= 1280);
        assert_eq!((packet[6], packet[40], packet[48]), (0, 44, 60));
        assert_eq!(packet[52..56], [1, 2, 3, 4]);
        data.extend(&packet[56..]);
    }
    assert_eq!(data, whole.ip_packet()[48..]);
}

#[test]
fn a_quote_has_all_headers_and_as_much_more_as_asked() {
    let (source, destination) = addresses_v6();
    let packet = PacketBuilder::tcp(source, destination)
        .extension(Extension::DestinationOptions(1))
        .payload(&[1; 100])
        .ip_packet();
    assert_eq!(quote(&packet, 8), packet[..56]);
    assert_eq!(quote(&packet, 1000), packet);
    let (source, destination) = addresses();
    let packet = PacketBuilder::tcp(source, destination)
        .ipv4_options(&[1; 4])
        .ip_packet();
    assert_eq!(quote(&packet, 8), packet[..32]);
}

#[test]
fn tunnels_carry_the_packet_as_it_is() {
    let (source, destination) = addresses();
    let inner = PacketBuilder::udp(source, destination).ip_packet();
    let (outer_source, outer_destination) = addresses_v6();
    let ipip = PacketBuilder::ipip(outer_source.ip(), outer_destination.ip(), &inner).ip_packet();
    assert_eq!((ipip[6], &ipip[40..]), (4, &inner[..]));
    let gue = PacketBuilder::gue(outer_source, outer_destination, &inner).ip_packet();
    assert_eq!(
        (&gue[46..52], &gue[52..]),
        (&[0, 0, 0, 4, 0, 0][..], &inner[..])
    );
    assert_eq!(check_packet(&gue).transport, Checksum::Absent);
}

#[test]
fn quic_headers_have_the_ids_where_rfc_8999_has_them() {
    let id = connection_id(2, &[0xaa, 0xbb], &[1, 2, 3, 4]);
    assert_eq!(id, [0x46, 0xaa, 0xbb, 1, 2, 3, 4]);
    assert_eq!(short_header(&id)[1..8], id);
    let long = long_header(LongType::Handshake, &id, &[9]);
    assert_eq!(long[..6], [0xe0, 0, 0, 0, 1, 7]);
    assert_eq!((&long[6..13], &long[13..15]), (&id[..], &[1, 9][..]));
    let version_2 = long_header_of(VERSION_2, LongType::Handshake, &id, &[9]);
    assert_eq!(version_2[..6], [0xf0, 0x6b, 0x33, 0x43, 0xcf, 7]);
    assert_eq!(version_2[6..], long[6..]);
}
