//! QUIC packets (RFC 8999, RFC 9000), as far as a load balancer sees them: UDP payloads.

/// QUIC version 1 (RFC 9000).
pub const VERSION_1: u32 = 1;

/// A long header's type in version 1 (RFC 9000, section 17.2).
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

/// A long header with both connection ids, and bytes behind it.
#[must_use]
pub fn long_header(kind: LongType, destination_id: &[u8], source_id: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0 | (kind as u8) << 4];
    packet.extend(VERSION_1.to_be_bytes());
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
