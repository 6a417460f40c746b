//! The walks: each kind of packet has a function of its own.
//!
//! In the kernel these are functions that are called, not inlined: each has a stack frame, and
//! what is rare does not take registers from what is not.

use abi::NO_INDEX;
use abi::control::feature;
use abi::reason::Reason;
use abi::service::MODE_NAT;

use crate::classify::{Headed, classify};
use crate::parse::{self, Header};
use crate::{FamilyTables, Packet, Tables, Transport, Verdict, fragment, nat, stateless};

/// What comes after a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Then {
    /// Nothing: the verdict is final.
    Done,
    /// The packet is ICMP.
    Icmp,
    /// The packet is larger than [`Walked::mtu`], and its sender must know.
    TooBig,
}

/// Result of a walk; aligned as [`Verdict`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Walked {
    pub(crate) verdict: Verdict,
    pub(crate) then: Then,
    /// With [`Then::TooBig`]: what would fit, in bytes.
    pub(crate) mtu: u32,
}

impl Walked {
    #[inline(always)]
    pub(crate) const fn done(verdict: Verdict) -> Self {
        Self {
            verdict,
            then: Then::Done,
            mtu: 0,
        }
    }

    #[inline(always)]
    pub(crate) const fn too_big(verdict: Verdict, mtu: u32) -> Self {
        Self {
            verdict,
            then: Then::TooBig,
            mtu,
        }
    }

    #[inline(always)]
    const fn icmp() -> Self {
        Self {
            verdict: Verdict::of(Reason::IcmpForHost),
            then: Then::Icmp,
            mtu: 0,
        }
    }
}

/// TCP and UDP.
#[inline(never)]
pub(crate) fn walk<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    ip_offset: usize,
) -> Walked {
    let packet = &mut packet.local();
    let mut parsed = match parse::parse::<F, _>(packet, ip_offset, || tables.zero()) {
        Ok(parsed) => parsed,
        Err(reason) => return Walked::done(Verdict::of(reason)),
    };
    if parsed.segment.transport == Transport::Icmp {
        return Walked::icmp();
    }
    if parsed.segment.transport == Transport::LaterFragment
        && let Err(reason) = fragment::find_ports(tables, &mut parsed)
    {
        return Walked::done(Verdict::of(reason));
    }
    let headed = classify(&parsed.key, tables);
    if headed != Headed::Elsewhere {
        fragment::remember(tables, &parsed);
    }
    let features = tables.settings().features;
    let index = match headed {
        Headed::Elsewhere => return Walked::done(Verdict::of(Reason::NotForService)),
        Headed::FromDnatBackend(index) => {
            return stateless::reply(packet, tables, &parsed, index);
        }
        Headed::NatSource => NO_INDEX,
        Headed::Service(index) => {
            let Some(service) = tables.service(index) else {
                return Walked::done(Verdict::of_service(Reason::Inconsistent, index));
            };
            if features & feature::NAT == 0 || service.mode != MODE_NAT {
                return stateless::forward(packet, tables, &parsed, index, service);
            }
            index
        }
    };
    if features & feature::NAT == 0 {
        return Walked::done(Verdict::of(Reason::NotForService));
    }
    // One call for both: the verifier walks most of the program once for each place it is in.
    nat::forward(packet, tables, &parsed, index)
}
