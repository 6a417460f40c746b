//! ICMP (RFC 792) and ICMPv6 (RFC 4443): the header they share, and the types that matter here.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Be16;
use crate::checksum::Sum;

/// The first eight bytes of a message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Icmp {
    /// What kind of message: [`v4::ECHO_REQUEST`], [`v6::PACKET_TOO_BIG`], ...
    pub kind: u8,
    /// Which one of that kind.
    pub code: u8,
    /// ICMP: over the message; ICMPv6: over pseudo-header and message.
    pub checksum: Be16,
    /// Echo: identifier. Too big: upper half of the MTU in ICMPv6, unused in ICMP.
    pub first: Be16,
    /// Echo: sequence number. Too big: the MTU, in bytes.
    pub second: Be16,
}

impl Icmp {
    /// The checksum of this header, whose own field counts as it is, and of what `rest` is the sum of.
    #[inline(always)]
    #[must_use]
    pub const fn computed_checksum(&self, rest: Sum) -> Be16 {
        rest.half(Be16::new((self.kind as u16) << 8 | self.code as u16))
            .half(self.checksum)
            .half(self.first)
            .half(self.second)
            .checksum()
    }
}

/// Length of the header in bytes; an error's quoted packet follows.
pub const HEADER_LENGTH: usize = size_of::<Icmp>();
/// Offset of the checksum.
pub const CHECKSUM_OFFSET: usize = core::mem::offset_of!(Icmp, checksum);
const _: () = assert!(HEADER_LENGTH == 8 && CHECKSUM_OFFSET == 2);

/// Types of ICMP.
pub mod v4 {
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable; with code [`FRAGMENTATION_NEEDED`], too big.
    pub const UNREACHABLE: u8 = 3;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Code of [`UNREACHABLE`]: nobody listens on that port.
    pub const PORT_UNREACHABLE: u8 = 3;
    /// Code of [`UNREACHABLE`]: needs fragmentation, and may not be (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
}

/// Types of ICMPv6.
pub mod v6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Code of [`UNREACHABLE`]: nobody listens on that port.
    pub const PORT_UNREACHABLE: u8 = 4;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 129;
}
