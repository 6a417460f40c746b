//! Forwarding mode `nat` (DESIGN: 3.4): the source becomes the instance's address and a port of
//! its own, the destination the backend; replies come back through the instance.
//!
//! A flow starts in the half-open table, where the oldest give way, and moves to the established
//! table, which never evicts, when the client has proved that it sees the backend's answers. So
//! a flood of spoofed packets can push out half-open flows only.
//!
//! **Invariant: no two live flows share a reverse tuple**, (backend, its port, our address, our
//! port, protocol): it is claimed by insert-if-absent, in whichever table the flow lives.

mod claim;
mod known;
mod promote;
mod rewrite;
mod start;

pub(crate) use known::{Known, find};
pub use rewrite::rewrite;

use abi::NO_INDEX;
use abi::backend::Link;
use abi::family::Family;
use abi::reason::Reason;

use crate::parse::Header;
use crate::verdict::Findings;
use crate::{FamilyTables, Packet, Parsed, Tables};

/// A packet to a service or ([`NO_INDEX`]) to a source address of ours: of a flow we know, the
/// first of one, or the host's own.
#[inline(always)]
pub(crate) fn forward<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    service: u32,
    found: &mut Findings,
) -> Reason {
    let mut orphaned = false;
    if let Some(reason) = known::forward(packet, tables, parsed, &mut orphaned, found) {
        return reason;
    }
    found.belongs(service, NO_INDEX);
    if service == NO_INDEX {
        return Reason::NotForService;
    }
    start::start(packet, tables, parsed, orphaned, found)
}

/// The way back to whoever sent this packet.
#[inline(always)]
pub(crate) fn link_back<F: Family, P: Packet>(packet: &P, parsed: &Parsed<F>) -> Link {
    Link::new(parsed.ethernet.swapped(), packet.ingress_interface())
}

/// Length of the IP packet in bytes, for the counters.
#[inline(always)]
fn ip_bytes<F: Family>(parsed: &Parsed<F>) -> u64 {
    u64::from(parsed.ip.length)
}
