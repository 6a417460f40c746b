//! Who sends a frame to whom, found without the code under test.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Of an IPv4 packet with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoints {
    /// IP protocol number.
    pub protocol: u8,
    /// Sender.
    pub source: SocketAddrV4,
    /// Receiver.
    pub destination: SocketAddrV4,
}

impl Endpoints {
    /// Of a frame with any number of tags; `None` if it is not IPv4 or ends too early.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let ip = ip_offset(frame)?;
        let transport = transport_offset(frame)?;
        let address = |at: usize| -> Option<Ipv4Addr> {
            let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
            Some(octets.into())
        };
        let port = |at: usize| -> Option<u16> {
            let bytes: [u8; 2] = frame.get(at..at + 2)?.try_into().ok()?;
            Some(u16::from_be_bytes(bytes))
        };
        Some(Self {
            protocol: *frame.get(ip + 9)?,
            source: SocketAddrV4::new(address(ip + 12)?, port(transport)?),
            destination: SocketAddrV4::new(address(ip + 16)?, port(transport + 2)?),
        })
    }

    /// The other way.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ..self
        }
    }
}

/// Offset of the IPv4 header behind any number of tags.
#[must_use]
pub fn ip_offset(frame: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        match frame.get(at..at + 2)? {
            [0x81, 0x00] | [0x88, 0xa8] => at += 4,
            [0x08, 0x00] => return Some(at + 2),
            _ => return None,
        }
    }
}

/// Offset of what follows the IPv4 header.
#[must_use]
pub fn transport_offset(frame: &[u8]) -> Option<usize> {
    let ip = ip_offset(frame)?;
    Some(ip + usize::from(frame.get(ip)? & 0xf) * 4)
}
