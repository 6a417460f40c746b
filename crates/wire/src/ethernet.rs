//! Ethernet II and VLAN tags (IEEE 802.3, 802.1Q, 802.1ad).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Be16;

/// Receiver and sender, 12 bytes as they lie in memory: three words, which a compiler for BPF can
/// keep in registers.
#[derive(Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Addresses {
    first: u32,
    second: u32,
    third: u32,
}

#[cfg(not(target_endian = "little"))]
compile_error!("Addresses are taken apart by shifts that assume a little-endian machine");

impl Addresses {
    /// From both addresses in transmission order.
    #[must_use]
    pub const fn new(destination: [u8; 6], source: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = destination;
        let [g, h, i, j, k, l] = source;
        Self {
            first: u32::from_le_bytes([a, b, c, d]),
            second: u32::from_le_bytes([e, f, g, h]),
            third: u32::from_le_bytes([i, j, k, l]),
        }
    }

    /// The reverse of [`Self::words`].
    #[inline(always)]
    #[must_use]
    pub const fn from_words(low: u64, high: u32) -> Self {
        Self {
            first: low as u32,
            second: (low >> 32) as u32,
            third: high,
        }
    }

    /// The first eight and the last four bytes.
    #[inline(always)]
    #[must_use]
    pub const fn words(self) -> (u64, u32) {
        (self.first as u64 | (self.second as u64) << 32, self.third)
    }

    /// Receiver, in transmission order.
    #[must_use]
    pub const fn destination(self) -> [u8; 6] {
        let [a, b, c, d, e, f, _, _] = self.words().0.to_le_bytes();
        [a, b, c, d, e, f]
    }

    /// Sender, in transmission order.
    #[must_use]
    pub const fn source(self) -> [u8; 6] {
        self.swapped().destination()
    }

    /// Receiver and sender exchanged.
    #[inline(always)]
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self {
            first: self.second >> 16 | self.third << 16,
            second: self.third >> 16 | self.first << 16,
            third: self.first >> 16 | self.second << 16,
        }
    }
}

impl core::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02x?} > {:02x?}", self.source(), self.destination())
    }
}

/// One VLAN tag as it stands behind the ethertype that announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VlanTag {
    /// Priority (3 bits), drop eligible (1 bit), VLAN id (12 bits).
    pub control: Be16,
    /// What follows.
    pub ethertype: Be16,
}

/// Offset of the ethertype: what follows the addresses, [`IPV4`], [`VLAN`], ...
pub const ETHERTYPE_OFFSET: usize = size_of::<Addresses>();
/// Length of the header without tags in bytes.
pub const HEADER_LENGTH: usize = ETHERTYPE_OFFSET + size_of::<Be16>();
/// Length of [`VlanTag`] in bytes.
pub const TAG_LENGTH: usize = size_of::<VlanTag>();
/// Tags that are looked behind.
pub const MAX_TAGS: usize = 2;

/// Internet Protocol version 4.
pub const IPV4: Be16 = Be16::new(0x0800);
/// Internet Protocol version 6.
pub const IPV6: Be16 = Be16::new(0x86dd);
/// 802.1Q tag.
pub const VLAN: Be16 = Be16::new(0x8100);
/// 802.1ad service tag (QinQ).
pub const SERVICE_VLAN: Be16 = Be16::new(0x88a8);

const _: () = assert!(HEADER_LENGTH == 14 && TAG_LENGTH == 4);

/// Whether a VLAN tag follows this ethertype.
#[inline(always)]
#[must_use]
pub fn is_tag(ethertype: Be16) -> bool {
    ethertype == VLAN || ethertype == SERVICE_VLAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_memory_as_on_the_wire() {
        let addresses = Addresses::new([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]);
        assert_eq!(
            addresses.as_bytes(),
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        );
        assert_eq!(addresses.destination(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(addresses.source(), [7, 8, 9, 10, 11, 12]);
        assert_eq!(
            addresses.swapped().as_bytes(),
            [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]
        );
    }
}
