//! UDP (RFC 768).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Be16;

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Udp {
    /// Sender's port.
    pub source_port: Be16,
    /// Receiver's port.
    pub destination_port: Be16,
    /// Header and payload in bytes.
    pub length: Be16,
    /// Over pseudo-header, header and payload; 0: none.
    pub checksum: Be16,
}

/// Length of the header in bytes.
pub const HEADER_LENGTH: usize = size_of::<Udp>();
/// Offset of the checksum in the header.
pub const CHECKSUM_OFFSET: usize = core::mem::offset_of!(Udp, checksum);

/// Source and destination port, which lie at the same place in TCP and UDP.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ports {
    /// Sender's port.
    pub source: Be16,
    /// Receiver's port.
    pub destination: Be16,
}

const _: () = assert!(HEADER_LENGTH == 8 && CHECKSUM_OFFSET == 6);
