//! Frames in words: who sends what to whom, also inside a tunnel.

use std::net::{IpAddr, SocketAddr};

use engine::desired::{ForwardingMode, Mac};
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::icmpv6::DestUnreachableCode;
use etherparse::{
    Icmpv4Type, Icmpv6Type, LaxIpPayloadSlice, LaxNetSlice, LaxSlicedPacket, TransportSlice,
    ip_number,
};

/// Length of a GUE header without extension fields.
const GUE_HEADER: usize = 4;

/// Source and destination port of a frame.
pub(super) fn ports(frame: &[u8]) -> Option<(u16, u16)> {
    transport_ports(&LaxSlicedPacket::from_ethernet(frame).ok()?)
}

/// The sender's address.
pub(super) fn source(frame: &[u8]) -> Option<IpAddr> {
    Some(addresses(&LaxSlicedPacket::from_ethernet(frame).ok()?)?.0)
}

fn addresses(packet: &LaxSlicedPacket<'_>) -> Option<(IpAddr, IpAddr)> {
    match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let ip = ip.header();
            Some((ip.source_addr().into(), ip.destination_addr().into()))
        }
        LaxNetSlice::Ipv6(ip) => {
            let ip = ip.header();
            Some((ip.source_addr().into(), ip.destination_addr().into()))
        }
        LaxNetSlice::Arp(_) => None,
    }
}

fn transport_ports(packet: &LaxSlicedPacket<'_>) -> Option<(u16, u16)> {
    match packet.transport.as_ref()? {
        TransportSlice::Tcp(tcp) => Some((tcp.source_port(), tcp.destination_port())),
        TransportSlice::Udp(udp) => Some((udp.source_port(), udp.destination_port())),
        _ => None,
    }
}

/// A frame that comes out, in one line for each header: of a service of this mode, or of none.
pub(super) fn describe(frame: &[u8], mode: Option<ForwardingMode>) -> Option<Vec<String>> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let to = Mac(*frame.first_chunk()?);
    let inner = mode.and_then(|mode| inside(&packet, mode));
    let Some((mode, inner)) = inner else {
        return Some(vec![format!("{}, to {to}", header(&packet)?)]);
    };
    Some(vec![
        format!("{mode} {}, to {to}", header(&packet)?),
        format!("around {}", header(&inner)?),
    ])
}

/// What is in a tunnel's packet.
fn inside<'a>(
    packet: &LaxSlicedPacket<'a>,
    mode: ForwardingMode,
) -> Option<(ForwardingMode, LaxSlicedPacket<'a>)> {
    let inner = match mode {
        ForwardingMode::Ipip => {
            let payload = payload(packet)?;
            let is_ip = [ip_number::IPV4, ip_number::IPV6].contains(&payload.ip_number);
            is_ip.then_some(payload.payload)?
        }
        ForwardingMode::Gue => match packet.transport.as_ref()? {
            TransportSlice::Udp(udp) => udp.payload().get(GUE_HEADER..)?,
            _ => return None,
        },
        _ => return None,
    };
    Some((mode, LaxSlicedPacket::from_ip(inner).ok()?))
}

fn payload<'a>(packet: &LaxSlicedPacket<'a>) -> Option<LaxIpPayloadSlice<'a>> {
    packet.net.as_ref()?.ip_payload_ref().cloned()
}

/// `SOURCE > DESTINATION, TTL N`, with what ICMP says in front.
fn header(packet: &LaxSlicedPacket<'_>) -> Option<String> {
    let (source, destination) = addresses(packet)?;
    let hops = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => format!("TTL {}", ip.header().ttl()),
        LaxNetSlice::Ipv6(ip) => format!("hop limit {}", ip.header().hop_limit()),
        LaxNetSlice::Arp(_) => return None,
    };
    Some(match transport_ports(packet) {
        Some((from, to)) => {
            let (source, destination) = (
                SocketAddr::new(source, from),
                SocketAddr::new(destination, to),
            );
            format!("{source} > {destination}, {hops}")
        }
        None => format!("{}{source} > {destination}, {hops}", icmp(packet)),
    })
}

fn icmp(packet: &LaxSlicedPacket<'_>) -> String {
    let too_big = |mtu: u32| format!("icmp packet too big (MTU {mtu}), ");
    match packet.transport.as_ref() {
        Some(TransportSlice::Icmpv4(icmp)) => match icmp.icmp_type() {
            Icmpv4Type::EchoReply(_) => "icmp echo reply, ".into(),
            Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
                next_hop_mtu,
            }) => too_big(next_hop_mtu.into()),
            Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port) => {
                "icmp port unreachable, ".into()
            }
            _ => "icmp, ".into(),
        },
        Some(TransportSlice::Icmpv6(icmp)) => match icmp.icmp_type() {
            Icmpv6Type::EchoReply(_) => "icmp echo reply, ".into(),
            Icmpv6Type::PacketTooBig { mtu } => too_big(mtu),
            Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Port) => {
                "icmp port unreachable, ".into()
            }
            _ => "icmp, ".into(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{IpNumber, PacketBuilder};

    use super::*;

    const TO: [u8; 6] = [2, 0, 10, 0, 0, 2];
    const VIP6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
    const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

    /// A UDP packet over IPv6, without Ethernet.
    fn inner() -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv6(CLIENT6, VIP6, 63)
            .udp(40_000, 443)
            .write(&mut packet, b"hello")
            .unwrap();
        packet
    }

    #[test]
    fn tunnels_are_looked_into() {
        let outer = || {
            PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], TO).ipv4([192, 0, 2, 1], [10, 0, 0, 2], 64)
        };
        let inside = "around [2001:db8::1]:40000 > [2001:db8::10]:443, hop limit 63";
        let mut ipip = Vec::new();
        outer().write(&mut ipip, IpNumber::IPV6, &inner()).unwrap();
        let words = describe(&ipip, Some(ForwardingMode::Ipip)).unwrap();
        assert_eq!(
            words,
            [
                "ipip 192.0.2.1 > 10.0.0.2, TTL 64, to 02:00:0a:00:00:02",
                inside
            ]
        );

        let gue_packet = [&[0, 41, 0, 0], &inner()[..]].concat();
        let mut gue = Vec::new();
        outer()
            .udp(50_000, 6080)
            .write(&mut gue, &gue_packet)
            .unwrap();
        let words = describe(&gue, Some(ForwardingMode::Gue)).unwrap();
        let plain = "192.0.2.1:50000 > 10.0.0.2:6080, TTL 64, to 02:00:0a:00:00:02";
        assert_eq!(words, [&format!("gue {plain}"), inside]);
        let words = describe(&gue, Some(ForwardingMode::Nat)).unwrap();
        assert_eq!(words, [plain]);
        assert_eq!(ports(&gue), Some((50_000, 6080)));
    }

    #[test]
    fn icmp_says_what_it_is() {
        let mut echo = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], TO)
            .ipv6(VIP6, CLIENT6, 64)
            .icmpv6_echo_reply(1, 1)
            .write(&mut echo, &[])
            .unwrap();
        assert_eq!(
            describe(&echo, None).unwrap(),
            ["icmp echo reply, 2001:db8::10 > 2001:db8::1, hop limit 64, to 02:00:0a:00:00:02"]
        );
        let mut too_big = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], TO)
            .ipv4([10, 0, 0, 10], [10, 0, 0, 1], 64)
            .icmpv4(Icmpv4Type::DestinationUnreachable(
                DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1480 },
            ))
            .write(&mut too_big, &[0; 28])
            .unwrap();
        assert_eq!(
            describe(&too_big, Some(ForwardingMode::Ipip)).unwrap(),
            ["icmp packet too big (MTU 1480), 10.0.0.10 > 10.0.0.1, TTL 64, to 02:00:0a:00:00:02"]
        );
    }
}
