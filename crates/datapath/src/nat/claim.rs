//! Claims a source port for a new flow.

use abi::backend::{Backend, Link};
use abi::directory::SERVICE;
use abi::family::{Address as _, Family};
use abi::flow::{FORWARD, Flow as _, FlowKey as _, FlowState, REVERSE, Rewrite as _};
use abi::limits::PORT_CANDIDATES;
use abi::reason::Reason;
use wire::Be16;
use wire::checksum::Delta;

use super::promote::is_established;
use crate::classify;
use crate::{FamilyTables, FlowTable, InsertError, Parsed, Tables};

/// Everything about a new flow but its port.
pub(super) struct Opening<'p, F: Family> {
    pub(super) parsed: &'p Parsed<F>,
    pub(super) service: u32,
    pub(super) backend_index: u32,
    pub(super) backend: &'p Backend,
    pub(super) client: Link,
}

/// Finds a free source port, the client's own first unless the host keeps it for itself, and holds
/// it by entering the reverse direction in the half-open table. Returns the port.
#[inline(always)]
pub(super) fn claim<F: Family, T: Tables + FamilyTables<F>>(
    tables: &T,
    opening: &Opening<'_, F>,
    hash: u64,
) -> Result<Be16, Reason> {
    let settings = tables.settings();
    let now = tables.now();
    let own = opening.parsed.key.source_port();
    for i in u32::from(settings.is_kept(own))..PORT_CANDIDATES {
        let is_clients_port = i == 0;
        let port = if is_clients_port {
            own
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
fn is_service<F: Family, T: FamilyTables<F>>(tables: &T, key: &F::FlowKey) -> bool {
    classify::lookup(
        tables,
        key.destination(),
        key.destination_port(),
        key.protocol(),
    )
    .is_some_and(|target| target.kind & SERVICE != 0)
}

/// Whether the tuple could be had.
#[inline(always)]
fn try_claim<F: Family, T: FamilyTables<F>>(
    tables: &T,
    key: &F::FlowKey,
    flow: &F::Flow,
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
fn take_up<F: Family, T: FamilyTables<F>>(tables: &T, key: &F::FlowKey, flow: &F::Flow) -> bool {
    let ours = tables.flow(FlowTable::HalfOpen, key, |entry| {
        let ours = entry.becomes() == flow.becomes();
        if ours {
            entry.state_mut().client = flow.state().client;
            entry.state_mut().last_seen = flow.state().last_seen;
        }
        ours
    });
    ours == Some(true)
}

impl<F: Family> Opening<'_, F> {
    /// The port the backend is reached on.
    #[inline(always)]
    fn backend_port(&self) -> Be16 {
        if self.backend.port.raw() == 0 {
            self.parsed.key.destination_port()
        } else {
            self.backend.port
        }
    }

    /// The backend's address and ours towards it.
    #[inline(always)]
    fn addresses(&self) -> (F::Address, F::Address) {
        (
            F::Address::from_stored(&self.backend.address),
            F::Address::from_stored(&self.backend.source),
        )
    }

    /// The 5-tuple of replies to `port` of ours.
    #[inline(always)]
    fn reverse_key(&self, port: Be16) -> F::FlowKey {
        let (backend, ours) = self.addresses();
        let protocol = self.parsed.key.protocol();
        F::FlowKey::new(backend, ours, self.backend_port(), port, protocol)
    }

    /// The entry of the packets to the backend.
    #[inline(always)]
    pub(super) fn forward(&self, now: u32, port: Be16) -> F::Flow {
        let (backend, ours) = self.addresses();
        let protocol = self.parsed.key.protocol();
        let becomes = F::FlowKey::new(ours, backend, port, self.backend_port(), protocol);
        self.entry(&self.parsed.key, &becomes, now, FORWARD)
    }

    /// The entry of the packets to the client, which arrive with `key`.
    #[inline(always)]
    fn reverse(&self, key: &F::FlowKey, now: u32) -> F::Flow {
        self.entry(key, &self.parsed.key.reversed(), now, REVERSE)
    }

    #[inline(always)]
    fn entry(&self, from: &F::FlowKey, to: &F::FlowKey, now: u32, direction: u8) -> F::Flow {
        let addresses = F::Address::delta(Delta::NONE, from.source(), to.source());
        let addresses = F::Address::delta(addresses, from.destination(), to.destination());
        let transport = addresses
            .word(from.source_port(), to.source_port())
            .word(from.destination_port(), to.destination_port());
        let becomes = F::Rewrite::new(
            (to.source(), to.destination()),
            (to.source_port(), to.destination_port()),
            addresses.fold(),
            transport.fold(),
        );
        let state = FlowState {
            service: self.service,
            backend: self.backend_index,
            client: self.client,
            last_seen: now,
            direction,
            ..FlowState::default()
        };
        F::Flow::new(becomes, state)
    }
}
