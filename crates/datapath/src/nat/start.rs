//! The first packet of a flow.

use abi::backend::RESOLVED;
use abi::reason::Reason;

use super::claim::{Opening, claim};
use super::rewrite::rewrite;
use super::{ip_bytes, link_back};
use crate::{FlowTable, Packet, Parsed, Tables, Transport, Verdict, select};

/// Picks a backend and a port for the packet's flow, enters it and sends the packet on.
#[inline(always)]
pub(super) fn start<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed,
    service: u32,
) -> Verdict {
    match try_start(packet, tables, parsed, service) {
        Ok(verdict) => verdict,
        Err(reason) => Verdict::of_service(reason, service),
    }
}

#[inline(always)]
fn try_start<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed,
    service_index: u32,
) -> Result<Verdict, Reason> {
    if parsed.segment.transport == Transport::Tcp && !parsed.segment.is_opening() {
        return Err(Reason::NoFlow);
    }
    if parsed.ipv4.ttl <= 1 {
        return Err(Reason::TtlExceeded);
    }
    let service = tables.service(service_index).ok_or(Reason::Inconsistent)?;
    let seed = tables.settings().flow_seed;
    let hash = select::slot_hash(&parsed.key, service, seed);
    let backend_index = select::backend(tables, service, hash)?;
    let backend = tables.backend(backend_index).ok_or(Reason::Inconsistent)?;
    if backend.flags & RESOLVED == 0 {
        return Err(Reason::NextHopUnknown);
    }
    let opening = Opening {
        parsed,
        service: service_index,
        backend_index,
        backend,
        client: link_back(packet, parsed),
    };
    let port = claim(tables, &opening, select::flow_hash(&parsed.key, seed))?;
    let flow = opening.forward(tables.now(), port);
    // Exists: another CPU started the same flow, at the same backend; its claim lapses unused.
    let entered = tables.insert_flow(FlowTable::HalfOpen, &parsed.key, &flow);
    if entered == Err(crate::InsertError::Full) {
        tables.remove_flow(FlowTable::HalfOpen, &parsed.key.opposite(&flow.becomes));
        return Err(Reason::FlowTableFull);
    }
    rewrite(packet, parsed, &flow.becomes, &backend.link).ok_or(Reason::Inconsistent)?;
    tables.count_forwarded(backend_index, ip_bytes(&parsed.ipv4), true);
    Ok(Verdict {
        interface: backend.link.interface(),
        ..Verdict::of_backend(Reason::NewFlow, service_index, backend_index)
    })
}
