//! The packet's way: parse, classify, select, rewrite.
//!
//! One source, compiled for the kernel (`ebpf`) and for native tests (`testkit`): everything is
//! generic over [`Packet`], the frame, and [`Tables`], the maps. A packet ends in a
//! [`Verdict`]; its [`abi::reason::Reason`] says why.
//!
//! All functions on the way are inlined: the kernel's program is one function, in which the
//! verifier follows every value, and a call would cost more than most of them.

#![no_std]
#![forbid(unsafe_code)]

mod classify;
mod nat;
mod packet;
mod parse;
mod select;
mod tables;
mod verdict;

pub use nat::rewrite;
pub use packet::Packet;
pub use parse::{Parsed, Segment, Transport, parse};
pub use tables::{EstablishError, FlowTable, InsertError, Tables};
pub use verdict::Verdict;

use abi::reason::Reason;
use classify::Target;

/// Decides about one packet, rewrites it, and counts.
#[inline(always)]
pub fn process<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let verdict = decide(packet, tables);
    tables.count_reason(verdict.reason);
    verdict
}

#[inline(always)]
fn decide<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let mut parsed = Parsed::default();
    if let Err(reason) = parse(packet, &mut parsed) {
        return Verdict::of(reason);
    }
    let service = match classify::classify(&parsed, tables) {
        Target::Service(index) => Some(index),
        Target::NatSource => None,
        Target::LaterFragment => return Verdict::of(Reason::LaterFragment),
        Target::None => return Verdict::of(Reason::NotForService),
    };
    nat::forward(packet, tables, &parsed, service)
}
