//! QUIC packets (RFC 8999, RFC 9000), as far as a load balancer sees them: UDP payloads.

/// QUIC version 1 (RFC 9000).
pub const VERSION_1: u32 = 1;
/// QUIC version 2 (RFC 9369).
pub const VERSION_2: u32 = 0x6b33_43cf;

/// A long header's type, numbered as in version 1 (RFC 9000, section 17.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongType {
    /// The first packets, whose destination id the client makes up.
    Initial,
    /// Early data, with the same id.
    ZeroRtt,
    /// The rest of the handshake, with the server's id.
    Handshake,
    /// The server asks for an address token.
    Retry,
}

/// A long header of version 1 with both connection ids, and bytes behind it.
#[must_use]
pub fn long_header(kind: LongType, destination_id: &[u8], source_id: &[u8]) -> Vec<u8> {
    long_header_of(VERSION_1, kind, destination_id, source_id)
}

/// The same of any version; all but version 2 are taken to number their types as version 1 does.
#[must_use]
pub fn long_header_of(
    version: u32,
    kind: LongType,
    destination_id: &[u8],
    source_id: &[u8],
) -> Vec<u8> {
    // RFC 9369, section 3.2: Initial is 1, 0-RTT 2, Handshake 3, Retry 0.
    let number = match version {
        VERSION_2 => (kind as u8 + 1) % 4,
        _ => kind as u8,
    };
    let mut packet = vec![0xc0 | number << 4];
    packet.extend(version.to_be_bytes());
    for id in [destination_id, source_id] {
        packet.push(id.len() as u8);
        packet.extend(id);
    }
    packet.extend([0; 32]);
    packet
}

/// A short header: the destination id without its length, and bytes behind it.
#[must_use]
pub fn short_header(destination_id: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x40];
    packet.extend(destination_id);
    packet.extend([0; 24]);
    packet
}

/// A routable connection id (draft-ietf-quic-load-balancers-21, section 5.2): config rotation bits,
/// its own length, the server's id in plain text, a nonce.
#[must_use]
pub fn connection_id(config: u8, server_id: &[u8], nonce: &[u8]) -> Vec<u8> {
    let length = (server_id.len() + nonce.len()) as u8;
    let mut id = vec![config << 5 | length & 0x1f];
    id.extend(server_id);
    id.extend(nonce);
    id
}
