//! `explain` and `replay`: the command line, run on packets of every kind.

#![forbid(unsafe_code)]

use std::fs::File;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use evenkeel_tests::support::{Folder, evenkeel, finish};
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use testkit::builder::quic::{connection_id, short_header};
use testkit::builder::{Message, PacketBuilder};
use wire::tcp::{ACK, SYN};

/// What `evenkeel ARGUMENTS` says, with `label value` lines by their label.
fn explain(arguments: &str) -> Vec<String> {
    let mut command = Command::new(evenkeel());
    command.arg("explain").args(arguments.split_whitespace());
    let finished = finish(&command);
    assert_eq!(finished.code, Some(0), "{arguments}\n{}", finished.stderr);
    let lines = finished.stdout.lines().map(str::to_owned);
    lines.collect()
}

const V4: &str = "--service tcp://10.0.0.10:80 --from 10.0.0.1:4000 --to 10.0.0.10:80";
const V6: &str =
    "--service tcp://[2001:db8::10]:80 --from [2001:db8::1]:4000 --to [2001:db8::10]:80";

#[test]
fn every_mode_says_what_a_packet_becomes() {
    let to = "to 02:00:0a:00:00:02";
    let to6 = "to 02:00:00:00:00:02";
    let around4 = "around 10.0.0.1:4000 > 10.0.0.10:80, TTL 64";
    let around6 = "around [2001:db8::1]:4000 > [2001:db8::10]:80, hop limit 64";
    for (packet, backend, mode, expected) in [
        (
            V4,
            "10.0.0.2",
            "nat",
            vec![format!("10.0.0.10:4000 > 10.0.0.2:80, TTL 63, {to}")],
        ),
        (
            V4,
            "10.0.0.2",
            "dnat",
            vec![format!("10.0.0.1:4000 > 10.0.0.2:80, TTL 63, {to}")],
        ),
        (
            V4,
            "10.0.0.2",
            "l2-dsr",
            vec![format!("10.0.0.1:4000 > 10.0.0.10:80, TTL 64, {to}")],
        ),
        (
            V4,
            "10.0.0.2",
            "ipip",
            vec![
                format!("ipip 10.0.0.10 > 10.0.0.2, TTL 64, {to}"),
                around4.into(),
            ],
        ),
        (
            V4,
            "2001:db8::2",
            "ipip",
            vec![
                format!("ipip 2001:db8::1 > 2001:db8::2, hop limit 64, {to6}"),
                around4.into(),
            ],
        ),
        (
            V6,
            "2001:db8::2",
            "nat",
            vec![format!(
                "[2001:db8::10]:4000 > [2001:db8::2]:80, hop limit 63, {to6}"
            )],
        ),
        (
            V6,
            "[2001:db8::2]:8080",
            "dnat",
            vec![format!(
                "[2001:db8::1]:4000 > [2001:db8::2]:8080, hop limit 63, {to6}"
            )],
        ),
        (
            V6,
            "2001:db8::2",
            "l2-dsr",
            vec![format!(
                "[2001:db8::1]:4000 > [2001:db8::10]:80, hop limit 64, {to6}"
            )],
        ),
        (
            V6,
            "10.0.0.2",
            "ipip",
            vec![
                format!("ipip 192.0.2.1 > 10.0.0.2, TTL 64, {to}"),
                around6.into(),
            ],
        ),
    ] {
        let lines = explain(&format!("{packet} --backend {backend} --mode {mode}"));
        for (line, expected) in lines.iter().skip(3).zip(&expected) {
            assert!(line.ends_with(expected), "{line}\n{expected}");
        }
        assert!(lines.contains(&"verdict  tx: new_flow".into()), "{lines:?}");
    }
    let gue = explain(&format!("{V6} --backend 10.0.0.2 --mode gue"));
    assert!(gue[3].starts_with("becomes  gue 192.0.2.1:"), "{gue:?}");
    assert!(gue[3].contains(" > 10.0.0.2:6080, TTL 64"), "{gue:?}");
    assert!(gue[4].ends_with(around6), "{gue:?}");
}

#[test]
fn pings_and_packets_that_are_too_big_are_answered() {
    for (service, backend, from, to) in [
        ("tcp://10.0.0.10:80", "10.0.0.2", "10.0.0.1", "10.0.0.10"),
        (
            "tcp://[2001:db8::10]:80",
            "2001:db8::2",
            "2001:db8::1",
            "2001:db8::10",
        ),
    ] {
        let lines = explain(&format!(
            "--service {service} --backend {backend} --mode ipip --echo --from {from} --to {to}"
        ));
        let becomes = format!("becomes  icmp echo reply, {to} > {from}, ");
        assert!(lines[2].starts_with(&becomes), "{lines:?}");
        assert_eq!(lines[3], "verdict  tx: echo_answered");
    }
    let lines = explain(&format!(
        "{V4} --backend 2001:db8::2 --mode gue --payload 1460"
    ));
    let becomes = "becomes  icmp packet too big (MTU 1448), 10.0.0.10 > 10.0.0.1, TTL 64";
    assert!(lines[3].starts_with(becomes), "{lines:?}");
    assert_eq!(lines[4], "verdict  tx: too_big");
}

#[test]
fn what_has_no_backend_is_refused_or_dropped() {
    let folder = Folder::new("explainreject");
    let explained = |to: &str, from: &str, no_backend: &str| {
        let (protocol, packet) = match to.starts_with('[') {
            false => ("tcp", ""),
            true => ("udp", "--udp"),
        };
        let backend = if packet.is_empty() {
            "10.0.0.2"
        } else {
            "2001:db8::2"
        };
        let text = format!(
            "[[service]]\naddress = \"{protocol}://{to}\"\nno_backend = \"{no_backend}\"\n\
             backends = [{{ address = \"{backend}\", state = \"down\" }}]\n"
        );
        let config = folder.write("lb.toml", &text);
        explain(&format!(
            "--config {} {packet} --from {from} --to {to}",
            config.display()
        ))
    };
    for (to, from, what) in [
        (
            "10.0.0.10:80",
            "10.0.0.1:4000",
            "10.0.0.10:80 > 10.0.0.1:4000, TTL 64",
        ),
        (
            "[2001:db8::10]:80",
            "[2001:db8::1]:4000",
            "icmp port unreachable, 2001:db8::10 > 2001:db8::1, hop limit 64",
        ),
    ] {
        let lines = explained(to, from, "reject");
        assert!(
            lines[3].starts_with(&format!("becomes  {what}")),
            "{lines:?}"
        );
        assert_eq!(lines[4], "verdict  tx: rejected");
        let lines = explained(to, from, "drop");
        assert!(
            lines.contains(&"verdict  drop: no_backend".into()),
            "{lines:?}"
        );
    }
}

const CONFIG: &str = r#"
[[service]]
address = "tcp://10.0.0.10:*"
mode = "dnat"
backends = ["10.0.0.2"]

[[service]]
address = "udp://[2001:db8::/64]:443"
mode = "gue"
quic = { server_id_length = 2 }
backends = [
    { address = "10.0.0.3", quic_server_id = "0a01" },
    { address = "2001:db9::4", quic_server_id = "0a02", state = "drain" },
    { address = "2001:db9::5", quic_server_id = "0a03", state = "down" },
]
"#;

#[test]
fn a_replay_tells_mode_service_and_backend_of_what_it_meets() {
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let (client, vip) = (address("10.0.0.1:4000"), address("10.0.0.10:8080"));
    let (client6, vip6) = (
        address("[2001:db8:1::1]:4000"),
        address("[2001:db8::7]:443"),
    );
    let quic = |id: &[u8]| {
        PacketBuilder::udp(client6, vip6)
            .payload(&short_header(&connection_id(0, id, &[7; 5])))
            .build()
    };
    let echo = Message::EchoRequest {
        identifier: 1,
        sequence: 1,
    };
    let cases = [
        (
            PacketBuilder::tcp(client, vip).flags(SYN).build(),
            r#""tx","reason":"new_flow","service":"tcp://10.0.0.10:*","mode":"dnat","backend":"10.0.0.2:8080","#,
        ),
        (
            PacketBuilder::tcp(address("10.0.0.2:8080"), client)
                .flags(SYN | ACK)
                .build(),
            r#""service":"tcp://10.0.0.10:*","mode":"dnat","backend":"10.0.0.2:8080","#,
        ),
        (
            PacketBuilder::icmp(client.ip(), vip.ip(), echo).build(),
            r#""tx","reason":"echo_answered","service":null,"mode":null,"backend":null,"#,
        ),
        (
            quic(&[0x0a, 1]),
            r#""tx","reason":"forwarded_by_connection_id","service":"udp://[2001:db8::/64]:443","mode":"gue","backend":"10.0.0.3:443","#,
        ),
        (
            quic(&[0x0a, 2]),
            r#""reason":"forwarded_by_connection_id","service":"udp://[2001:db8::/64]:443","mode":"gue","backend":"[2001:db9::4]:443","#,
        ),
        (
            quic(&[0x0a, 3]),
            r#""reason":"unknown_connection_id","service":"udp://[2001:db8::/64]:443","mode":"gue","backend":"10.0.0.3:443","#,
        ),
    ];
    let folder = Folder::new("replaymodes");
    let config = folder.write("lb.toml", CONFIG);
    let input = folder.path().join("in.pcap");
    let header = PcapHeader {
        datalink: DataLink::ETHERNET,
        ..PcapHeader::default()
    };
    let file = File::create(&input).expect("a capture");
    let mut writer = PcapWriter::with_header(file, header).expect("a capture");
    for (frame, _) in &cases {
        let packet = PcapPacket::new(Duration::ZERO, frame.len() as u32, frame);
        writer.write_packet(&packet).expect("a packet");
    }
    drop(writer);
    let mut command = Command::new(evenkeel());
    command.args(["replay", "--json", "--config"]).arg(config);
    let finished = finish(command.arg("--in").arg(&input));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), cases.len());
    for (line, (_, expected)) in lines.iter().zip(&cases) {
        assert!(line.contains(expected), "{line}\n{expected}");
    }
}
