//! QUIC connection-ID routing (draft-ietf-quic-load-balancers-21, plaintext configuration).
//!
//! A routable connection ID is: first octet (3 bits of config rotation, 5 bits of length or
//! noise), server id, nonce.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Config rotation bits that mean "not routable by its id".
pub const UNROUTABLE: u8 = 0b111;
/// Longest server id, in bytes. The draft allows 15; one word holds eight.
pub const MAX_SERVER_ID: u8 = 8;

/// Key of the map from server ids to backend indices.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ServerKey {
    /// The id's bytes, the first in the low byte, zeros behind.
    pub id: u64,
    /// Index of the service.
    pub service: u64,
}
