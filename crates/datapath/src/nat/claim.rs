//! Claims a source port for a new flow.

use abi::backend::{Backend, Link};
use abi::directory::{KeyV4, SERVICE};
use abi::flow::{FORWARD, FlowKeyV4, FlowV4, REVERSE, Rewrite};
use abi::limits::PORT_CANDIDATES;
use abi::reason::Reason;
use wire::Be16;
use wire::checksum::Delta;
use wire::ipv4;

use crate::classify;
use crate::{FlowTable, InsertError, Parsed, Tables};

/// Everything about a new flow but its port.
pub(super) struct Opening<'p> {
    pub(super) parsed: &'p Parsed,
    pub(super) service: u32,
    pub(super) backend_index: u32,
    pub(super) backend: &'p Backend,
    pub(super) client: Link,
}

/// Finds a free source port, the client's own first, and holds it by entering the reverse
/// direction in the half-open table. Returns the port.
#[inline(always)]
pub(super) fn claim<T: Tables>(
    tables: &T,
    opening: &Opening<'_>,
    hash: u64,
) -> Result<Be16, Reason> {
    let settings = tables.settings();
    let now = tables.now();
    for i in 0..PORT_CANDIDATES {
        let is_clients_port = i == 0;
        let port = if is_clients_port {
            opening.parsed.key.source_port()
        } else {
            settings.port_candidate(hash as u32, i)
        };
        let key = opening.reverse_key(port);
        if port.raw() == 0 || is_service(tables, &key) {
            continue;
        }
        if try_claim(tables, &key, &opening.reverse(&key, now), is_clients_port)? {
            return Ok(port);
        }
    }
    Err(Reason::PortsExhausted)
}

/// Whether replies to this port would be taken for a service's own packets.
#[inline(always)]
fn is_service<T: Tables>(tables: &T, key: &FlowKeyV4) -> bool {
    let key = KeyV4::new(key.destination(), key.destination_port(), key.protocol());
    classify::entry(tables, key).is_some_and(|entry| entry.kind & SERVICE != 0)
}

/// Whether the tuple could be had.
#[inline(always)]
fn try_claim<T: Tables>(
    tables: &T,
    key: &FlowKeyV4,
    flow: &FlowV4,
    is_clients_port: bool,
) -> Result<bool, Reason> {
    if is_established(tables, key) {
        return Ok(false);
    }
    match tables.insert_flow(FlowTable::HalfOpen, key, flow) {
        Ok(()) => {}
        Err(InsertError::Full) => return Err(Reason::FlowTableFull),
        // Only there: a look keeps an entry among the recent ones. If every new flow looked at a
        // dozen claims of a flood, these would never be pushed out, and everything else would.
        Err(InsertError::Exists) => return Ok(is_clients_port && take_up(tables, key, flow)),
    }
    // The holder of the half-open tuple may have been promoted between the two steps above.
    if is_established(tables, key) {
        tables.remove_flow(FlowTable::HalfOpen, key);
        return Ok(false);
    }
    Ok(true)
}

/// Takes up the client's own claim, whose forward half was pushed out.
#[inline(always)]
fn take_up<T: Tables>(tables: &T, key: &FlowKeyV4, flow: &FlowV4) -> bool {
    let ours = tables.flow(FlowTable::HalfOpen, key, |entry| {
        let ours = entry.becomes == flow.becomes;
        if ours {
            entry.client = flow.client;
            entry.last_seen = flow.last_seen;
        }
        ours
    });
    ours == Some(true)
}

#[inline(always)]
fn is_established<T: Tables>(tables: &T, key: &FlowKeyV4) -> bool {
    tables.flow(FlowTable::Established, key, |_| ()).is_some()
}

impl Opening<'_> {
    /// The port the backend is reached on.
    #[inline(always)]
    fn backend_port(&self) -> Be16 {
        if self.backend.port.raw() == 0 {
            self.parsed.key.destination_port()
        } else {
            self.backend.port
        }
    }

    /// The 5-tuple of replies to `port` of ours.
    #[inline(always)]
    fn reverse_key(&self, port: Be16) -> FlowKeyV4 {
        FlowKeyV4::new(
            self.backend.address.as_v4(),
            self.backend.nat_source.as_v4(),
            self.backend_port(),
            port,
            self.parsed.key.protocol(),
        )
    }

    /// The entry of the packets to the backend.
    #[inline(always)]
    pub(super) fn forward(&self, now: u32, port: Be16) -> FlowV4 {
        let packet_becomes = FlowKeyV4::new(
            self.backend.nat_source.as_v4(),
            self.backend.address.as_v4(),
            port,
            self.backend_port(),
            self.parsed.key.protocol(),
        );
        self.entry(&self.parsed.key, &packet_becomes, now, FORWARD)
    }

    /// The entry of the packets to the client, which arrive with `key`.
    #[inline(always)]
    fn reverse(&self, key: &FlowKeyV4, now: u32) -> FlowV4 {
        let original = &self.parsed.key;
        let packet_becomes = FlowKeyV4::new(
            original.destination(),
            original.source(),
            original.destination_port(),
            original.source_port(),
            original.protocol(),
        );
        self.entry(key, &packet_becomes, now, REVERSE)
    }

    #[inline(always)]
    fn entry(&self, from: &FlowKeyV4, to: &FlowKeyV4, now: u32, direction: u8) -> FlowV4 {
        let addresses = Delta::NONE
            .double_word(from.source(), to.source())
            .double_word(from.destination(), to.destination());
        let transport = addresses
            .word(from.source_port(), to.source_port())
            .word(from.destination_port(), to.destination_port());
        FlowV4 {
            becomes: Rewrite {
                source: to.source(),
                destination: to.destination(),
                source_port: to.source_port(),
                destination_port: to.destination_port(),
                ip_delta: ipv4::with_ttl_decrement(addresses).fold(),
                transport_delta: transport.fold(),
            },
            service: self.service,
            backend: self.backend_index,
            client: self.client,
            last_seen: now,
            direction,
            ..FlowV4::default()
        }
    }
}
