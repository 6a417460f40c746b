//! Which backend a packet goes to (DESIGN: 3.2, 3.3).

mod exception;
mod quic;

pub(crate) use exception::{Choice, choose, peek};
pub(crate) use quic::{Routed, route};

use abi::backend::{ALIVE, Backend, RESOLVED};
use abi::family::{Address as _, Family};
use abi::flow::FlowKey as _;
use abi::reason::Reason;
use abi::service::{AFFINITY_SOURCE, AFFINITY_SOURCE_DESTINATION, Service};
use abi::slot::{self, Slot};

use crate::Tables;

/// The hash whose top bits pick the slot: of the 5-tuple, or of what the service's affinity says.
#[inline(always)]
pub(crate) fn slot_hash<F: Family>(key: &F::FlowKey, service: &Service, seed: u64) -> u64 {
    if service.flags & (AFFINITY_SOURCE | AFFINITY_SOURCE_DESTINATION) == 0 {
        return key.hash(seed);
    }
    let hash = key.source().mix(seed);
    if service.flags & AFFINITY_SOURCE != 0 {
        return hash;
    }
    key.destination().mix(hash)
}

/// The slot that `hash` falls on.
#[inline(always)]
pub(crate) fn slot<T: Tables>(tables: &T, service: &Service, hash: u64) -> Result<Slot, Reason> {
    if !service.ring.exists() {
        return Err(Reason::NoBackend);
    }
    let slot = tables
        .slot(service.ring.slot(hash))
        .ok_or(Reason::Inconsistent)?;
    if slot.state() == slot::EMPTY {
        return Err(Reason::NoBackend);
    }
    Ok(slot)
}

/// Whether packets can go to a backend. The owner of a slot is dead where nobody is left to own it.
#[inline(always)]
pub(crate) fn check(backend: &Backend) -> Result<(), Reason> {
    if backend.flags & (ALIVE | RESOLVED) == ALIVE | RESOLVED {
        return Ok(());
    }
    if backend.flags & ALIVE == 0 {
        return Err(Reason::NoBackend);
    }
    Err(Reason::NextHopUnknown)
}
