//! The backend's side of modes `ipip` and `gue`: takes the outer headers off a packet, for hosts
//! whose kernel has no tunnel.
//!
//! Front to back: Ethernet, the outer headers, the inner one. A tunnel's packet to this host is
//! either taken whole or dropped, with a reason; everything else passes untouched.

mod inner;
mod outer;

use abi::decap::{AddressKey, DecapReason, DecapSettings};
use abi::reason::Reason;
use wire::{Be16, ethernet};

use crate::{Packet, carried, link};
use inner::Inner;
use outer::Outer;

/// Access to the lists of the decapsulation program.
pub trait DecapTables {
    /// The settings.
    fn settings(&self) -> DecapSettings;
    /// Whether outer packets may be addressed to it: an address of this host.
    fn is_local(&self, address: &AddressKey) -> bool;
    /// Whether it may send, if there is a list of those who may.
    fn is_sender(&self, address: &AddressKey) -> bool;
    /// Whether inner packets may be addressed to it.
    fn is_vip(&self, address: &AddressKey) -> bool;
    /// Counts a packet.
    fn count(&self, reason: DecapReason);
}

/// Decides about one packet, takes its outer headers off, and counts.
#[inline(always)]
pub fn decapsulate<P: Packet, T: DecapTables>(packet: &mut P, tables: &T) -> DecapReason {
    let (Ok(reason) | Err(reason)) = take(packet, tables);
    tables.count(reason);
    reason
}

#[inline(always)]
fn take<P: Packet, T: DecapTables>(packet: &mut P, tables: &T) -> Result<DecapReason, DecapReason> {
    let settings = tables.settings();
    let carried = carried(packet).map_err(|reason| match reason {
        Reason::TooManyTags => DecapReason::TooManyTags,
        _ => DecapReason::Truncated,
    })?;
    let outer = Outer::parse(packet, &carried, settings.gue_port)?;
    if !tables.is_local(&outer.destination) {
        return Err(DecapReason::NotForHost);
    }
    outer.defect.map_or(Ok(()), Err)?;
    if settings.check_sender != 0 && !tables.is_sender(&outer.source) {
        return Err(DecapReason::SenderUnknown);
    }
    packet.refresh();
    let payload = outer.payload(packet)?;
    let inner = Inner::parse(packet, &payload)?;
    if !tables.is_vip(&inner.destination) {
        return Err(DecapReason::NotForVip);
    }
    packet.refresh();
    inner.mark(packet, payload.offset, outer.traffic_class)?;
    shorten(packet, carried.offset, payload.offset, inner.ethertype)
        .ok_or(DecapReason::NotShortened)?;
    Ok(if outer.is_gue {
        DecapReason::Gue
    } else {
        DecapReason::Ipip
    })
}

/// Cuts off what is between the Ethernet header and the inner packet.
#[inline(always)]
fn shorten<P: Packet>(
    packet: &mut P,
    outer_offset: usize,
    inner_offset: usize,
    ethertype: Be16,
) -> Option<()> {
    let tags = link::tags(packet, outer_offset)?;
    let addresses: ethernet::Addresses = packet.read(0)?;
    packet.shrink_front(inner_offset - outer_offset)?;
    link::write(packet, &addresses, tags, ethertype, outer_offset)
}
