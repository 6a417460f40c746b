//! TCP (RFC 9293).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Be16, Be32};

/// The fixed part of the header; options may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tcp {
    /// Sender's port.
    pub source_port: Be16,
    /// Receiver's port.
    pub destination_port: Be16,
    /// Of the first byte of this segment.
    pub sequence: Be32,
    /// The next byte the sender expects, if [`ACK`] is set.
    pub acknowledgment: Be32,
    /// Header length in 32-bit words (4 bits) and reserved bits.
    pub data_offset: u8,
    /// The low eight flags: [`SYN`], [`ACK`], [`FIN`], [`RST`], ...
    pub flags: u8,
    /// Receive window.
    pub window: Be16,
    /// Over pseudo-header, header and payload.
    pub checksum: Be16,
    /// Urgent pointer.
    pub urgent: Be16,
}

/// Length of the fixed part in bytes.
pub const MIN_HEADER_LENGTH: usize = size_of::<Tcp>();
/// Offset of the checksum in the header.
pub const CHECKSUM_OFFSET: usize = core::mem::offset_of!(Tcp, checksum);

/// No more data from the sender.
pub const FIN: u16 = 0x01;
/// Synchronize sequence numbers.
pub const SYN: u16 = 0x02;
/// Reset the connection.
pub const RST: u16 = 0x04;
/// Push.
pub const PSH: u16 = 0x08;
/// The acknowledgment field counts.
pub const ACK: u16 = 0x10;

const _: () = assert!(MIN_HEADER_LENGTH == 20 && CHECKSUM_OFFSET == 16);
