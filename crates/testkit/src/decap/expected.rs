//! What is to become of any frame at a host with the lists of the cases, written from
//! docs/decap.md and the RFCs: slow, and sharing nothing with the code that is compared with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use abi::decap::DecapReason;

use super::address;
use super::cases::{LOCALS, SENDERS, VIPS};
use crate::builder::GUE_PORT;
use crate::checksums::{sum, word};

const UDP: u8 = 17;
const FRAGMENT: u8 = 44;

/// What a frame is to become, and why.
#[must_use]
pub fn expected(frame: &[u8]) -> (DecapReason, Vec<u8>) {
    taken(frame).unwrap_or_else(|reason| (reason, frame.to_vec()))
}

/// The outer packet, if it is a tunnel's. Offsets count from the frame's start.
struct Outer {
    source: IpAddr,
    destination: IpAddr,
    traffic_class: u8,
    /// UDP, or what IP protocol numbers call IPv4 and IPv6.
    protocol: u8,
    /// What is behind the IP header, by its own account.
    payload: Range<usize>,
    defect: Option<DecapReason>,
}

fn taken(frame: &[u8]) -> Result<(DecapReason, Vec<u8>), DecapReason> {
    let (ethertype, at) = ethernet(frame).ok_or(DecapReason::Truncated)?;
    let outer = match ethertype {
        0x0800 => outer_v4(frame, at)?,
        0x86dd => outer_v6(frame, at)?,
        0x8100 | 0x88a8 => return Err(DecapReason::TooManyTags),
        _ => return Err(DecapReason::NotIp),
    };
    if !LOCALS.map(address).contains(&outer.destination) {
        return Err(DecapReason::NotForHost);
    }
    if let Some(defect) = outer.defect {
        return Err(defect);
    }
    if !is_in(&SENDERS, outer.source) {
        return Err(DecapReason::SenderUnknown);
    }
    let (protocol, place) = carried(frame, &outer)?;
    let packet = frame.get(place.clone());
    let mut inner = packet.ok_or(DecapReason::InnerMalformed)?.to_vec();
    let header = Inner::of(&inner, protocol).ok_or(DecapReason::InnerMalformed)?;
    if !is_in(&VIPS, header.destination) {
        return Err(DecapReason::NotForVip);
    }
    header.mark(&mut inner, outer.traffic_class)?;
    let reason = match outer.protocol {
        UDP => DecapReason::Gue,
        _ => DecapReason::Ipip,
    };
    // Addresses and tags, the right ethertype, the packet, and whatever was behind it.
    let ethertype = header.ethertype.to_be_bytes();
    let parts = [&frame[..at - 2], &ethertype, &inner, &frame[place.end..]];
    Ok((reason, parts.concat()))
}

/// Ethertype behind at most two tags, and where what it says begins.
fn ethernet(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    for _ in 0..2 {
        if matches!(word(frame, at)?, 0x8100 | 0x88a8) {
            at += 4;
        }
    }
    Some((word(frame, at)?, at + 2))
}

fn outer_v4(frame: &[u8], at: usize) -> Result<Outer, DecapReason> {
    let header = frame.get(at..at + 20).ok_or(DecapReason::Truncated)?;
    let (version, words) = (header[0] >> 4, header[0] & 0xf);
    let (length, fragment) = (word(header, 2), word(header, 6));
    let end = at + usize::from(length.unwrap_or(0));
    let fragment = fragment.unwrap_or(0);
    let protocol = header[9];
    match protocol {
        4 | 41 => {}
        UDP if fragment & 0x1fff == 0 && words <= 5 => is_gue(frame, at + 20)?,
        _ => return Err(DecapReason::NotTunnel),
    }
    let defect = if version != 4 || words < 5 {
        Some(DecapReason::OuterMalformed)
    } else if words > 5 {
        Some(DecapReason::OuterOptions)
    } else if !(at + 20..=frame.len()).contains(&end) || !sum(header).is_multiple_of(0xffff) {
        Some(DecapReason::OuterMalformed)
    } else if fragment & 0x3fff != 0 {
        Some(DecapReason::OuterFragment)
    } else {
        None
    };
    Ok(Outer {
        source: v4(header, 12),
        destination: v4(header, 16),
        traffic_class: header[1],
        protocol,
        payload: at + 20..end,
        defect,
    })
}

fn outer_v6(frame: &[u8], at: usize) -> Result<Outer, DecapReason> {
    let header = frame.get(at..at + 40).ok_or(DecapReason::Truncated)?;
    let end = at + 40 + usize::from(word(header, 4).unwrap_or(0));
    let mut protocol = header[6];
    let mut transport = at + 40;
    let is_fragment = protocol == FRAGMENT;
    if is_fragment {
        let fragment = frame.get(transport..transport + 8);
        let fragment = fragment.ok_or(DecapReason::Truncated)?;
        let is_later = word(fragment, 2).unwrap_or(0) & 0xfff8 != 0;
        protocol = fragment[0];
        transport += 8;
        if protocol == UDP && is_later {
            return Err(DecapReason::NotTunnel);
        }
    }
    match protocol {
        4 | 41 => {}
        UDP => is_gue(frame, transport)?,
        _ => return Err(DecapReason::NotTunnel),
    }
    let defect = if header[0] >> 4 != 6 || end > frame.len() {
        Some(DecapReason::OuterMalformed)
    } else if is_fragment {
        Some(DecapReason::OuterFragment)
    } else {
        None
    };
    Ok(Outer {
        source: v6(header, 8),
        destination: v6(header, 24),
        traffic_class: header[0] << 4 | header[1] >> 4,
        protocol,
        payload: transport..end,
        defect,
    })
}

/// A datagram to another port is from no tunnel.
fn is_gue(frame: &[u8], at: usize) -> Result<(), DecapReason> {
    let udp = frame.get(at..at + 8).ok_or(DecapReason::Truncated)?;
    match word(udp, 2) {
        Some(GUE_PORT) => Ok(()),
        _ => Err(DecapReason::NotTunnel),
    }
}

/// The inner packet's protocol number, and the room that there is for it.
fn carried(frame: &[u8], outer: &Outer) -> Result<(u8, Range<usize>), DecapReason> {
    let Range { start, end } = outer.payload;
    if outer.protocol != UDP {
        return Ok((outer.protocol, start..end));
    }
    let length = usize::from(word(frame, start + 4).unwrap_or(0));
    if length < 12 || start + length > end {
        return Err(DecapReason::OuterMalformed);
    }
    match frame[start + 8..start + 12] {
        [0, protocol @ (4 | 41), 0, 0] => Ok((protocol, start + 12..start + length)),
        _ => Err(DecapReason::GueUnsupported),
    }
}

/// Of the inner packet.
struct Inner {
    destination: IpAddr,
    ethertype: u16,
    traffic_class: u8,
    /// Of an IPv4 header, in bytes.
    header_length: usize,
}

impl Inner {
    /// The packet that starts there and ends where there is room, as it has to.
    fn of(packet: &[u8], protocol: u8) -> Option<Self> {
        let first = *packet.first()?;
        if protocol == 41 {
            let length = 40 + usize::from(word(packet, 4)?);
            let is_right = first >> 4 == 6 && length <= packet.len();
            return is_right.then(|| Self {
                destination: v6(packet, 24),
                ethertype: 0x86dd,
                traffic_class: first << 4 | packet[1] >> 4,
                header_length: 40,
            });
        }
        let header_length = usize::from(first & 0xf) * 4;
        let length = usize::from(word(packet, 2)?);
        let lengths_are_right = 20 <= header_length && header_length <= length;
        let is_right = first >> 4 == 4 && lengths_are_right && length <= packet.len();
        is_right.then(|| Self {
            destination: v4(packet, 16),
            ethertype: 0x0800,
            traffic_class: packet[1],
            header_length,
        })
    }

    /// RFC 6040, section 4.2: what becomes of the inner packet's two bits of congestion.
    fn mark(&self, packet: &mut [u8], outer: u8) -> Result<(), DecapReason> {
        let ecn = match (self.traffic_class & 3, outer & 3) {
            (0, 3) => return Err(DecapReason::CongestionLost),
            (_, 3) => 3,
            (2, 1) => 1,
            (inner, _) => inner,
        };
        let becomes = self.traffic_class & !3 | ecn;
        if becomes == self.traffic_class {
            return Ok(());
        }
        if self.ethertype == 0x86dd {
            packet[1] = packet[1] & 0xf | becomes << 4;
            return Ok(());
        }
        // As wrong as it was: the difference to a right checksum stays.
        let error = sum(&packet[..self.header_length]) % 0xffff;
        packet[1] = becomes;
        packet[10..12].fill(0);
        let without = sum(&packet[..self.header_length]) % 0xffff;
        let checksum = (error + 0xffff - without) % 0xffff;
        packet[10..12].copy_from_slice(&(checksum as u16).to_be_bytes());
        Ok(())
    }
}

fn is_in(prefixes: &[(&str, u32)], wanted: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    prefixes.iter().any(|(prefix, length)| {
        let prefix = address(prefix);
        let differing = bits(prefix) ^ bits(wanted);
        prefix.is_ipv4() == wanted.is_ipv4() && differing.leading_zeros() >= *length
    })
}

fn v4(bytes: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 4];
    octets.copy_from_slice(&bytes[at..at + 4]);
    Ipv4Addr::from(octets).into()
}

fn v6(bytes: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    Ipv6Addr::from(octets).into()
}
