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
use crate::verdict::Findings;
use crate::{FamilyTables, Packet, Tables, Transport, fragment, nat, stateless};

/// TCP and UDP. [`Reason::IcmpForHost`] of what is ICMP, [`Reason::TooBig`] and [`Reason::NoBackend`]
/// of what is to be answered, or may be: others' walks decide about those.
#[inline(never)]
pub(crate) fn walk<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    ip_offset: usize,
    found: &mut Findings,
) -> Reason {
    let packet = &mut packet.local();
    let mut parsed = match parse::parse::<F, _>(packet, ip_offset, || tables.zero()) {
        Ok(parsed) => parsed,
        Err(reason) => return reason,
    };
    if parsed.segment.transport == Transport::Icmp {
        return Reason::IcmpForHost;
    }
    if parsed.segment.transport == Transport::LaterFragment
        && let Err(reason) = fragment::find_ports(tables, &mut parsed)
    {
        return reason;
    }
    let headed = classify(&parsed.key, tables);
    if headed != Headed::Elsewhere {
        fragment::remember(tables, &parsed);
    }
    let features = tables.settings().features;
    let index = match headed {
        Headed::Elsewhere => return Reason::NotForService,
        Headed::FromDnatBackend(index) => {
            found.service = index;
            return stateless::reply(packet, tables, &parsed, index, found);
        }
        Headed::NatSource => NO_INDEX,
        Headed::Service(index) => {
            let Some(service) = tables.service(index) else {
                return Reason::Inconsistent;
            };
            if features & feature::NAT == 0 || service.mode != MODE_NAT {
                found.service = index;
                return stateless::forward(packet, tables, &parsed, service, found);
            }
            index
        }
    };
    if features & feature::NAT == 0 {
        return Reason::NotForService;
    }
    // One call for both: the verifier walks most of the program once for each place it is in.
    nat::forward(packet, tables, &parsed, index, found)
}
