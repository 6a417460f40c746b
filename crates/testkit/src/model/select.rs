//! Which backend a packet goes to (DESIGN: 3.2).

use std::collections::HashMap;

use abi::reason::Reason;

use super::bytes::word;
use super::instance::{Instance, Quic, Slot};
use super::packet::{Flow, Packet, Part, TCP, UDP};

/// The flows that have entries.
pub(super) type Entries = HashMap<Flow, Entry>;

/// Where a flow belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    backend: usize,
    /// Its client has sent FIN or RST.
    is_closed: bool,
}

/// TCP flags of a packet; 0 for anything else.
pub(super) fn tcp_flags(frame: &[u8], packet: &Packet) -> u8 {
    match (packet.protocol, packet.part) {
        (TCP, Part::Whole | Part::First(_)) => frame[packet.transport + 13],
        _ => 0,
    }
}

/// SYN without ACK, RST or FIN.
pub(super) fn is_opening(frame: &[u8], packet: &Packet) -> bool {
    tcp_flags(frame, packet) & 0b1_0111 == 0b0_0010
}

/// FIN or RST.
fn is_closing(flags: u8) -> bool {
    flags & 0b0_0101 != 0
}

/// The backend of a packet, and the reason that goes with it.
pub(super) fn choose(
    instance: &Instance,
    entries: &mut Entries,
    service: usize,
    flow: &Flow,
    (is_opening, tcp_flags): (bool, u8),
) -> Result<(usize, Reason), Reason> {
    let slot = instance.slot_of(service, flow).ok_or(Reason::NoBackend)?;
    let is_tracked = instance.services[service].is_tracked;
    let reason = match is_opening {
        true => Reason::NewFlow,
        false => Reason::Forwarded,
    };
    if let (Slot::Steady(current), false) = (slot, is_tracked) {
        return Ok((current, reason));
    }
    if let Some(entry) = entry(instance, entries, flow) {
        entry.is_closed |= is_closing(tcp_flags);
        let is_again = is_opening && entry.is_closed;
        if is_again && !instance.backends[entry.backend].takes_new {
            let (Slot::Steady(backend) | Slot::Settling(backend) | Slot::Transition(backend, _)) =
                slot;
            *entry = Entry {
                backend,
                is_closed: false,
            };
            return Ok((backend, reason));
        }
        return Ok((entry.backend, Reason::Forwarded));
    }
    let (backend, reason) = match slot {
        Slot::Settling(current) if !is_tracked => return Ok((current, reason)),
        Slot::Steady(current) | Slot::Settling(current) => (current, reason),
        Slot::Transition(current, previous) => {
            match is_led_to(instance, flow, previous) && !is_opening {
                true => (previous, Reason::KeptByPrevious),
                false => (current, reason),
            }
        }
    };
    let entry = Entry {
        backend,
        is_closed: is_closing(tcp_flags),
    };
    entries.insert(*flow, entry);
    Ok((backend, reason))
}

/// Whether flows without an entry belong to the backend before the change. Datagrams do not say
/// that they are a flow's first, so they all count as such once it takes no new ones.
fn is_led_to(instance: &Instance, flow: &Flow, previous: usize) -> bool {
    let before = &instance.backends[previous];
    before.is_alive && (flow.protocol == TCP || before.takes_new)
}

/// The backend of a flow that an error is about: nothing is entered.
pub(super) fn backend_of(
    instance: &Instance,
    entries: &mut Entries,
    service: usize,
    flow: &Flow,
) -> Option<usize> {
    let slot = instance.slot_of(service, flow)?;
    let is_tracked = instance.services[service].is_tracked;
    if let (Slot::Steady(current), false) = (slot, is_tracked) {
        return Some(current);
    }
    Some(match (entry(instance, entries, flow), slot) {
        (Some(entry), _) => entry.backend,
        (None, Slot::Transition(_, previous)) if is_led_to(instance, flow, previous) => previous,
        (None, Slot::Steady(current) | Slot::Settling(current) | Slot::Transition(current, _)) => {
            current
        }
    })
}

/// An entry counts while its backend lives.
fn entry<'e>(instance: &Instance, entries: &'e mut Entries, flow: &Flow) -> Option<&'e mut Entry> {
    let entry = entries.get_mut(flow)?;
    instance.backends[entry.backend].is_alive.then_some(entry)
}

/// What a QUIC packet's connection id says: nothing, a backend, or one that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ById {
    Silent,
    Backend(usize),
    Unknown,
}

impl ById {
    /// The reason of a packet that is forwarded, which without an id would be `silent`.
    pub(super) fn reason_or(self, silent: Reason) -> Reason {
        match self {
            Self::Silent => silent,
            Self::Backend(_) => Reason::ForwardedByConnectionId,
            Self::Unknown => Reason::UnknownConnectionId,
        }
    }
}

/// RFC 9000 section 17, RFC 8999 section 5, draft-ietf-quic-load-balancers-21.
pub(super) fn by_id(instance: &Instance, quic: &Quic, frame: &[u8], packet: &Packet) -> ById {
    if packet.protocol != UDP || matches!(packet.part, Part::Later(_)) {
        return ById::Silent;
    }
    // A QUIC packet is so long (21 bytes at least: RFC 9000, section 10.3) that its end does not
    // matter here. What is shorter is none, and goes wherever the bytes behind it say.
    let payload = frame.get(packet.transport + 8..).unwrap_or_default();
    match id(quic, payload) {
        None => ById::Silent,
        Some(id) => match routed(quic, id) {
            Some(backend) if instance.backends[backend].is_alive => ById::Backend(backend),
            _ => ById::Unknown,
        },
    }
}

/// From the first octet of the destination connection id on, if a server made that. An id that has
/// no room for a server's says nothing, if its length is known.
fn id<'p>(quic: &Quic, payload: &'p [u8]) -> Option<&'p [u8]> {
    let is_long = payload.first()? & 0x80 != 0;
    let start = if is_long { 6 } else { 1 };
    let id = payload.get(start..).filter(|id| !id.is_empty());
    if !is_long {
        return id;
    }
    let version = (word(payload, 1)?, word(payload, 3)?);
    // Types 0 and 1 are Initial and 0-RTT in version 1; version 2 (RFC 9369) counts from one on.
    let kind = match version {
        (0x6b33, 0x43cf) => (payload[0] >> 4 & 3).wrapping_sub(1) & 3,
        _ => payload[0] >> 4 & 3,
    };
    let is_servers = kind >= 2 && usize::from(*payload.get(5)?) > quic.server_id_length;
    id.filter(|_| is_servers)
}

fn routed(quic: &Quic, id: &[u8]) -> Option<usize> {
    let (first, rest) = id.split_first()?;
    // 0b111 is reserved for ids that are not routable.
    if first >> 5 != quic.config || first >> 5 == 0b111 {
        return None;
    }
    // Behind any server id there is enough for eight bytes in all, or it is no QUIC packet.
    let server = rest.get(..8)?.get(..quic.server_id_length)?;
    quic.servers.get(server).copied()
}
