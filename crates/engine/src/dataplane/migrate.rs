//! Pinned maps of earlier versions, made this version's in place.
//!
//! That is done while the earlier version's program runs on them, so a step may only fill in what that
//! version leaves alone. A version that is not here is refused.
//!
//! **No program ever pinned maps of version 3**: pinning came with version 4. Its migration is the
//! pattern for later ones, and shows that the hook works: `maps_of_version_3_become_this_versions` in
//! `tests/tests/program_pinned.rs`. A new version gets a step of its own here, and a test there.

use std::collections::BTreeMap;

use abi::NO_INDEX;
use abi::directory::{SERVICE, Target};
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::flow::Flow as _;
use abi::service::{self, Service};
use abi::slot::{EMPTY, TRANSITION};

use super::{DataPlane, Found};
use crate::EngineError;
use crate::directory::address;
use crate::maps::{FlowTable, Maps as _};

/// Versions that [`migrate`] understands, besides the current one.
pub(super) const EARLIER: [u32; 2] = [3, 4];

/// Makes maps of an earlier version the current one's. Version 4 kept a sum for outer headers in the
/// entries of backends, where this one has padding that it does not read: the first change writes it
/// over.
pub(super) fn migrate(plane: &mut DataPlane, version: u32) -> Result<(), EngineError> {
    match version {
        3 => from_3(plane),
        _ => Ok(()),
    }
}

/// Version 3 said neither which protocol and addresses a service has nor whose a backend is; the
/// directory, prefixes, slots and tables of flows do.
fn from_3(plane: &mut DataPlane) -> Result<(), EngineError> {
    let found = plane.found()?;
    for (index, entry) in identities(plane, &found) {
        plane.write_service(index, &entry)?;
    }
    let owners = owners(plane, &found)?;
    for (index, entry) in (0..).zip(&found.backends) {
        let Some(service) = owners.get(&index) else {
            // Nothing leads there: it is nobody's.
            plane.write_backend(index, &abi::backend::Backend::default())?;
            continue;
        };
        let mut entry = *entry;
        entry.service = *service;
        plane.write_backend(index, &entry)?;
    }
    Ok(())
}

/// The entries of all services that something leads to, with what they are.
fn identities(plane: &DataPlane, found: &Found) -> BTreeMap<u32, Service> {
    let mut entries = BTreeMap::new();
    let mut note = |index: u32, (stored, bits, protocol, is_v6): (_, u8, u8, bool)| {
        let Some(known) = found.services.get(index as usize) else {
            return;
        };
        let mut entry = *known;
        entry.protocol = protocol;
        entry.prefix_length = bits;
        entry.address = stored;
        entry.flags |= if is_v6 { service::IPV6 } else { 0 };
        entries.insert(index, entry);
    };
    for (key, target) in plane.keys::<V4>().into_iter().chain(plane.keys::<V6>()) {
        if is_service(&target) {
            let is_v6 = key.address.is_ipv6();
            let bits = if is_v6 { 128 } else { 32 };
            let stored = address(key.address);
            note(target.service, (stored, bits, key.protocol, is_v6));
        }
    }
    for (key, index) in &found.prefixes {
        let (first, length) = (key.prefix.address(), key.prefix.length());
        let stored = address(first);
        note(*index, (stored, length, key.protocol, first.is_ipv6()));
    }
    entries
}

fn is_service(target: &Target) -> bool {
    target.kind & SERVICE != 0 && target.service != NO_INDEX
}

/// The service of each backend that something leads to.
fn owners(plane: &DataPlane, found: &Found) -> Result<BTreeMap<u32, u32>, EngineError> {
    let mut owners = BTreeMap::new();
    for (index, service) in (0..).zip(&found.services) {
        let first = service.ring.first_slot();
        for place in 0..service.ring.length() {
            let slot = plane.slot(first + place);
            if slot.state() != EMPTY {
                owners.insert(slot.current(), index);
            }
            if slot.state() == TRANSITION {
                owners.insert(slot.previous(), index);
            }
        }
    }
    for ((service, _), backend) in &found.quic_servers {
        owners.insert(*backend, *service as u32);
    }
    owners_of_flows::<V4>(plane, &mut owners)?;
    owners_of_flows::<V6>(plane, &mut owners)?;
    Ok(owners)
}

fn owners_of_flows<F: Family>(
    plane: &DataPlane,
    owners: &mut BTreeMap<u32, u32>,
) -> Result<(), EngineError> {
    plane.for_each_exception::<F>(&mut |_, entry: &Exception| {
        owners.insert(entry.backend, entry.service);
    })?;
    for table in [FlowTable::Established, FlowTable::HalfOpen] {
        plane.for_each_flow::<F>(table, &mut |_, flow| {
            owners.insert(flow.state().backend, flow.state().service);
        })?;
    }
    Ok(())
}
