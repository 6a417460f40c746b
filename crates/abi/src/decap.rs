//! Maps, settings and reasons of the decapsulation program, `evenkeel decap`.

use wire::ipv6;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::backend::Address;
use crate::reason::reasons;

/// An address of either family, as a key.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct AddressKey {
    /// The address.
    address: ipv6::Address,
    /// 4 or 6.
    version: u64,
}

impl AddressKey {
    /// From an address as backends have it.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: Address, is_v6: bool) -> Self {
        Self {
            address: address.as_v6(),
            version: if is_v6 { 6 } else { 4 },
        }
    }
}

/// A prefix of either family, as a key of `BPF_MAP_TYPE_LPM_TRIE`: length, version, address. The
/// kernel matches from the first bit after the length, so the version is always matched whole.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct PrefixKey {
    head: u64,
    address: ipv6::Address,
}

/// Bits of the version in front of the address.
const VERSION_BITS: u32 = 32;

impl PrefixKey {
    /// The addresses that share the first `bits` bits of `address`.
    #[must_use]
    pub const fn new(address: Address, is_v6: bool, bits: u32) -> Self {
        let version = if is_v6 { 6 } else { 4 };
        Self {
            head: (VERSION_BITS + bits) as u64 | version << 32,
            address: address.as_v6(),
        }
    }

    /// One address: what is looked up.
    #[inline(always)]
    #[must_use]
    pub const fn single(key: &AddressKey) -> Self {
        let bits = if key.version == 6 { 128 } else { 32 };
        Self {
            head: (VERSION_BITS + bits) as u64 | key.version << 32,
            address: key.address,
        }
    }

    /// Whether the trie of this entry leads `key` here.
    #[must_use]
    pub fn contains(&self, key: &AddressKey) -> bool {
        let bits = (self.head as u32).saturating_sub(VERSION_BITS);
        let bytes = |address: ipv6::Address| u128::from_be_bytes(address.octets());
        let differing = bytes(self.address) ^ bytes(key.address);
        self.head >> 32 == key.version && differing.leading_zeros() >= bits
    }
}

/// Settings of the decapsulation program, in `.rodata`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct DecapSettings {
    /// Not 0: only senders in the list may send.
    pub check_sender: u32,
    /// UDP destination port of GUE, host byte order.
    pub gue_port: u32,
}

/// What the decapsulation program does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecapAction {
    /// Goes to the host's own stack, untouched.
    Pass,
    /// Its outer headers are cut off, and the inner packet goes to the host's own stack.
    Decapsulate,
    /// Is dropped.
    Drop,
}

reasons! {
    DecapReason, DecapAction:
    /// Neither IPv4 nor IPv6: ARP and everything else the host handles itself.
    NotIp = "not_ip", Pass;
    /// More VLAN tags than the two that are looked behind.
    TooManyTags = "too_many_tags", Pass;
    /// The frame ends before it says whether it is from a tunnel.
    Truncated = "truncated", Pass;
    /// From no tunnel: another protocol than IPv4, IPv6 and GUE in IP.
    NotTunnel = "not_tunnel", Pass;
    /// From a tunnel, but to none of this host's addresses.
    NotForHost = "not_for_host", Pass;
    /// The packet in an IPIP packet went to the host.
    Ipip = "ipip", Decapsulate;
    /// The packet in a GUE packet went to the host.
    Gue = "gue", Decapsulate;
    /// The outer headers contradict themselves or the frame: version, lengths or the IPv4 checksum.
    OuterMalformed = "outer_malformed", Drop;
    /// The outer IPv4 header has options.
    OuterOptions = "outer_options", Drop;
    /// The outer packet is a fragment: the way from the load balancer is too narrow.
    OuterFragment = "outer_fragment", Drop;
    /// The sender is not in the list of those who may send.
    SenderUnknown = "sender_unknown", Drop;
    /// The GUE header has another version, extension fields, a control message or no IP packet behind it.
    GueUnsupported = "gue_unsupported", Drop;
    /// The inner header contradicts itself or the outer one: version or lengths.
    InnerMalformed = "inner_malformed", Drop;
    /// The inner packet is addressed to none of the VIPs.
    NotForVip = "not_for_vip", Drop;
    /// Congestion was experienced on the way, and the inner packet cannot say so (RFC 6040).
    CongestionLost = "congestion_lost", Drop;
    /// The frame could not be made shorter.
    NotShortened = "not_shortened", Drop;
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Be32;

    #[test]
    fn numbers_and_names_agree() {
        for (index, reason) in DecapReason::ALL.iter().enumerate() {
            assert_eq!(DecapReason::from_number(index as u32), Some(*reason));
            assert!(reason.explanation().ends_with(['.', ')']));
        }
    }

    #[test]
    fn a_prefix_contains_what_shares_its_bits_and_version() {
        let v4 = |bits| Address::v4(Be32::new(bits));
        let prefix = PrefixKey::new(v4(0x0a02_0000), false, 16);
        assert!(prefix.contains(&AddressKey::new(v4(0x0a02_ffff), false)));
        assert!(!prefix.contains(&AddressKey::new(v4(0x0a03_0000), false)));
        assert!(!prefix.contains(&AddressKey::new(v4(0x0a02_ffff), true)));
        let key = AddressKey::new(v4(1), false);
        assert_eq!(PrefixKey::single(&key), PrefixKey::new(v4(1), false, 32));
        assert!(PrefixKey::single(&key).contains(&key));
    }
}
