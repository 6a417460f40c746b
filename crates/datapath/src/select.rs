//! Which backend a new flow goes to (DESIGN: 3.2, 3.3).

use abi::flow::FlowKeyV4;
use abi::reason::Reason;
use abi::service::{AFFINITY_SOURCE, Service};
use abi::slot;

use crate::Tables;

/// The seeded hash of a whole 5-tuple.
#[inline(always)]
pub(crate) fn flow_hash(key: &FlowKeyV4, seed: u64) -> u64 {
    mix(mix(key.addresses() ^ seed) ^ key.ports_protocol())
}

/// The hash whose top bits pick the slot: of the 5-tuple, or of the client's address alone.
#[inline(always)]
pub(crate) fn slot_hash(key: &FlowKeyV4, service: &Service, seed: u64) -> u64 {
    if service.flags & AFFINITY_SOURCE != 0 {
        return mix(u64::from(key.source().raw()) ^ seed);
    }
    flow_hash(key, seed)
}

/// The finalizer of MurmurHash3 (fmix64): every bit of the value reaches every bit of the hash.
#[inline(always)]
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let value = (value ^ value >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ value >> 33
}

/// The backend of the slot that `hash` falls on.
#[inline(always)]
pub(crate) fn backend<T: Tables>(tables: &T, service: &Service, hash: u64) -> Result<u32, Reason> {
    if !service.ring.exists() {
        return Err(Reason::NoBackend);
    }
    let slot = tables
        .slot(service.ring.slot(hash))
        .ok_or(Reason::Inconsistent)?;
    if slot.state() == slot::EMPTY {
        return Err(Reason::NoBackend);
    }
    Ok(slot.current())
}
