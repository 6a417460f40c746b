//! What the modes do to bytes. Checksums are made from sums over everything they cover, before and
//! after: a valid one is valid afterwards, a wrong one is as wrong as before.

use std::net::IpAddr;

use super::bytes::{field, put, sum, word};
use super::instance::{Backend, Link};
use super::packet::{Flow, ICMP, ICMP_V6, Packet, Part, TCP, UDP};

/// The frame with other Ethernet addresses.
pub(super) fn linked(frame: &[u8], link: &Link) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&link.destination);
    frame[6..12].copy_from_slice(&link.source);
    frame
}

/// The way back to whoever sent a frame.
pub(super) fn back(frame: &[u8], interface: u32) -> Link {
    let mac = |at: usize| std::array::from_fn(|i| frame[at + i]);
    Link {
        destination: mac(6),
        source: mac(0),
        interface,
    }
}

/// Gives a packet other ends and this many hops.
pub(super) fn readdress(frame: &mut [u8], packet: &Packet, becomes: &Flow, hops: u8) {
    let before = Sums::of(frame, packet);
    let (at, length) = packet.addresses();
    frame[at..at + length].copy_from_slice(&octets(becomes.source.ip()));
    frame[at + length..at + 2 * length].copy_from_slice(&octets(becomes.destination.ip()));
    if matches!(packet.protocol, TCP | UDP) && !matches!(packet.part, Part::Later(_)) {
        // A quoted packet may end anywhere.
        for (at, port) in [(0, becomes.source.port()), (2, becomes.destination.port())] {
            if word(frame, packet.transport + at).is_some() {
                put(frame, packet.transport + at, port);
            }
        }
    }
    frame[hops_offset(packet)] = hops;
    before.restore(frame, packet);
}

fn hops_offset(packet: &Packet) -> usize {
    packet.ip + if packet.is_v6() { 7 } else { 8 }
}

/// What everything that a checksum covers adds up to, the checksum included.
struct Sums {
    header: u64,
    /// With the field's offset; `None`: no checksum here, or none of its own.
    transport: Option<(usize, u64)>,
}

impl Sums {
    fn of(frame: &[u8], packet: &Packet) -> Self {
        Self {
            header: header_sum(frame, packet),
            transport: transport_field(frame, packet).map(|at| (at, transport_sum(frame, packet))),
        }
    }

    /// Makes the sums again what they were.
    fn restore(&self, frame: &mut [u8], packet: &Packet) {
        if !packet.is_v6() {
            put(frame, packet.ip + 10, 0);
            let checksum = field(header_sum(frame, packet), self.header);
            put(frame, packet.ip + 10, checksum);
        }
        if let Some((at, error)) = self.transport {
            put(frame, at, 0);
            let checksum = match field(transport_sum(frame, packet), error) {
                // RFC 768: 0 would say that there is none.
                0 if packet.protocol == UDP => 0xffff,
                checksum => checksum,
            };
            put(frame, at, checksum);
        }
    }
}

fn header_sum(frame: &[u8], packet: &Packet) -> u64 {
    let end = if packet.is_v6() {
        packet.ip + 40
    } else {
        packet.transport
    };
    sum(&[&frame[packet.ip..end.min(frame.len())]])
}

/// Everything that the checksum covers and that changes: the length of the pseudo-header does not.
fn transport_sum(frame: &[u8], packet: &Packet) -> u64 {
    let (at, length) = packet.addresses();
    let end = packet.end.min(frame.len());
    let segment = &frame[packet.transport.min(end)..end];
    let addresses = match packet.protocol {
        ICMP => &[],
        _ => &frame[at..at + 2 * length],
    };
    sum(&[addresses, segment])
}

/// Where the checksum is, if there is one.
fn transport_field(frame: &[u8], packet: &Packet) -> Option<usize> {
    let at = packet.transport
        + match packet.protocol {
            TCP => 16,
            UDP => 6,
            ICMP | ICMP_V6 => 2,
            _ => return None,
        };
    if matches!(packet.part, Part::Later(_)) {
        return None;
    }
    let checksum = word(frame, at)?;
    (packet.protocol != UDP || checksum != 0).then_some(at)
}

/// Changes an ICMP message and makes its checksum as right or wrong as it was.
pub(super) fn change_message(frame: &mut [u8], packet: &Packet, change: impl FnOnce(&mut [u8])) {
    let before = Sums::of(frame, packet);
    change(frame);
    before.restore(frame, packet);
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Outer headers.
pub(super) struct Tunnel<'b> {
    pub(super) backend: &'b Backend,
    /// Outer source; the backend's, but for its lowest bits maybe.
    pub(super) source: IpAddr,
    pub(super) ttl: u8,
    /// Source port of GUE; `None`: IP in IP.
    pub(super) gue: Option<u16>,
}

impl Tunnel<'_> {
    /// What comes between the Ethernet header and the packet, in bytes.
    pub(super) fn overhead(backend: &Backend, is_gue: bool) -> usize {
        let ip = if backend.address.is_ipv4() { 20 } else { 40 };
        ip + if is_gue { 8 + 4 } else { 0 }
    }

    /// The frame with outer headers; tags stay in front, padding behind.
    pub(super) fn encapsulate(&self, frame: &[u8], packet: &Packet) -> Vec<u8> {
        let mut new = frame[..packet.ip - 2].to_vec();
        let inner = if packet.is_v6() { 41 } else { 4 };
        let gue = self.gue.map(|source_port| {
            let mut bytes = source_port.to_be_bytes().to_vec();
            bytes.extend(self.backend.port.unwrap_or(0).to_be_bytes());
            bytes.extend((8 + 4 + packet.length() as u16).to_be_bytes());
            // No UDP checksum (RFC 6935 for IPv6); GUE: version 0, data, no flags.
            bytes.extend([0, 0, 0, inner, 0, 0]);
            bytes
        });
        let protocol = if gue.is_some() { UDP } else { inner };
        let gue = gue.unwrap_or_default();
        let length = gue.len() + packet.length();
        if self.backend.address.is_ipv4() {
            new.extend([0x08, 0x00]);
            new.extend(self.ipv4(packet.traffic_class, protocol, length));
        } else {
            new.extend([0x86, 0xdd]);
            new.extend(self.ipv6(packet.traffic_class, protocol, length));
        }
        new.extend(gue);
        new.extend(&frame[packet.ip..]);
        new
    }

    fn ipv4(&self, class: u8, protocol: u8, length: usize) -> Vec<u8> {
        let mut header = vec![0x45, class];
        header.extend((20 + length as u16).to_be_bytes());
        // Identification 0 is fine (RFC 6864), because it must not be fragmented.
        header.extend([0, 0, 0x40, 0, self.ttl, protocol, 0, 0]);
        header.extend(octets(self.source));
        header.extend(octets(self.backend.address));
        let checksum = field(sum(&[&header]), 0);
        put(&mut header, 10, checksum);
        header
    }

    fn ipv6(&self, class: u8, protocol: u8, length: usize) -> Vec<u8> {
        let mut header = vec![0x60 | class >> 4, class << 4, 0, 0];
        header.extend((length as u16).to_be_bytes());
        header.extend([protocol, self.ttl]);
        header.extend(octets(self.source));
        header.extend(octets(self.backend.address));
        header
    }
}
