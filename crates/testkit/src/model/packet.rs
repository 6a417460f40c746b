//! What a frame is, by the RFCs: 791, 8200, 9293, 768, 792, 4443.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::reason::Reason;

use super::bytes::word;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP_V6: u8 = 58;

/// Tags that are looked behind.
const MOST_TAGS: usize = 2;
/// Extension headers that are walked over.
const MOST_EXTENSIONS: usize = 4;

/// Protocol and both ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// IP protocol number.
    pub protocol: u8,
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
}

impl Flow {
    /// Of a frame with TCP or UDP; `None` if it is anything else or a later fragment.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let packet = of_frame(frame).ok()?;
        if !matches!(packet.protocol, TCP | UDP) || matches!(packet.part, Part::Later(_)) {
            return None;
        }
        let port = |at: usize| word(frame, packet.transport + at);
        Some(packet.flow((port(0)?, port(2)?)))
    }

    /// The other way.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ..self
        }
    }
}

/// Which part of an IP packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// The first fragment of the packet with this identification.
    First(u32),
    /// Another one.
    Later(u32),
}

/// An IP packet at some place in a frame. Offsets count from the frame's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) hops: u8,
    pub(super) traffic_class: u8,
    pub(super) part: Part,
    /// Where the IP header starts.
    pub(super) ip: usize,
    /// Where the transport header starts.
    pub(super) transport: usize,
    /// Where the IP packet ends, by its own account.
    pub(super) end: usize,
}

impl Packet {
    pub(super) fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// Of the whole IP packet.
    pub(super) fn length(&self) -> usize {
        self.end - self.ip
    }

    /// Offset of the source address, and length of an address.
    pub(super) fn addresses(&self) -> (usize, usize) {
        match self.is_v6() {
            false => (self.ip + 12, 4),
            true => (self.ip + 8, 16),
        }
    }

    /// Both ends, ports given.
    pub(super) fn flow(&self, (source, destination): (u16, u16)) -> Flow {
        Flow {
            protocol: self.protocol,
            source: SocketAddr::new(self.source, source),
            destination: SocketAddr::new(self.destination, destination),
        }
    }
}

/// The IP packet of a frame, or why the frame is none of ours.
pub(super) fn of_frame(frame: &[u8]) -> Result<Packet, Reason> {
    let mut at = 12;
    let mut ethertype = word(frame, at).ok_or(Reason::Truncated)?;
    for _ in 0..MOST_TAGS {
        if is_tag(ethertype) {
            at += 4;
            ethertype = word(frame, at).ok_or(Reason::Truncated)?;
        }
    }
    let packet = match ethertype {
        0x0800 => ipv4(frame, at + 2)?,
        0x86dd => ipv6(frame, at + 2, true)?,
        other if is_tag(other) => return Err(Reason::TooManyTags),
        _ => return Err(Reason::NotIp),
    };
    if packet.end > frame.len() {
        return Err(Reason::Truncated);
    }
    let least = match (packet.protocol, packet.is_v6()) {
        (TCP, _) => 20,
        (UDP, _) | (ICMP, false) | (ICMP_V6, true) => 8,
        _ => return Err(Reason::OtherProtocol),
    };
    let is_later = matches!(packet.part, Part::Later(_));
    if !is_later && packet.end - packet.transport < least {
        return Err(Reason::Truncated);
    }
    Ok(packet)
}

/// The packet that the ICMP error `message` quotes from `at` on: whole headers, then maybe nothing.
/// It ends with the message, whatever it says itself: some hosts quote a changed length.
pub(super) fn quoted(message: &[u8], at: usize, is_v6: bool) -> Option<Packet> {
    let packet = match is_v6 {
        false => ipv4(message, at),
        true => ipv6(message, at, false),
    };
    Some(Packet {
        end: message.len(),
        ..packet.ok()?
    })
}

fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8)
}

fn ipv4(frame: &[u8], ip: usize) -> Result<Packet, Reason> {
    let header = frame.get(ip..ip + 20).ok_or(Reason::Truncated)?;
    let header_length = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(header[2]) << 8 | usize::from(header[3]);
    if header[0] >> 4 != 4 || header_length < 20 || total < header_length {
        return Err(Reason::BadIpv4Header);
    }
    let identification = u32::from(header[4]) << 8 | u32::from(header[5]);
    let fragment = u16::from(header[6]) << 8 | u16::from(header[7]);
    let part = match (fragment & 0x1fff, fragment & 0x2000) {
        (0, 0) => Part::Whole,
        (0, _) => Part::First(identification),
        _ => Part::Later(identification),
    };
    let address = |at: usize| -> IpAddr {
        Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into()
    };
    Ok(Packet {
        source: address(12),
        destination: address(16),
        protocol: header[9],
        hops: header[8],
        traffic_class: header[1],
        part,
        ip,
        transport: ip + header_length,
        end: ip + total,
    })
}

/// `is_whole`: an IP packet of which a part is missing is refused.
fn ipv6(frame: &[u8], ip: usize, is_whole: bool) -> Result<Packet, Reason> {
    let header = frame.get(ip..ip + 40).ok_or(Reason::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::BadIpv6Header);
    }
    let payload = usize::from(header[4]) << 8 | usize::from(header[5]);
    let address = |at: usize| -> IpAddr {
        let octets: [u8; 16] = std::array::from_fn(|i| header[at + i]);
        Ipv6Addr::from(octets).into()
    };
    let mut packet = Packet {
        source: address(8),
        destination: address(24),
        protocol: header[6],
        hops: header[7],
        traffic_class: header[0] << 4 | header[1] >> 4,
        part: Part::Whole,
        ip,
        transport: ip + 40,
        end: ip + 40 + payload,
    };
    if is_whole && packet.end > frame.len() {
        return Err(Reason::Truncated);
    }
    let mut walked = 0;
    while is_extension(packet.protocol) && !matches!(packet.part, Part::Later(_)) {
        if walked == MOST_EXTENSIONS {
            return Err(Reason::TooManyExtensions);
        }
        extension(frame, &mut packet)?;
        walked += 1;
    }
    Ok(packet)
}

/// Hop-by-hop options, routing, fragment, destination options.
fn is_extension(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | 44 | 60)
}

/// Steps over one extension header.
fn extension(frame: &[u8], packet: &mut Packet) -> Result<(), Reason> {
    let at = packet.transport;
    let is_fragment = packet.protocol == 44;
    let least = if is_fragment { 8 } else { 2 };
    let header = frame.get(at..at + least).ok_or(Reason::Truncated)?;
    packet.protocol = header[0];
    packet.transport = at + 8;
    if is_fragment {
        let offset_more = u16::from(header[2]) << 8 | u16::from(header[3]);
        let identification = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        packet.part = match (offset_more >> 3, offset_more & 1) {
            (0, 0) => Part::Whole,
            (0, _) => Part::First(identification),
            _ => Part::Later(identification),
        };
    } else {
        packet.transport += usize::from(header[1]) * 8;
    }
    if packet.transport > packet.end {
        return Err(Reason::Truncated);
    }
    Ok(())
}
