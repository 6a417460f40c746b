//! In which order a change is written: what others lead to first, and what leads there last; what
//! goes, in reverse. Packets see it half done, and every half is right.

use std::collections::BTreeMap;

use abi::family::{Address as _, Family, V4, V6};
use abi::prefix::PrefixKey as _;
use wire::Be16;

use super::Plan;
use super::keys::{Keys, PrefixKey, server_key};
use super::plan::Writes;
use crate::EngineError;
use crate::directory::{Directory, address};
use crate::maps::Maps;

/// Writes a plan. If that fails, whatever was written is taken back.
pub(crate) fn write<M: Maps>(maps: &mut M, old: &Keys, plan: &Plan) -> Result<(), EngineError> {
    let result = write_all(maps, old, plan);
    if result.is_err() {
        take_back(maps, old, plan);
    }
    result
}

fn write_all<M: Maps>(maps: &mut M, old: &Keys, plan: &Plan) -> Result<(), EngineError> {
    let writes = &plan.writes;
    write_backends(maps, writes)?;
    for (region, content) in &writes.regions {
        maps.write_slots(region.first, content);
    }
    for (index, new, _) in &writes.slots {
        maps.write_slots(*index, &[*new]);
    }
    write_services(maps, writes)?;
    write_keys(maps, old, &plan.keys)?;
    // The directory comes last of what can be taken back: its copies fit, or the plan had failed.
    if let Some(directory) = &plan.directory_v4 {
        maps.write_directory(directory)?;
    }
    if let Some(directory) = &plan.directory_v6 {
        maps.write_directory(directory)?;
    }
    write_services(maps, &plan.last_writes)?;
    write_backends(maps, &plan.last_writes)
}

fn write_backends<M: Maps>(maps: &mut M, writes: &Writes) -> Result<(), EngineError> {
    for (index, new, old) in &writes.backends {
        if *old == abi::backend::Backend::default() {
            maps.clear_counters(*index)?;
        }
        maps.write_backend(*index, new)?;
    }
    Ok(())
}

fn write_services<M: Maps>(maps: &mut M, writes: &Writes) -> Result<(), EngineError> {
    for (index, new, _) in &writes.services {
        maps.write_service(*index, new)?;
    }
    Ok(())
}

/// Writes the difference between two sets of keys, the directory included.
pub(crate) fn write_all_keys<M: Maps>(
    maps: &mut M,
    old: &Keys,
    new: &Keys,
) -> Result<(), EngineError> {
    write_keys(maps, old, new)?;
    if old.directory == new.directory {
        return Ok(());
    }
    maps.write_directory(&Directory::<V4>::build(&new.directory)?)?;
    maps.write_directory(&Directory::<V6>::build(&new.directory)?)
}

/// Writes the difference between two sets of keys, without the directory: first what is new.
fn write_keys<M: Maps>(maps: &mut M, old: &Keys, new: &Keys) -> Result<(), EngineError> {
    for (key, backend) in difference(&new.quic_servers, &old.quic_servers) {
        maps.write_quic_server(&server_key(*key), Some(*backend))?;
    }
    for (key, service) in difference(&new.prefixes, &old.prefixes) {
        write_prefix(maps, key, Some(*service))?;
    }
    for key in old
        .prefixes
        .keys()
        .filter(|key| !new.prefixes.contains_key(key))
    {
        write_prefix(maps, key, None)?;
    }
    for key in old.quic_servers.keys() {
        if !new.quic_servers.contains_key(key) {
            maps.write_quic_server(&server_key(*key), None)?;
        }
    }
    Ok(())
}

fn difference<'m, K: Ord, V: PartialEq>(
    new: &'m BTreeMap<K, V>,
    old: &'m BTreeMap<K, V>,
) -> impl Iterator<Item = (&'m K, &'m V)> {
    new.iter()
        .filter(|(key, value)| old.get(key) != Some(value))
}

fn write_prefix<M: Maps>(
    maps: &mut M,
    key: &PrefixKey,
    service: Option<u32>,
) -> Result<(), EngineError> {
    if key.prefix.is_ipv6() {
        maps.write_prefix::<V6>(&stored::<V6>(key), service)
    } else {
        maps.write_prefix::<V4>(&stored::<V4>(key), service)
    }
}

fn stored<F: Family>(key: &PrefixKey) -> F::PrefixKey {
    let address = F::Address::from_stored(&address(key.prefix.address()));
    let bits = key.prefix.length().into();
    F::PrefixKey::new(address, bits, Be16::new(key.port), key.protocol)
}

/// As well as it goes: an error on the way back is hidden by the one that was the reason.
fn take_back<M: Maps>(maps: &mut M, old: &Keys, plan: &Plan) {
    let _ = write_keys(maps, &plan.keys, old);
    for (index, _, old) in plan.writes.services.iter().rev() {
        let _ = maps.write_service(*index, old);
    }
    for (index, _, old) in plan.writes.slots.iter().rev() {
        maps.write_slots(*index, &[*old]);
    }
    for (index, _, old) in plan.writes.backends.iter().rev() {
        let _ = maps.write_backend(*index, old);
    }
}
