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

pub use rewrite::rewrite;

use abi::backend::Link;
use abi::reason::Reason;
use wire::ipv4;

use crate::{Packet, Parsed, Tables, Verdict};

/// A packet to a service (`Some`) or to a source address of ours: of a flow we know, the first of
/// one, or the host's own. One function for both, because what it calls is most of the program,
/// which the verifier walks once for each place it is inlined at.
#[inline(always)]
pub(crate) fn forward<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed,
    service: Option<u32>,
) -> Verdict {
    if let Some(verdict) = known::forward(packet, tables, parsed) {
        return verdict;
    }
    match service {
        Some(service) => start::start(packet, tables, parsed, service),
        None => Verdict::of(Reason::NotForService),
    }
}

/// The way back to whoever sent this packet.
#[inline(always)]
fn link_back<P: Packet>(packet: &P, parsed: &Parsed) -> Link {
    Link::new(parsed.ethernet.swapped(), packet.ingress_interface())
}

/// Length of the IP packet in bytes, for the counters.
#[inline(always)]
fn ip_bytes(ipv4: &ipv4::Ipv4) -> u64 {
    u64::from(ipv4.total_length.get())
}
