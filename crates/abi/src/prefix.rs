//! Services of a whole prefix: keys of `BPF_MAP_TYPE_LPM_TRIE`, values are service indices.
//!
//! The kernel matches from the first bit after the length: protocol and port are always matched
//! whole, then as much of the address as the prefix has.

use wire::{Be16, Be32, ipv6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bits of protocol, padding and port in front of the address.
pub const HEAD_BITS: u32 = 32;

/// Key of either family.
pub trait PrefixKey {
    /// Address of the family.
    type Address;
    /// Matches `bits` of `address`, all of protocol and port (0: every port).
    fn new(address: Self::Address, bits: u32, port: Be16, protocol: u8) -> Self;
    /// The address, how many bits of it are matched, port and protocol.
    fn parts(&self) -> (Self::Address, u32, Be16, u8);
    /// The bit of [`crate::control::Control::prefixes`] without which no key like this one, of its
    /// family and with a port or for every port, is in the trie.
    fn presence(&self) -> u64;
}

/// Of a key with this head.
#[inline(always)]
const fn presence(head: u64, is_v6: bool) -> u64 {
    let has_port = head >> 48 != 0;
    1 << (2 * is_v6 as u32 + has_port as u32)
}

/// IPv4: length, protocol, zero, port, address, and a zero word that is never matched.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PrefixKeyV4 {
    head: u64,
    address: u64,
}

/// IPv6: length, protocol, zero, port, address.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PrefixKeyV6 {
    head: u64,
    address: ipv6::Address,
}

/// What [`head`] was made of.
const fn parts(head: u64) -> (u32, Be16, u8) {
    let bits = (head as u32).saturating_sub(HEAD_BITS);
    (
        bits,
        Be16::from_raw((head >> 48) as u16),
        (head >> 32) as u8,
    )
}

#[inline(always)]
const fn head(bits: u32, port: Be16, protocol: u8) -> u64 {
    (HEAD_BITS + bits) as u64 | (protocol as u64) << 32 | (port.raw() as u64) << 48
}

impl PrefixKey for PrefixKeyV4 {
    type Address = Be32;

    #[inline(always)]
    fn new(address: Be32, bits: u32, port: Be16, protocol: u8) -> Self {
        Self {
            head: head(bits, port, protocol),
            address: u64::from(address.raw()),
        }
    }

    fn parts(&self) -> (Be32, u32, Be16, u8) {
        let (bits, port, protocol) = parts(self.head);
        (Be32::from_raw(self.address as u32), bits, port, protocol)
    }

    #[inline(always)]
    fn presence(&self) -> u64 {
        presence(self.head, false)
    }
}

impl PrefixKey for PrefixKeyV6 {
    type Address = ipv6::Address;

    #[inline(always)]
    fn new(address: ipv6::Address, bits: u32, port: Be16, protocol: u8) -> Self {
        Self {
            head: head(bits, port, protocol),
            address,
        }
    }

    fn parts(&self) -> (ipv6::Address, u32, Be16, u8) {
        let (bits, port, protocol) = parts(self.head);
        (self.address, bits, port, protocol)
    }

    #[inline(always)]
    fn presence(&self) -> u64 {
        presence(self.head, true)
    }
}
