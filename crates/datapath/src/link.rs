//! Ethernet and up to two VLAN tags.

use abi::reason::Reason;
use wire::Be16;
use wire::ethernet::{self, VlanTag};

use crate::Packet;

/// Where the first tag, the second, and the ethertype behind them begin.
const FIRST: usize = ethernet::ETHERTYPE_OFFSET;
const SECOND: usize = FIRST + ethernet::TAG_LENGTH;
const THIRD: usize = SECOND + ethernet::TAG_LENGTH;

/// What an Ethernet frame carries, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Ethertype behind all tags.
    pub ethertype: Be16,
    /// Offset in bytes: 14, 18 or 22.
    pub offset: usize,
}

/// Looks behind at most two tags.
#[inline(always)]
pub fn carried<P: Packet>(packet: &P) -> Result<Carried, Reason> {
    let mut ethertype: Be16 = packet
        .read(ethernet::ETHERTYPE_OFFSET)
        .ok_or(Reason::Truncated)?;
    let mut offset = ethernet::HEADER_LENGTH;
    for _ in 0..ethernet::MAX_TAGS {
        if !ethernet::is_tag(ethertype) {
            break;
        }
        let tag: VlanTag = packet.read(offset).ok_or(Reason::Truncated)?;
        ethertype = tag.ethertype;
        offset += ethernet::TAG_LENGTH;
    }
    if ethernet::is_tag(ethertype) {
        return Err(Reason::TooManyTags);
    }
    Ok(Carried { ethertype, offset })
}

/// The tags in front of `ip_offset`, to be put in front of an outer header: two words, as many of
/// them as there are tags.
#[inline(always)]
pub(crate) fn tags<P: Packet>(packet: &mut P, ip_offset: usize) -> Option<(u32, u32)> {
    packet.refresh();
    let first = if ip_offset > ethernet::HEADER_LENGTH {
        packet.read(FIRST)?
    } else {
        0
    };
    let second = if ip_offset > ethernet::HEADER_LENGTH + ethernet::TAG_LENGTH {
        packet.read(SECOND)?
    } else {
        0
    };
    Some((first, second))
}

/// Writes addresses, tags and ethertype, so that the IP packet begins at `ip_offset`.
#[inline(always)]
pub(crate) fn write<P: Packet>(
    packet: &mut P,
    addresses: &ethernet::Addresses,
    (first, second): (u32, u32),
    ethertype: Be16,
    ip_offset: usize,
) -> Option<()> {
    packet.write(0, addresses)?;
    // Constant offsets: the verifier takes none that is subtracted from one it does not know.
    if ip_offset == ethernet::HEADER_LENGTH {
        return packet.write(FIRST, &ethertype);
    }
    packet.write(FIRST, &first)?;
    if ip_offset == ethernet::HEADER_LENGTH + ethernet::TAG_LENGTH {
        return packet.write(SECOND, &ethertype);
    }
    packet.write(SECOND, &second)?;
    packet.write(THIRD, &ethertype)
}
