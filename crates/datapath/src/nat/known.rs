//! Packets of flows that are in a table, in both directions.

use abi::backend::{ALIVE, Link, RESOLVED, TAKES_NEW};
use abi::family::Family;
use abi::flow::{ANSWERED, FIN_SEEN, FORWARD, Flow as _, FlowKey as _, FlowState, RST_SEEN};
use abi::reason::Reason;
use wire::tcp;

use super::promote::{Promotion, promote};
use super::rewrite::rewrite;
use super::{ip_bytes, link_back};
use crate::parse::Header;
use crate::verdict::Findings;
use crate::{FamilyTables, FlowTable, Packet, Parsed, Segment, Tables, Transport};

/// A RST this far ahead of what the backend acknowledged is taken to be genuine. The backend
/// itself insists on an exact match (RFC 5961, section 3.2), but its acknowledgment may not have
/// come by yet. A blind attacker hits this window once in 4,096 tries for each 4-tuple.
const RESET_WINDOW: u32 = 1 << 20;

/// Bytes of an IP packet that every IPv6 link carries (RFC 8200, section 5): links that carry less
/// are not looked for.
const FITS_EVERY_LINK: u32 = 1280;

/// What a packet needs of its flow's entry, copied out at once.
#[derive(Clone, Copy)]
pub(crate) struct Known<F: Family> {
    pub(crate) becomes: F::Rewrite,
    pub(crate) direction: u8,
    pub(crate) service: u32,
    pub(crate) backend: u32,
    pub(crate) client: Link,
    seen: u8,
}

/// Sends the packet on if its flow is known. A flow whose backend died is forgotten, and
/// `orphaned` says so.
#[inline(always)]
pub(super) fn forward<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    orphaned: &mut bool,
    found: &mut Findings,
) -> Option<Reason> {
    let link = link_back(packet, parsed);
    let now = tables.now();
    let look = |table| tables.flow(table, &parsed.key, |entry| see(entry, parsed, &link, now));

    let mut table = FlowTable::Established;
    let mut entry = look(table);
    if entry.is_none() {
        table = FlowTable::HalfOpen;
        entry = look(table);
    }
    if entry.is_none() && !parsed.segment.is_opening() {
        // Another CPU may have moved the flow over between the two lookups.
        table = FlowTable::Established;
        entry = look(table);
    }
    let flow = entry?;
    found.belongs(flow.service, flow.backend);
    if flow.direction == FORWARD {
        if table == FlowTable::HalfOpen && !holds_claim(tables, parsed, &flow, now) {
            tables.remove_flow(table, &parsed.key);
            return None;
        }
        to_backend(packet, tables, parsed, table, &flow, orphaned, found)
    } else {
        Some(to_client(packet, tables, parsed, table, &flow, found))
    }
}

/// The flow with this key, without noting anything: for errors about it.
#[inline(always)]
pub(crate) fn find<F: Family, T: FamilyTables<F>>(
    tables: &T,
    key: &F::FlowKey,
) -> Option<Known<F>> {
    tables
        .flow(FlowTable::Established, key, |entry| known(entry))
        .or_else(|| tables.flow(FlowTable::HalfOpen, key, |entry| known(entry)))
}

#[inline(always)]
fn known<F: Family>(entry: &F::Flow) -> Known<F> {
    let state = entry.state();
    Known {
        becomes: entry.becomes(),
        direction: state.direction,
        service: state.service,
        backend: state.backend,
        client: state.client,
        seen: state.seen,
    }
}

/// Whether the reverse half of a half-open flow is still there: it may have been pushed out, and
/// another flow may have its tuple by now. Looking at it also keeps it among the recent ones.
#[inline(always)]
fn holds_claim<F: Family, T: FamilyTables<F>>(
    tables: &T,
    parsed: &Parsed<F>,
    flow: &Known<F>,
    now: u32,
) -> bool {
    let client = &parsed.key;
    let key = client.opposite(&flow.becomes);
    let ours = |reverse: &mut F::Flow| {
        let ours = reverse.leads_to(client);
        if ours {
            reverse.state_mut().last_seen = now;
        }
        ours
    };
    // Established: another CPU has promoted the flow since.
    tables.flow(FlowTable::HalfOpen, &key, ours) == Some(true)
        || tables.flow(FlowTable::Established, &key, ours) == Some(true)
}

/// Notes in the flow's entry what this packet says, and returns the entry as it was before.
#[inline(always)]
fn see<F: Family>(entry: &mut F::Flow, parsed: &Parsed<F>, link: &Link, now: u32) -> Known<F> {
    let flow = known(entry);
    let state = entry.state_mut();
    if state.last_seen != now {
        state.last_seen = now;
    }
    let is_forward = flow.direction == FORWARD;
    if is_forward && flow.client != *link {
        state.client = *link;
    }
    let segment = &parsed.segment;
    if segment.flags & tcp::FIN != 0 {
        state.seen |= FIN_SEEN;
    }
    if !is_forward {
        match segment.transport {
            Transport::Tcp => see_backend_tcp(state, segment),
            _ => state.seen |= ANSWERED,
        }
    }
    flow
}

/// The part of [`see`] that only the backend is trusted with.
#[inline(always)]
fn see_backend_tcp(entry: &mut FlowState, segment: &Segment) {
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

/// Client to backend. `None` if the backend died or takes no new flows and this is one: the flow
/// is forgotten.
#[inline(always)]
fn to_backend<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    table: FlowTable,
    flow: &Known<F>,
    orphaned: &mut bool,
    found: &mut Findings,
) -> Option<Reason> {
    // Before anything else: this direction's entry has it already and will not say so again.
    let link = link_back(packet, parsed);
    if flow.client != link {
        tell_other(tables, parsed, table, flow, |reverse| reverse.client = link);
    }
    if parsed.ip.ttl <= 1 {
        return Some(Reason::TtlExceeded);
    }
    let Some(backend) = tables.backend(flow.backend) else {
        return Some(Reason::Inconsistent);
    };
    // A SYN behind the end of a connection is a new one; before, it is the first one repeated.
    let is_new = parsed.segment.is_opening() && flow.seen & FIN_SEEN != 0;
    if backend.flags & ALIVE == 0 || is_new && backend.flags & TAKES_NEW == 0 {
        tables.remove_flow(table, &parsed.key);
        tables.remove_flow(table, &parsed.key.opposite(&flow.becomes));
        *orphaned = true;
        return None;
    }
    if backend.flags & RESOLVED == 0 {
        return Some(Reason::NextHopUnknown);
    }
    if parsed.ip.length > u32::from(backend.mtu) {
        return Some(found.too_big(backend.mtu.into()));
    }
    if parsed.segment.flags & (tcp::SYN | tcp::RST) != 0 {
        note_control_flags(tables, parsed, table, flow);
    }
    let mut reason = Reason::Forwarded;
    if table == FlowTable::HalfOpen && may_complete_handshake(&parsed.segment) {
        match promote(tables, parsed, flow) {
            Promotion::Done | Promotion::NotYet => {}
            Promotion::TableFull => reason = Reason::ForwardedTableFull,
            Promotion::TupleTaken => return Some(Reason::NoFlow),
        }
    }
    if rewrite(packet, parsed, &flow.becomes, &backend.link).is_none() {
        return Some(Reason::Inconsistent);
    }
    tables.count_forwarded(flow.backend, ip_bytes(parsed), false);
    found.interface = backend.link.interface();
    Some(reason)
}

/// Backend to client.
#[inline(always)]
fn to_client<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    table: FlowTable,
    flow: &Known<F>,
    found: &mut Findings,
) -> Reason {
    if parsed.ip.ttl <= 1 {
        return Reason::TtlExceeded;
    }
    // What came in by an interface fits it, and nobody has to look.
    let way_out = flow.client.interface();
    if parsed.ip.length > FITS_EVERY_LINK
        && way_out != packet.ingress_interface()
        && let Some(mtu) = packet.too_big_for(way_out, parsed.ip.length)
    {
        return found.too_big(mtu);
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
        return Reason::Inconsistent;
    }
    tables.count_replied(flow.backend, ip_bytes(parsed));
    found.interface = way_out;
    Reason::Replied
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
fn note_control_flags<F: Family, T: FamilyTables<F>>(
    tables: &T,
    parsed: &Parsed<F>,
    table: FlowTable,
    flow: &Known<F>,
) {
    let sequence = parsed.segment.sequence.get();
    let reset = parsed.segment.flags & tcp::RST != 0;
    let opening = parsed.segment.is_opening();
    if opening && flow.seen != 0 {
        tables.flow(table, &parsed.key, |entry| entry.state_mut().seen = 0);
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
fn tell_other<F: Family, T: FamilyTables<F>>(
    tables: &T,
    parsed: &Parsed<F>,
    table: FlowTable,
    flow: &Known<F>,
    change: impl FnOnce(&mut FlowState),
) {
    let key = parsed.key.opposite(&flow.becomes);
    tables.flow(table, &key, |entry| change(entry.state_mut()));
}
