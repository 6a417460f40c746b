//! The first packet of a flow.

use abi::NO_INDEX;
use abi::control::feature;
use abi::family::Family;
use abi::flow::{Flow as _, FlowKey as _};
use abi::reason::Reason;
use abi::service::{QUIC, Service};

use super::claim::{Opening, claim};
use super::known;
use super::rewrite::rewrite;
use super::{ip_bytes, link_back};
use crate::parse::Header;
use crate::select::{self, Choice, Routed};
use crate::verdict::Findings;
use crate::{FamilyTables, FlowTable, InsertError, Packet, Parsed, Tables, Transport};

/// Picks a backend and a port for the packet's flow, enters it and sends the packet on.
/// `orphaned`: the flow's backend died, and its packets go to another one, which will reset it.
#[inline(always)]
pub(super) fn start<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    orphaned: bool,
    found: &mut Findings,
) -> Reason {
    let destination = parsed.key.destination_port();
    if is_no_opening(parsed, orphaned) && tables.settings().is_kept(destination) {
        // Of a service of every port, to a health check of the host's own: nobody else has that port.
        found.belongs(NO_INDEX, NO_INDEX);
        return Reason::NotForService;
    }
    check(parsed, orphaned)
        .and_then(|()| try_start(packet, tables, parsed, found))
        .unwrap_or_else(|reason| reason)
}

/// TCP that begins no connection.
#[inline(always)]
fn is_no_opening<F: Family>(parsed: &Parsed<F>, orphaned: bool) -> bool {
    parsed.segment.transport == Transport::Tcp && !parsed.segment.is_opening() && !orphaned
}

#[inline(always)]
fn check<F: Family>(parsed: &Parsed<F>, orphaned: bool) -> Result<(), Reason> {
    if is_no_opening(parsed, orphaned) {
        return Err(Reason::NoFlow);
    }
    if parsed.segment.transport == Transport::LaterFragment {
        return Err(Reason::LaterFragment);
    }
    if parsed.ip.ttl <= 1 {
        return Err(Reason::TtlExceeded);
    }
    Ok(())
}

#[inline(always)]
fn try_start<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    found: &mut Findings,
) -> Result<Reason, Reason> {
    let service_index = found.service;
    let service = tables.service(service_index).ok_or(Reason::Inconsistent)?;
    let seed = tables.settings().flow_seed;
    let choice = choose(packet, tables, parsed, service_index, service)?;
    let backend_index = choice.backend;
    let backend = tables.backend(backend_index).ok_or(Reason::Inconsistent)?;
    select::check(backend)?;
    if parsed.ip.length > u32::from(backend.mtu) {
        found.backend = backend_index;
        return Err(found.too_big(backend.mtu.into()));
    }
    let opening = Opening {
        parsed,
        service: service_index,
        backend_index,
        backend,
        client: link_back(packet, parsed),
    };
    let port = claim(tables, &opening, parsed.key.hash(seed))?;
    let flow = opening.forward(tables.now(), port);
    let becomes = match tables.insert_flow(FlowTable::HalfOpen, &parsed.key, &flow) {
        Ok(()) => flow.becomes(),
        Err(error) => instead(tables, parsed, backend_index, &flow.becomes(), error)?,
    };
    rewrite(packet, parsed, &becomes, &backend.link).ok_or(Reason::Inconsistent)?;
    tables.count_forwarded(backend_index, ip_bytes(parsed), true);
    found.backend = backend_index;
    found.interface = backend.link.interface();
    Ok(choice.reason)
}

/// What the packet becomes if its flow could not be entered: if another CPU has started the same
/// flow meanwhile, what that one's becomes. A port claimed for nothing is given back: answers to it
/// would otherwise be taken for the flow's, whose own claim would then be thought unused.
#[inline(always)]
fn instead<F: Family, T: FamilyTables<F>>(
    tables: &T,
    parsed: &Parsed<F>,
    backend: u32,
    ours: &F::Rewrite,
    error: InsertError,
) -> Result<F::Rewrite, Reason> {
    let claimed = parsed.key.opposite(ours);
    let theirs = match error {
        InsertError::Exists => known::find(tables, &parsed.key),
        InsertError::Full => None,
    };
    let Some(theirs) = theirs else {
        tables.remove_flow(FlowTable::HalfOpen, &claimed);
        return Err(Reason::FlowTableFull);
    };
    if theirs.becomes != *ours {
        tables.remove_flow(FlowTable::HalfOpen, &claimed);
    }
    // Its slot may have changed between the two.
    if theirs.backend != backend {
        return Err(Reason::FlowTableFull);
    }
    Ok(theirs.becomes)
}

/// The backend of a new flow: by connection id if there is one that a server made (the client has
/// changed its address), else by the slot.
#[inline(always)]
fn choose<F: Header, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    index: u32,
    service: &Service,
) -> Result<Choice, Reason> {
    let mut reason = Reason::NewFlow;
    if tables.settings().features & feature::QUIC != 0
        && service.flags & QUIC != 0
        && parsed.segment.transport == Transport::Udp
    {
        match select::route(packet, tables, parsed, index, service) {
            Routed::Backend(backend) => {
                let reason = Reason::ForwardedByConnectionId;
                return Ok(Choice { backend, reason });
            }
            Routed::Unknown => reason = Reason::UnknownConnectionId,
            Routed::No => {}
        }
    }
    let hash = select::slot_hash::<F>(&parsed.key, service, tables.settings().flow_seed);
    let backend = select::slot(tables, service, hash)?.current();
    Ok(Choice { backend, reason })
}
