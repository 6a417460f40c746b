//! Bytes of the packets that are sent and heard. Pure.

use std::net::{IpAddr, SocketAddr};

use engine::desired::{ForwardingMode, NextHop};
use etherparse::{
    EtherType, Ethernet2Header, IpNumber, PacketBuilder, PacketBuilderStep, SlicedPacket,
    TcpHeader, TransportSlice, UdpHeader,
};

use super::Through;
use crate::health::outcome::Found;

/// TTL or hop limit of the packet itself, as of any host.
const TTL: u8 = 64;
const WINDOW: u16 = 65_535;
/// GUE version 0, no options, data (draft-ietf-intarea-gue-09, section 3).
const GUE_HEADER_LENGTH: usize = 4;
/// First of the ports that are nobody's (RFC 6335): source of the outer header.
const FIRST_DYNAMIC_PORT: u16 = 49_152;

/// TCP segments without data.
#[derive(Clone, Copy, Debug)]
pub(super) enum Segment {
    Syn { sequence: u32 },
    Rst { sequence: u32 },
}

/// What was heard, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A SYN that acknowledges, or a RST.
    Segment { is_syn: bool, acknowledged: u32 },
    /// Its payload.
    Datagram(Vec<u8>),
}

/// An IP packet with a TCP segment.
pub(super) fn segment(
    from: SocketAddr,
    to: SocketAddr,
    segment: Segment,
) -> Result<Vec<u8>, Found> {
    let (sequence, is_syn) = match segment {
        Segment::Syn { sequence } => (sequence, true),
        Segment::Rst { sequence } => (sequence, false),
    };
    let mut header = TcpHeader::new(from.port(), to.port(), sequence, WINDOW);
    (header.syn, header.rst) = (is_syn, !is_syn);
    let mut packet = Vec::new();
    let step = addressed(from.ip(), to.ip())?.tcp_header(header);
    step.write(&mut packet, &[]).map_err(unfit)?;
    Ok(packet)
}

/// An IP packet with a UDP datagram.
pub(super) fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<Vec<u8>, Found> {
    let mut packet = Vec::new();
    let step = addressed(from.ip(), to.ip())?.udp(from.port(), to.port());
    step.write(&mut packet, payload).map_err(unfit)?;
    Ok(packet)
}

fn addressed(from: IpAddr, to: IpAddr) -> Result<PacketBuilderStep<etherparse::IpHeaders>, Found> {
    outer(from, to, TTL)
}

fn outer(
    from: IpAddr,
    to: IpAddr,
    ttl: u8,
) -> Result<PacketBuilderStep<etherparse::IpHeaders>, Found> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            Ok(PacketBuilder::ipv4(from.octets(), to.octets(), ttl))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            Ok(PacketBuilder::ipv6(from.octets(), to.octets(), ttl))
        }
        _ => Err(unfit(format!("{from} cannot send to {to}"))),
    }
}

/// The frame that the data plane would make of a client's packet.
pub(super) fn wrapped(
    packet: &[u8],
    through: &Through,
    hop: &NextHop,
    entropy: u16,
) -> Result<Vec<u8>, Found> {
    let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let inner = if is_v6 {
        IpNumber::IPV6
    } else {
        IpNumber::IPV4
    };
    let source = through.source.unwrap_or(hop.source_address);
    let step = || outer(source, through.backend, through.ttl);
    let mut ip = Vec::new();
    match through.mode {
        ForwardingMode::Ipip => step()?.write(&mut ip, inner, packet).map_err(unfit)?,
        ForwardingMode::Gue => {
            let length = UdpHeader::LEN + GUE_HEADER_LENGTH + packet.len();
            // No checksum, as the data plane has it: the inner packet has its own.
            let udp = UdpHeader {
                source_port: FIRST_DYNAMIC_PORT | entropy,
                destination_port: through.gue_port,
                length: u16::try_from(length).map_err(unfit)?,
                checksum: 0,
            };
            let payload = [&udp.to_bytes()[..], &[0, inner.0, 0, 0], packet].concat();
            step()?
                .write(&mut ip, IpNumber::UDP, &payload)
                .map_err(unfit)?;
        }
        ForwardingMode::L2Dsr | ForwardingMode::Nat | ForwardingMode::Dnat => {
            ip.extend_from_slice(packet);
        }
    }
    let is_v6 = ip.first().is_some_and(|first| first >> 4 == 6);
    let link = Ethernet2Header {
        source: hop.source_mac.0,
        destination: hop.destination_mac.0,
        ether_type: if is_v6 {
            EtherType::IPV6
        } else {
            EtherType::IPV4
        },
    };
    Ok([&link.to_bytes()[..], &ip].concat())
}

/// What an IP packet from elsewhere is: from where, to where, what. `None`: nothing for us.
pub(super) fn heard(packet: &[u8]) -> Option<(SocketAddr, SocketAddr, Heard)> {
    let sliced = SlicedPacket::from_ip(packet).ok()?;
    let (source, destination): (IpAddr, IpAddr) = match sliced.net? {
        etherparse::NetSlice::Ipv4(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
            )
        }
        etherparse::NetSlice::Ipv6(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
            )
        }
        etherparse::NetSlice::Arp(_) => return None,
    };
    let (ports, heard) = match sliced.transport? {
        TransportSlice::Tcp(tcp) if tcp.ack() && (tcp.syn() || tcp.rst()) => {
            let heard = Heard::Segment {
                is_syn: tcp.syn() && !tcp.rst(),
                acknowledged: tcp.acknowledgment_number(),
            };
            ((tcp.source_port(), tcp.destination_port()), heard)
        }
        TransportSlice::Udp(udp) => {
            let heard = Heard::Datagram(udp.payload().to_vec());
            ((udp.source_port(), udp.destination_port()), heard)
        }
        _ => return None,
    };
    let from = SocketAddr::new(source, ports.0);
    Some((from, SocketAddr::new(destination, ports.1), heard))
}

/// A mistake of ours, not of the backend.
fn unfit(error: impl std::fmt::Display) -> Found {
    Found::Inconclusive(format!("cannot make the packet: {error}"))
}

#[cfg(test)]
mod tests {
    use engine::desired::Mac;
    use proptest::prelude::*;
    use testkit::builder::PacketBuilder as Builder;

    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn hop(source: &str) -> NextHop {
        NextHop {
            interface_index: 1,
            source_mac: Mac(OURS),
            destination_mac: Mac(THEIRS),
            source_address: source.parse().unwrap(),
            mtu: 1_500,
        }
    }

    fn through(mode: ForwardingMode, backend: &str) -> Through {
        Through {
            mode,
            backend: backend.parse().unwrap(),
            gue_port: 6_080,
            source: None,
            ttl: 64,
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// IPv4 packets are not to be fragmented, as those of any host that looks for its path's MTU.
    fn whole(builder: Builder, is_ipv6: bool) -> Builder {
        match is_ipv6 {
            true => builder,
            false => builder.fragment(0, 0x4000),
        }
    }

    #[test]
    fn frames_are_what_the_builder_of_the_data_planes_tests_makes() {
        let families = [
            (at("10.0.0.1:40000"), at("10.0.0.10:80")),
            (at("[2001:db8::1]:40000"), at("[2001:db8::10]:80")),
        ];
        let outers = [("10.9.0.1", "10.9.0.2"), ("fd00::1", "fd00::2")];
        for (from, to) in families {
            let inner = |builder| whole(builder, to.is_ipv6()).ip_packet();
            let syn = segment(from, to, Segment::Syn { sequence: 7 }).unwrap();
            assert_eq!(syn, inner(Builder::tcp(from, to).flags(2).numbers(7, 0)));
            let rst = segment(from, to, Segment::Rst { sequence: 8 }).unwrap();
            assert_eq!(rst, inner(Builder::tcp(from, to).flags(4).numbers(8, 0)));
            let ping = datagram(from, to, b"ping").unwrap();
            assert_eq!(ping, inner(Builder::udp(from, to).payload(b"ping")));
            let direct = through(ForwardingMode::L2Dsr, "10.9.0.2");
            let frame = wrapped(&syn, &direct, &hop("10.9.0.1"), 0).unwrap();
            assert_eq!(frame[..12], [THEIRS, OURS].concat());
            assert_eq!(frame[14..], syn);
            for (source, backend) in outers {
                let outer: [IpAddr; 2] = [source, backend].map(|a| a.parse().unwrap());
                let sent = |builder: Builder| {
                    let builder = builder.macs(THEIRS, OURS);
                    whole(builder, outer[0].is_ipv6()).build()
                };
                let ipip = through(ForwardingMode::Ipip, backend);
                let frame = wrapped(&syn, &ipip, &hop(source), 0).unwrap();
                assert_eq!(frame, sent(Builder::ipip(outer[0], outer[1], &syn)));
                let gue = through(ForwardingMode::Gue, backend);
                let frame = wrapped(&syn, &gue, &hop(source), 5).unwrap();
                let ends = [(outer[0], 49_157), (outer[1], 6_080)].map(SocketAddr::from);
                assert_eq!(frame, sent(Builder::gue(ends[0], ends[1], &syn)));
            }
        }
    }

    #[test]
    fn answers_are_told_apart_from_the_rest() {
        let (vip, us) = (at("10.0.0.10:80"), at("10.0.0.1:40000"));
        let flags = |flags| {
            let packet = Builder::tcp(vip, us).flags(flags).numbers(1, 9).ip_packet();
            heard(&packet).map(|(from, to, heard)| {
                assert_eq!((from, to), (vip, us));
                heard
            })
        };
        let answer = |is_syn| {
            Some(Heard::Segment {
                is_syn,
                acknowledged: 9,
            })
        };
        assert_eq!(flags(0x12), answer(true));
        assert_eq!(flags(0x14), answer(false));
        for other in [0x02, 0x10, 0x18, 0x11, 0x04] {
            assert_eq!(flags(other), None);
        }
        let pong = Builder::udp(vip, us).payload(b"pong").ip_packet();
        assert_eq!(
            heard(&pong),
            Some((vip, us, Heard::Datagram(b"pong".to_vec())))
        );
    }

    proptest! {
        #[test]
        fn whatever_is_heard_is_survived(packet in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = heard(&packet);
        }
    }
}
