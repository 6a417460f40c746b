//! The packet's way: parse, classify, select, rewrite.
//!
//! One source, compiled for the kernel (`ebpf`) and for native tests (`testkit`): everything is
//! generic over [`Packet`], the frame, and [`Tables`], the maps. A packet ends in a
//! [`Verdict`]; its [`abi::reason::Reason`] says why.
//!
//! [`decapsulate`] is the way of a packet at a backend: the other end of modes `ipip` and `gue`.
//!
//! Almost all functions on the way are inlined; those that are not (`walk`, `icmp`, `too_big`,
//! `reject`) each walk one kind of packet from its headers on, with a stack frame of their own in the
//! kernel.

#![no_std]
#![forbid(unsafe_code)]

mod answer;
mod classify;
mod decap;
mod fragment;
mod icmp;
mod link;
mod nat;
mod packet;
mod parse;
mod reject;
mod select;
mod stateless;
mod tables;
mod too_big;
mod verdict;
mod walk;

pub use answer::Answer;
pub use decap::{DecapTables, decapsulate};
pub use icmp::Messages;
pub use link::{Carried, carried};
pub use nat::rewrite;
pub use packet::{Packet, RouteQuery, Way};
pub use parse::{Header, HeaderFacts, Ip, Parsed, Segment, Transport, parse};
pub use tables::{AllTables, EstablishError, FamilyTables, FlowTable, InsertError, Tables};
pub use verdict::Verdict;

use abi::control::feature;
use abi::family::{V4, V6};
use abi::reason::Reason;
use verdict::Findings;
use wire::ethernet;

/// Where an IP header can begin at most.
const MAX_IP_OFFSET: usize = ethernet::HEADER_LENGTH + ethernet::MAX_TAGS * ethernet::TAG_LENGTH;

/// Decides about one packet, rewrites it, and counts.
#[inline(always)]
pub fn process<P: Packet, T: AllTables>(packet: &mut P, tables: &T) -> Verdict {
    let mut found = Findings::NONE;
    let reason = decide(packet, tables, &mut found);
    tables.count_reason(reason);
    found.verdict(reason)
}

#[inline(always)]
fn decide<P: Packet, T: AllTables>(packet: &mut P, tables: &T, found: &mut Findings) -> Reason {
    let carried = match carried(packet) {
        Ok(carried) => carried,
        Err(reason) => return reason,
    };
    let features = tables.settings().features;
    match carried.ethertype {
        ethernet::IPV4 if features & feature::IPV4 != 0 => {
            walks::<V4, P, T>(packet, tables, carried.offset, found)
        }
        ethernet::IPV6 if features & feature::IPV6 != 0 => {
            walks::<V6, P, T>(packet, tables, carried.offset, found)
        }
        ethernet::IPV4 | ethernet::IPV6 => Reason::NotForService,
        _ => Reason::NotIp,
    }
}

/// One walk, and another if its reason says so.
#[inline(always)]
fn walks<F: Messages + Answer, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    ip_offset: usize,
    found: &mut Findings,
) -> Reason {
    // Untagged frames have an offset that is known; the others' is one value to the verifier.
    let reason = if ip_offset == ethernet::HEADER_LENGTH {
        walk::walk::<F, P, T>(packet, tables, ethernet::HEADER_LENGTH, found)
    } else {
        match parse::blur(ip_offset, tables.zero(), MAX_IP_OFFSET) {
            Ok(ip_offset) => walk::walk::<F, P, T>(packet, tables, ip_offset, found),
            Err(reason) => return reason,
        }
    };
    let rejects = tables.settings().features & feature::REJECT != 0;
    match reason {
        Reason::IcmpForHost | Reason::TooBig => {}
        Reason::NoBackend if rejects => {}
        _ => return reason,
    }
    let ip_offset = match parse::blur(ip_offset, tables.zero(), MAX_IP_OFFSET) {
        Ok(ip_offset) => ip_offset,
        Err(reason) => return reason,
    };
    match reason {
        Reason::TooBig => too_big::answer::<F, P, T>(packet, tables, ip_offset, found),
        Reason::NoBackend if rejects => reject::answer::<F, P, T>(packet, tables, ip_offset, found),
        _ => icmp::walk::<F, P, T>(packet, tables, ip_offset, found),
    }
}
