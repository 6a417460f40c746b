//! Flows that are known one by one, to look at and to forget: those of `nat`, and the entries of the
//! exception table.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use abi::exception::Exception;
use abi::family::{Address as _, Family, V4, V6};
use abi::flow::{FIN_SEEN, FORWARD, Flow as _, FlowKey, RST_SEEN};

use crate::EngineError;
use crate::clock::tick;
use crate::desired::Prefix;
use crate::directory::{address, ip_address};
use crate::maps::{FlowTable, Maps};
use crate::sweep::age;

/// Which table a flow is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowKind {
    /// Mode `nat`.
    Nat,
    /// An entry of the exception table.
    Exception,
}

/// What tells flows apart; their order is that of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowName {
    /// Who began it.
    pub client: SocketAddr,
    /// What it asked for.
    pub destination: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Where it is known from.
    pub kind: FlowKind,
}

/// How far a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowPhase {
    /// Its handshake is not complete.
    HalfOpen,
    /// It goes on.
    Established,
    /// One side has said that it ends.
    Closing,
    /// It is over, and rests.
    Closed,
}

/// A flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFlow {
    /// Which.
    pub name: FlowName,
    /// Index of its service.
    pub service: u32,
    /// Index of its backend.
    pub backend: u32,
    /// How far it has come.
    pub phase: FlowPhase,
    /// Since its last packet.
    pub idle: Duration,
}

/// Which flows are meant: those that all of it is true of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowFilter {
    /// Indices of their services.
    pub services: Option<HashSet<u32>>,
    /// Indices of their backends.
    pub backends: Option<HashSet<u32>>,
    /// Where their clients are.
    pub clients: Option<Prefix>,
}

impl FlowFilter {
    fn takes(&self, service: u32, backend: u32, client: IpAddr) -> bool {
        let has = |set: &Option<HashSet<u32>>, index| {
            set.as_ref().is_none_or(|indices| indices.contains(&index))
        };
        has(&self.services, service)
            && has(&self.backends, backend)
            && self.clients.is_none_or(|prefix| prefix.contains(client))
    }
}

/// The first `limit` flows behind `after`, in the order of their names. All tables are read, so
/// that each flow which lasts is on exactly one page.
pub fn list<M: Maps>(
    maps: &mut M,
    filter: &FlowFilter,
    after: Option<FlowName>,
    limit: usize,
) -> Result<Vec<KnownFlow>, EngineError> {
    let mut page = Page {
        now: maps.now()?,
        tick: tick(),
        filter,
        after,
        limit,
        flows: BTreeMap::new(),
    };
    page.read::<V4, M>(maps)?;
    page.read::<V6, M>(maps)?;
    Ok(page.flows.into_values().collect())
}

struct Page<'a> {
    /// jiffies.
    now: u32,
    tick: Duration,
    filter: &'a FlowFilter,
    after: Option<FlowName>,
    limit: usize,
    flows: BTreeMap<FlowName, KnownFlow>,
}

impl Page<'_> {
    fn read<F: Family, M: Maps>(&mut self, maps: &M) -> Result<(), EngineError> {
        for table in [FlowTable::HalfOpen, FlowTable::Established] {
            maps.for_each_flow::<F>(table, &mut |key, flow| {
                let state = flow.state();
                if state.direction == FORWARD {
                    let phase = match table {
                        FlowTable::HalfOpen => FlowPhase::HalfOpen,
                        FlowTable::Established => FlowPhase::Established,
                    };
                    let flow = self.flow(
                        name::<F>(key, FlowKind::Nat),
                        (state.service, state.backend),
                        state.last_seen,
                    );
                    self.add(KnownFlow { phase, ..flow });
                }
            })?;
        }
        maps.for_each_exception::<F>(&mut |key, entry| {
            let name = name::<F>(key, FlowKind::Exception);
            let flow = self.flow(name, (entry.service, entry.backend), entry.last_seen);
            let phase = match entry.closed {
                0 => FlowPhase::Established,
                _ => FlowPhase::Closing,
            };
            self.add(KnownFlow { phase, ..flow });
        })?;
        self.complete::<F, M>(maps)
    }

    fn flow(&self, name: FlowName, (service, backend): (u32, u32), last_seen: u32) -> KnownFlow {
        KnownFlow {
            name,
            service,
            backend,
            phase: FlowPhase::Established,
            idle: self.tick * age(self.now, last_seen),
        }
    }

    fn add(&mut self, flow: KnownFlow) {
        if self.after.is_some_and(|after| flow.name <= after)
            || !self
                .filter
                .takes(flow.service, flow.backend, flow.name.client.ip())
        {
            return;
        }
        self.flows.insert(flow.name, flow);
        if self.flows.len() > self.limit {
            self.flows.pop_last();
        }
    }

    /// What the other halves of `nat` flows know.
    fn complete<F: Family, M: Maps>(&mut self, maps: &M) -> Result<(), EngineError> {
        let nat = (self.flows.values_mut()).filter(|flow| flow.name.kind == FlowKind::Nat);
        for flow in nat {
            let table = match flow.phase {
                FlowPhase::HalfOpen => FlowTable::HalfOpen,
                _ => FlowTable::Established,
            };
            let Some(key) = key::<F>(&flow.name) else {
                continue;
            };
            let Some(this) = maps.flow::<F>(table, &key)? else {
                continue;
            };
            let Some(other) = maps.flow::<F>(table, &key.opposite(&this.becomes()))? else {
                continue;
            };
            let (this, other) = (this.state(), other.state());
            flow.idle = flow.idle.min(self.tick * age(self.now, other.last_seen));
            if flow.phase == FlowPhase::Established {
                flow.phase = phase(this.seen, other.seen);
            }
        }
        Ok(())
    }
}

fn phase(this: u8, other: u8) -> FlowPhase {
    if (this | other) & RST_SEEN != 0 || this & other & FIN_SEEN != 0 {
        FlowPhase::Closed
    } else if (this | other) & FIN_SEEN != 0 {
        FlowPhase::Closing
    } else {
        FlowPhase::Established
    }
}

/// Forgets flows, both halves of `nat` ones, and says how many.
pub fn flush<M: Maps>(maps: &mut M, filter: &FlowFilter) -> Result<Flushed, EngineError> {
    let mut flushed = Flushed::default();
    flush_family::<V4, M>(maps, filter, &mut flushed)?;
    flush_family::<V6, M>(maps, filter, &mut flushed)?;
    Ok(flushed)
}

/// How many flows were forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Of `nat`.
    pub nat: u64,
    /// Of the exception table.
    pub exceptions: u64,
}

fn flush_family<F: Family, M: Maps>(
    maps: &mut M,
    filter: &FlowFilter,
    flushed: &mut Flushed,
) -> Result<(), EngineError> {
    for table in [FlowTable::HalfOpen, FlowTable::Established] {
        let mut keys = Vec::new();
        maps.for_each_flow::<F>(table, &mut |key, flow| {
            let state = flow.state();
            let client = ip::<F>(key.source());
            if state.direction == FORWARD && filter.takes(state.service, state.backend, client) {
                keys.push((*key, key.opposite(&flow.becomes())));
            }
        })?;
        for (forward, reverse) in keys {
            // The way back last, so that nobody else gets its ports meanwhile.
            flushed.nat += u64::from(maps.remove_flow::<F>(table, &forward)?);
            maps.remove_flow::<F>(table, &reverse)?;
        }
    }
    let mut keys = Vec::new();
    maps.for_each_exception::<F>(&mut |key, entry: &Exception| {
        let client = ip::<F>(key.source());
        if filter.takes(entry.service, entry.backend, client) {
            keys.push(*key);
        }
    })?;
    for key in keys {
        flushed.exceptions += u64::from(maps.remove_exception::<F>(&key)?);
    }
    Ok(())
}

fn ip<F: Family>(address: F::Address) -> IpAddr {
    ip_address(&address.stored(), F::IS_V6)
}

fn name<F: Family>(key: &F::FlowKey, kind: FlowKind) -> FlowName {
    FlowName {
        client: (ip::<F>(key.source()), key.source_port().get()).into(),
        destination: (ip::<F>(key.destination()), key.destination_port().get()).into(),
        protocol: key.protocol(),
        kind,
    }
}

/// `None`: it is of the other family.
fn key<F: Family>(name: &FlowName) -> Option<F::FlowKey> {
    let [client, destination] = [name.client, name.destination];
    (client.is_ipv6() == F::IS_V6).then(|| {
        F::FlowKey::new(
            F::Address::from_stored(&address(client.ip())),
            F::Address::from_stored(&address(destination.ip())),
            wire::Be16::new(client.port()),
            wire::Be16::new(destination.port()),
            name.protocol,
        )
    })
}
