//! IPv6 (RFC 8200) and the extension headers a load balancer walks over.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Be16, Be32};

/// An IPv6 address as it lies in memory. Two words, for the reasons that Ethernet's addresses are
/// three: they stay in registers, and on the kernel's stack they are aligned.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct Address {
    first: u64,
    second: u64,
}

impl Address {
    /// From sixteen bytes in transmission order.
    #[inline(always)]
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        let whole = u128::from_le_bytes(bytes);
        Self {
            first: whole as u64,
            second: (whole >> 64) as u64,
        }
    }

    /// Sixteen bytes in transmission order.
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        (self.first as u128 | (self.second as u128) << 64).to_le_bytes()
    }

    /// The bytes in memory read as two host integers.
    #[inline(always)]
    #[must_use]
    pub const fn raw(self) -> (u64, u64) {
        (self.first, self.second)
    }

    /// The reverse of [`Self::raw`].
    #[inline(always)]
    #[must_use]
    pub const fn from_raw(first: u64, second: u64) -> Self {
        Self { first, second }
    }

    /// Whether it is a multicast address (RFC 4291, section 2.7).
    #[inline(always)]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.first & 0xff == 0xff
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", core::net::Ipv6Addr::from(self.octets()))
    }
}

/// The fixed header.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ipv6 {
    /// Version (4 bits), traffic class (8 bits), flow label (20 bits).
    pub version_class_flow: Be32,
    /// Bytes after this header, extension headers included.
    pub payload_length: Be16,
    /// What follows: a transport protocol or an extension header.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Sender.
    pub source: Address,
    /// Receiver.
    pub destination: Address,
}

/// Length of the fixed header in bytes.
pub const HEADER_LENGTH: usize = size_of::<Ipv6>();
/// Offset of the hop limit.
pub const HOP_LIMIT_OFFSET: usize = core::mem::offset_of!(Ipv6, hop_limit);
/// Offset of the source address; the destination follows.
pub const SOURCE_OFFSET: usize = core::mem::offset_of!(Ipv6, source);

const _: () = assert!(HEADER_LENGTH == 40 && HOP_LIMIT_OFFSET == 7 && SOURCE_OFFSET == 8);

/// Hop-by-hop options (RFC 8200, section 4.3).
pub const HOP_BY_HOP: u8 = 0;
/// IPv6 in IPv6 or IPv4 (RFC 2473).
pub const IPV6: u8 = 41;
/// Routing header (RFC 8200, section 4.4).
pub const ROUTING: u8 = 43;
/// Fragment header (RFC 8200, section 4.5).
pub const FRAGMENT: u8 = 44;
/// ICMPv6 (RFC 4443).
pub const ICMP: u8 = 58;
/// Destination options (RFC 8200, section 4.6).
pub const DESTINATION_OPTIONS: u8 = 60;

impl Ipv6 {
    /// 6 in a proper header.
    #[inline(always)]
    #[must_use]
    pub const fn version(&self) -> u8 {
        (self.version_class_flow.raw() as u8) >> 4
    }

    /// Differentiated services and ECN.
    #[inline(always)]
    #[must_use]
    pub const fn traffic_class(&self) -> u8 {
        (self.version_class_flow.get() >> 20) as u8
    }
}

/// The first bytes of an options or routing header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Extension {
    /// What follows this header.
    pub next_header: u8,
    /// Its length in units of 8 bytes, the first not counted.
    pub length: u8,
}

impl Extension {
    /// Length of the whole header in bytes: 8 to 2048.
    #[inline(always)]
    #[must_use]
    pub const fn header_length(&self) -> usize {
        (self.length as usize + 1) * 8
    }
}

/// Length of the longest options or routing header in bytes.
pub const MAX_EXTENSION_LENGTH: usize = 256 * 8;

/// The fragment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fragment {
    /// What the fragmented packet carries.
    pub next_header: u8,
    /// Zero.
    pub reserved: u8,
    /// Offset in units of 8 bytes (13 bits), reserved (2 bits), more fragments (1 bit).
    pub offset_more: Be16,
    /// Identifies the fragments of one packet.
    pub identification: Be32,
}

/// Length of the fragment header in bytes.
pub const FRAGMENT_LENGTH: usize = size_of::<Fragment>();
const _: () = assert!(FRAGMENT_LENGTH == 8);

impl Fragment {
    /// Whether this is a fragment other than the first.
    #[inline(always)]
    #[must_use]
    pub const fn is_later(&self) -> bool {
        self.offset_more.get() & 0xfff8 != 0
    }

    /// Whether it is a fragment at all: neither the last nor the first is RFC 6946's atomic one.
    #[inline(always)]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.offset_more.get() & 0xfff9 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_rfc_8200_has_them() {
        let mut bytes = [0_u8; 40];
        bytes[..8].copy_from_slice(&[0x6a, 0xb1, 0x23, 0x45, 0x01, 0x02, 17, 64]);
        bytes[8] = 0x20;
        bytes[39] = 0x09;
        let header = Ipv6::read_from_bytes(&bytes).unwrap();
        assert_eq!((header.version(), header.traffic_class()), (6, 0xab));
        assert_eq!(
            (
                header.payload_length.get(),
                header.next_header,
                header.hop_limit
            ),
            (0x102, 17, 64)
        );
        assert_eq!(header.source.octets()[0], 0x20);
        assert_eq!(header.destination.octets()[15], 9);
        assert_eq!(Address::new(header.source.octets()), header.source);
    }

    #[test]
    fn offset_and_more_bits_tell_fragments_apart() {
        let fragment = |offset_more| Fragment {
            next_header: 17,
            reserved: 0,
            offset_more: Be16::new(offset_more),
            identification: Be32::new(1),
        };
        assert!(!fragment(0).is_fragment() && !fragment(0).is_later());
        assert!(fragment(1).is_fragment() && !fragment(1).is_later());
        assert!(fragment(8).is_fragment() && fragment(8).is_later());
        assert!(fragment(9).is_later());
    }
}
