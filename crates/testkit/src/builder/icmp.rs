//! Messages of ICMP (RFC 792) and ICMPv6 (RFC 4443).

/// A message; each family has numbers of its own for the first six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Echo request.
    EchoRequest {
        /// Tells programs apart.
        identifier: u16,
        /// Counts.
        sequence: u16,
    },
    /// The answer.
    EchoReply {
        /// As in the request.
        identifier: u16,
        /// As in the request.
        sequence: u16,
    },
    /// Destination unreachable, with this code.
    Unreachable(u8),
    /// Fragmentation needed (RFC 1191), or packet too big: the MTU in bytes.
    TooBig(u32),
    /// Time exceeded, with this code.
    TimeExceeded(u8),
    /// Parameter problem, with this code.
    ParameterProblem(u8),
    /// Anything else: type, code and what follows the checksum.
    Other(u8, u8, [u8; 4]),
}

impl Message {
    /// The first eight bytes, with a checksum of 0.
    pub(super) fn header(self, is_v6: bool) -> [u8; 8] {
        let (v4, v6, code, rest) = match self {
            Self::EchoRequest {
                identifier,
                sequence,
            } => (8, 128, 0, words(identifier, sequence)),
            Self::EchoReply {
                identifier,
                sequence,
            } => (0, 129, 0, words(identifier, sequence)),
            Self::Unreachable(code) => (3, 1, code, [0; 4]),
            Self::TooBig(mtu) => (3, 2, if is_v6 { 0 } else { 4 }, mtu.to_be_bytes()),
            Self::TimeExceeded(code) => (11, 3, code, [0; 4]),
            Self::ParameterProblem(code) => (12, 4, code, [0; 4]),
            Self::Other(kind, code, rest) => (kind, kind, code, rest),
        };
        let kind = if is_v6 { v6 } else { v4 };
        let [a, b, c, d] = rest;
        [kind, code, 0, 0, a, b, c, d]
    }
}

fn words(first: u16, second: u16) -> [u8; 4] {
    let [a, b] = first.to_be_bytes();
    let [c, d] = second.to_be_bytes();
    [a, b, c, d]
}

/// What an error quotes of an IP packet: its headers, extension headers included, and the first
/// `transport_bytes` behind them.
///
/// # Panics
/// If `packet` is not a whole IP header at least.
#[must_use]
pub fn quote(packet: &[u8], transport_bytes: usize) -> Vec<u8> {
    let headers = super::fragments::headers_length(packet);
    packet[..packet.len().min(headers + transport_bytes)].to_vec()
}
