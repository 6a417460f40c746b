//! The packet's way: parse, classify, select, rewrite.
//!
//! One source, compiled for the kernel (`ebpf`) and for native tests (`testkit`): everything is
//! generic over [`Packet`], the frame, and [`Tables`], the maps. A packet ends in a
//! [`Verdict`]; its [`abi::reason::Reason`] says why.
//!
//! [`decapsulate`] is the way of a packet at a backend: the other end of modes `ipip` and `gue`.
//!
//! Almost all functions on the way are inlined; those that are not (`walk`, `icmp`, `too_big`)
//! each walk one kind of packet from its headers on, with a stack frame of their own in the kernel.

#![no_std]
#![forbid(unsafe_code)]

mod classify;
mod decap;
mod fragment;
mod icmp;
mod link;
mod nat;
mod packet;
mod parse;
mod select;
mod stateless;
mod tables;
mod too_big;
mod verdict;
mod walk;

pub use decap::{DecapTables, decapsulate};
pub use icmp::Messages;
pub use link::{Carried, carried};
pub use nat::rewrite;
pub use packet::{Packet, RouteQuery, Way};
pub use parse::{Header, HeaderFacts, Ip, Parsed, Segment, Transport, parse};
pub use tables::{AllTables, EstablishError, FamilyTables, FlowTable, InsertError, Tables};
pub use too_big::Answer;
pub use verdict::Verdict;

use abi::control::feature;
use abi::family::{V4, V6};
use abi::reason::Reason;
use walk::Then;
use wire::ethernet;

/// Where an IP header can begin at most.
const MAX_IP_OFFSET: usize = ethernet::HEADER_LENGTH + ethernet::MAX_TAGS * ethernet::TAG_LENGTH;

/// Decides about one packet, rewrites it, and counts.
#[inline(always)]
pub fn process<P: Packet, T: AllTables>(packet: &mut P, tables: &T) -> Verdict {
    let verdict = decide(packet, tables);
    tables.count_reason(verdict.reason);
    verdict
}

#[inline(always)]
fn decide<P: Packet, T: AllTables>(packet: &mut P, tables: &T) -> Verdict {
    let carried = match carried(packet) {
        Ok(carried) => carried,
        Err(reason) => return Verdict::of(reason),
    };
    let features = tables.settings().features;
    match carried.ethertype {
        ethernet::IPV4 if features & feature::IPV4 != 0 => {
            walks::<V4, P, T>(packet, tables, carried.offset)
        }
        ethernet::IPV6 if features & feature::IPV6 != 0 => {
            walks::<V6, P, T>(packet, tables, carried.offset)
        }
        ethernet::IPV4 | ethernet::IPV6 => Verdict::of(Reason::NotForService),
        _ => Verdict::of(Reason::NotIp),
    }
}

/// One walk after another, until there is a verdict.
#[inline(always)]
fn walks<F: Messages + Answer, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    ip_offset: usize,
) -> Verdict {
    // Untagged frames have an offset that is known; the others' is one value to the verifier.
    let walked = if ip_offset == ethernet::HEADER_LENGTH {
        walk::walk::<F, P, T>(packet, tables, ethernet::HEADER_LENGTH)
    } else {
        match parse::blur(ip_offset, tables.zero(), MAX_IP_OFFSET) {
            Ok(ip_offset) => walk::walk::<F, P, T>(packet, tables, ip_offset),
            Err(reason) => return Verdict::of(reason),
        }
    };
    if walked.then == Then::Done {
        return walked.verdict;
    }
    let Ok(ip_offset) = parse::blur(ip_offset, tables.zero(), MAX_IP_OFFSET) else {
        return walked.verdict;
    };
    match walked.then {
        Then::Done => walked.verdict,
        Then::Icmp => icmp::walk::<F, P, T>(packet, tables, ip_offset),
        Then::TooBig => too_big::answer::<F, P, T>(packet, tables, ip_offset, &walked),
    }
}
