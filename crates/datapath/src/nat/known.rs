//! Packets of flows that are in a table, in both directions.

use abi::backend::{Link, RESOLVED};
use abi::flow::{ANSWERED, FIN_SEEN, FORWARD, FlowV4, RST_SEEN, Rewrite};
use abi::reason::Reason;
use wire::tcp;

use super::promote::{Promotion, promote};
use super::rewrite::rewrite;
use super::{ip_bytes, link_back};
use crate::{FlowTable, Packet, Parsed, Segment, Tables, Transport, Verdict};

/// A RST this far ahead of what the backend acknowledged is taken to be genuine. The backend
/// itself insists on an exact match (RFC 5961, section 3.2), but its acknowledgment may not have
/// come by yet. A blind attacker hits this window once in 4,096 tries for each 4-tuple.
const RESET_WINDOW: u32 = 1 << 20;

/// What a packet needs of its flow's entry, copied out at once.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) becomes: Rewrite,
    pub(super) direction: u8,
    service: u32,
    backend: u32,
    client: Link,
    seen: u8,
}

/// Sends the packet on if its flow is known.
#[inline(always)]
pub(super) fn forward<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed,
) -> Option<Verdict> {
    let link = link_back(packet, parsed);
    let now = tables.now();
    let find = |table| tables.flow(table, &parsed.key, |entry| see(entry, parsed, &link, now));

    let mut table = FlowTable::Established;
    let mut found = find(table);
    if found.is_none() {
        table = FlowTable::HalfOpen;
        found = find(table);
    }
    if found.is_none() && !parsed.segment.is_opening() {
        // Another CPU may have moved the flow over between the two lookups.
        table = FlowTable::Established;
        found = find(table);
    }
    let flow = found?;
    if flow.direction == FORWARD {
        if table == FlowTable::HalfOpen && !holds_claim(tables, parsed, &flow, now) {
            tables.remove_flow(table, &parsed.key);
            return None;
        }
        Some(to_backend(packet, tables, parsed, table, &flow))
    } else {
        Some(to_client(packet, tables, parsed, table, &flow))
    }
}

/// Whether the reverse half of a half-open flow is still there: it may have been pushed out, and
/// another flow may have its tuple by now. Looking at it also keeps it among the recent ones.
#[inline(always)]
fn holds_claim<T: Tables>(tables: &T, parsed: &Parsed, flow: &Known, now: u32) -> bool {
    let client = &parsed.key;
    let key = client.opposite(&flow.becomes);
    let ours = |reverse: &mut FlowV4| {
        let ours = reverse.leads_to(client);
        if ours {
            reverse.last_seen = now;
        }
        ours
    };
    // Established: another CPU has promoted the flow since.
    tables.flow(FlowTable::HalfOpen, &key, ours) == Some(true)
        || tables.flow(FlowTable::Established, &key, ours) == Some(true)
}

/// Notes in the flow's entry what this packet says, and returns the entry as it was before.
#[inline(always)]
fn see(entry: &mut FlowV4, parsed: &Parsed, link: &Link, now: u32) -> Known {
    let flow = Known {
        becomes: entry.becomes,
        direction: entry.direction,
        service: entry.service,
        backend: entry.backend,
        client: entry.client,
        seen: entry.seen,
    };
    if entry.last_seen != now {
        entry.last_seen = now;
    }
    let is_forward = flow.direction == FORWARD;
    if is_forward && flow.client != *link {
        entry.client = *link;
    }
    let segment = &parsed.segment;
    if segment.flags & tcp::FIN != 0 {
        entry.seen |= FIN_SEEN;
    }
    if !is_forward {
        match segment.transport {
            Transport::Tcp => see_backend_tcp(entry, segment),
            _ => entry.seen |= ANSWERED,
        }
    }
    flow
}

/// The part of [`see`] that only the backend is trusted with.
#[inline(always)]
fn see_backend_tcp(entry: &mut FlowV4, segment: &Segment) {
    let flags = segment.flags;
    if flags & tcp::ACK != 0 {
        entry.acknowledged = segment.acknowledgment.get();
    }
    if flags & tcp::RST != 0 {
        entry.seen |= RST_SEEN;
    }
    if flags & (tcp::SYN | tcp::ACK) == tcp::SYN | tcp::ACK {
        entry.handshake = segment.sequence.get().wrapping_add(1);
        entry.seen |= ANSWERED;
    }
}

/// Client to backend.
#[inline(always)]
fn to_backend<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed,
    table: FlowTable,
    flow: &Known,
) -> Verdict {
    let verdict = |reason| Verdict::of_backend(reason, flow.service, flow.backend);
    if parsed.ipv4.ttl <= 1 {
        return verdict(Reason::TtlExceeded);
    }
    let Some(backend) = tables.backend(flow.backend) else {
        return verdict(Reason::Inconsistent);
    };
    if backend.flags & RESOLVED == 0 {
        return verdict(Reason::NextHopUnknown);
    }
    let link = link_back(packet, parsed);
    if flow.client != link {
        tell_other(tables, parsed, table, flow, |reverse| reverse.client = link);
    }
    if parsed.segment.flags & (tcp::SYN | tcp::RST) != 0 {
        note_control_flags(tables, parsed, table, flow);
    }
    let mut reason = Reason::Forwarded;
    if table == FlowTable::HalfOpen && may_complete_handshake(&parsed.segment) {
        match promote(tables, parsed, flow) {
            Promotion::Done | Promotion::NotYet => {}
            Promotion::TableFull => reason = Reason::ForwardedTableFull,
            Promotion::TupleTaken => return verdict(Reason::NoFlow),
        }
    }
    if rewrite(packet, parsed, &flow.becomes, &backend.link).is_none() {
        return verdict(Reason::Inconsistent);
    }
    tables.count_forwarded(flow.backend, ip_bytes(&parsed.ipv4), false);
    Verdict {
        interface: backend.link.interface(),
        ..verdict(reason)
    }
}

/// Backend to client.
#[inline(always)]
fn to_client<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed,
    table: FlowTable,
    flow: &Known,
) -> Verdict {
    let verdict = |reason| Verdict::of_backend(reason, flow.service, flow.backend);
    if parsed.ipv4.ttl <= 1 {
        return verdict(Reason::TtlExceeded);
    }
    if table == FlowTable::HalfOpen {
        if parsed.segment.transport == Transport::Udp {
            // A full table is told by the client's packets; a reply goes out in any case.
            promote(tables, parsed, flow);
        } else {
            // Looking at the forward half keeps it among the recent ones, as its claim is by now.
            tell_other(tables, parsed, table, flow, |_| ());
        }
    }
    if rewrite(packet, parsed, &flow.becomes, &flow.client).is_none() {
        return verdict(Reason::Inconsistent);
    }
    tables.count_replied(flow.backend, ip_bytes(&parsed.ipv4));
    Verdict {
        interface: flow.client.interface(),
        ..verdict(Reason::Replied)
    }
}

/// An ACK without SYN. UDP flows are promoted by the backend's answer, or by what the client sends
/// after it if there was no room then.
#[inline(always)]
fn may_complete_handshake(segment: &Segment) -> bool {
    segment.transport == Transport::Udp || segment.flags & (tcp::SYN | tcp::ACK) == tcp::ACK
}

/// SYN and RST of a client: the first may open a closed flow again (the backend decides, as it
/// would without us), the second closes it.
#[inline(always)]
fn note_control_flags<T: Tables>(tables: &T, parsed: &Parsed, table: FlowTable, flow: &Known) {
    let sequence = parsed.segment.sequence.get();
    let reset = parsed.segment.flags & tcp::RST != 0;
    let opening = parsed.segment.is_opening();
    if opening && flow.seen != 0 {
        tables.flow(table, &parsed.key, |entry| entry.seen = 0);
    }
    tell_other(tables, parsed, table, flow, |reverse| {
        if opening {
            reverse.seen &= !(FIN_SEEN | RST_SEEN);
        } else if reset && sequence.wrapping_sub(reverse.acknowledged) < RESET_WINDOW {
            reverse.seen |= RST_SEEN;
        }
    });
}

/// Changes the other direction's entry.
#[inline(always)]
fn tell_other<T: Tables>(
    tables: &T,
    parsed: &Parsed,
    table: FlowTable,
    flow: &Known,
    change: impl FnOnce(&mut FlowV4),
) {
    let key = parsed.key.opposite(&flow.becomes);
    tables.flow(table, &key, change);
}
