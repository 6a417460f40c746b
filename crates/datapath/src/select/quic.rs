//! QUIC connection-ID routing (draft-ietf-quic-load-balancers-21, sections 3 to 5): the server
//! id is in plain text behind the connection id's first octet.

use abi::backend::ALIVE;
use abi::family::Family;
use abi::quic::{MAX_SERVER_ID, ServerKey, UNROUTABLE};
use abi::service::Service;
use wire::Be32;

use crate::{Packet, Parsed, Tables};

/// Header form bit: a long header (RFC 9000, section 17.2).
const LONG_HEADER: u8 = 0x80;
/// Long packet type of Initial and of 0-RTT, whose connection ids the client may have made up.
const TYPE_INITIAL: u8 = 0;
const TYPE_0_RTT: u8 = 1;
const VERSION_OFFSET: usize = 1;
/// QUIC version 2 (RFC 9369) numbers the packet types from one on.
const VERSION_2: Be32 = Be32::new(0x6b33_43cf);
/// First byte, version, length of the destination connection id.
const LONG_ID_OFFSET: usize = 6;
const SHORT_ID_OFFSET: usize = 1;

/// What a packet's connection id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routed {
    /// Nothing: the 4-tuple decides.
    No,
    /// It names this backend.
    Backend(u32),
    /// It names none that lives.
    Unknown,
}

/// Routes by the connection id, if there is one that a server made.
#[inline(always)]
pub(crate) fn route<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    service_index: u32,
    service: &Service,
) -> Routed {
    packet.refresh();
    // Two bytes at a time: of a comparison for a single one the verifier learns nothing.
    let payload = parsed.transport_offset + wire::udp::HEADER_LENGTH;
    let Some([first, second]) = packet.read::<[u8; 2]>(payload) else {
        return Routed::No;
    };
    if first & LONG_HEADER == 0 {
        let offset = payload + SHORT_ID_OFFSET + 1;
        return by_id(packet, tables, (service_index, service), second, offset);
    }
    let version: Be32 = packet.read(payload + VERSION_OFFSET).unwrap_or_default();
    let shift = u8::from(version == VERSION_2);
    let kind = (first >> 4).wrapping_sub(shift) & 0b11;
    if kind == TYPE_INITIAL || kind == TYPE_0_RTT {
        return Routed::No;
    }
    match packet.read::<[u8; 2]>(payload + LONG_ID_OFFSET - 1) {
        Some([length, octet]) if length > service.quic_server_id_length => {
            let offset = payload + LONG_ID_OFFSET + 1;
            by_id(packet, tables, (service_index, service), octet, offset)
        }
        _ => Routed::No,
    }
}

/// Routes by the connection id whose first octet is `octet` and whose server id is at `offset`.
/// Inlined for each place where one can be, because the verifier knows a pointer only by the very
/// sum that was compared with the frame's end.
#[inline(always)]
fn by_id<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    (service_index, service): (u32, &Service),
    octet: u8,
    offset: usize,
) -> Routed {
    // The draft, section 4.1: the reserved rotation is never routable, whatever the service says.
    let config = octet >> 5;
    if config != service.quic_config || config == UNROUTABLE {
        return Routed::Unknown;
    }
    // Eight bytes are there in every packet: nonce, packet number and authentication tag follow.
    let Some(word) = packet.read::<u64>(offset) else {
        return Routed::Unknown;
    };
    let unused_bits = 8 * MAX_SERVER_ID.saturating_sub(service.quic_server_id_length);
    let key = ServerKey {
        id: word & u64::MAX.unbounded_shr(u32::from(unused_bits)),
        service: u64::from(service_index),
    };
    match tables.quic_server(&key) {
        Some(backend) if lives(tables, backend) => Routed::Backend(backend),
        _ => Routed::Unknown,
    }
}

#[inline(always)]
fn lives<T: Tables>(tables: &T, backend: u32) -> bool {
    tables
        .backend(backend)
        .is_some_and(|backend| backend.flags & ALIVE != 0)
}
