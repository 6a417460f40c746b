//! IPv4 (RFC 791).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::checksum::{Delta, Sum};
use crate::{Be16, Be32};

/// The fixed part of the header; options may follow.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ipv4 {
    /// Version (4 bits) and header length in 32-bit words (4 bits).
    pub version_ihl: u8,
    /// Differentiated services and ECN.
    pub traffic_class: u8,
    /// Header and payload in bytes.
    pub total_length: Be16,
    /// Identifies the fragments of one packet.
    pub identification: Be16,
    /// Flags (3 bits) and fragment offset in units of 8 bytes (13 bits).
    pub flags_fragment: Be16,
    /// Hops left.
    pub ttl: u8,
    /// Transport protocol: [`TCP`], [`UDP`], ...
    pub protocol: u8,
    /// One's complement sum of the header.
    pub checksum: Be16,
    /// Sender.
    pub source: Be32,
    /// Receiver.
    pub destination: Be32,
}

/// The fields from `ttl` on, which are all that a forwarder changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Route {
    /// Hops left.
    pub ttl: u8,
    /// Transport protocol.
    pub protocol: u8,
    /// One's complement sum of the header.
    pub checksum: Be16,
    /// Sender.
    pub source: Be32,
    /// Receiver.
    pub destination: Be32,
}

/// Offset of [`Route`] in [`Ipv4`].
pub const ROUTE_OFFSET: usize = core::mem::offset_of!(Ipv4, ttl);
/// Offset of the header checksum.
pub const CHECKSUM_OFFSET: usize = core::mem::offset_of!(Ipv4, checksum);
/// Offset of the source address; the destination follows.
pub const SOURCE_OFFSET: usize = core::mem::offset_of!(Ipv4, source);
/// Length of the fixed part in bytes, also the least a header can have.
pub const MIN_HEADER_LENGTH: usize = size_of::<Ipv4>();
/// Length of the longest header (15 words) in bytes.
pub const MAX_HEADER_LENGTH: usize = 60;
/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of IPv4 in IP (RFC 2003).
pub const IPV4: u8 = 4;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;

const _: () = assert!(MIN_HEADER_LENGTH == 20 && ROUTE_OFFSET == 8 && size_of::<Route>() == 12);

const FRAGMENT_OFFSET: Be16 = Be16::new(0x1fff);
const FRAGMENT_OFFSET_OR_MORE: Be16 = Be16::new(0x3fff);
/// Flag: must not be fragmented.
pub const DONT_FRAGMENT: Be16 = Be16::new(0x4000);

/// Adds what one hop less does to the header checksum. The TTL is the high byte of its word, so
/// the difference is the same for every TTL.
#[inline(always)]
#[must_use]
pub const fn with_ttl_decrement(delta: Delta) -> Delta {
    delta.word(Be16::new(0x0100), Be16::new(0))
}

impl Ipv4 {
    /// 4 in a proper header.
    #[inline(always)]
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Length of header and options in bytes, as the header says: 0 to 60.
    #[inline(always)]
    #[must_use]
    pub const fn header_length(&self) -> usize {
        (self.version_ihl as usize & 0xf) * 4
    }

    /// The checksum of the fixed part, computed anew; the field itself counts as it is.
    #[inline(always)]
    #[must_use]
    pub const fn computed_checksum(&self) -> Be16 {
        Sum::new()
            .half(Be16::new(
                (self.version_ihl as u16) << 8 | self.traffic_class as u16,
            ))
            .half(self.total_length)
            .half(self.identification)
            .half(self.flags_fragment)
            .half(Be16::new((self.ttl as u16) << 8 | self.protocol as u16))
            .half(self.checksum)
            .word(self.source)
            .word(self.destination)
            .checksum()
    }

    /// Whether this is a fragment other than the first, which has no transport header.
    #[inline(always)]
    #[must_use]
    pub const fn is_later_fragment(&self) -> bool {
        self.flags_fragment.raw() & FRAGMENT_OFFSET.raw() != 0
    }

    /// Whether this is a fragment at all, first, middle or last.
    #[inline(always)]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.flags_fragment.raw() & FRAGMENT_OFFSET_OR_MORE.raw() != 0
    }
}
