//! In which order a change is written, so that packets, who see it half done, find every half right,
//! and so that it can be taken back:
//!
//! 1. new regions, which nothing leads to yet;
//! 2. what can fail, step by step: what others lead to first and what leads there last; what goes,
//!    in reverse. If a step fails, those before it are taken back, the last one first;
//! 3. the slots of regions that packets read. That cannot fail, and it is not to be taken back: from
//!    then on flows are entered, which a slot that is steady again would not look for.

use std::collections::{BTreeMap, BTreeSet};

use abi::backend::Backend;
use abi::family::{Address as _, Family, V4, V6};
use abi::prefix::PrefixKey as _;
use wire::Be16;

use super::Plan;
use super::keys::{Keys, PrefixKey, server_key};
use super::plan::{BackendWrite, ServiceWrite};
use crate::EngineError;
use crate::directory::{Directory, address};
use crate::maps::Maps;

/// Writes a plan, or, after an error, nothing of it.
pub(crate) fn write<M: Maps>(maps: &mut M, old: &Keys, plan: &Plan) -> Result<(), EngineError> {
    for (region, content) in &plan.writes.regions {
        maps.write_slots(region.first, content);
    }
    take(maps, old, &steps(old, plan))?;
    for (index, new, _) in &plan.writes.slots {
        maps.write_slots(*index, &[*new]);
    }
    Ok(())
}

/// Writes the difference between two sets of keys, the directories included, or, after an error,
/// nothing of it.
pub(crate) fn write_keys<M: Maps>(maps: &mut M, old: &Keys, new: &Keys) -> Result<(), EngineError> {
    let mut steps = Vec::new();
    steps_of_keys(&mut steps, old, new);
    let directories = match old.directory == new.directory {
        true => None,
        false => Some((
            Directory::build(&new.directory)?,
            Directory::build(&new.directory)?,
        )),
    };
    if let Some((v4, v6)) = &directories {
        steps.extend([Step::DirectoryV4(v4), Step::DirectoryV6(v6)]);
    }
    take(maps, old, &steps)
}

/// What can fail, and can be taken back.
enum Step<'p> {
    Backend(&'p BackendWrite),
    Service(&'p ServiceWrite),
    /// A server id, the backend that it leads to, and the one that it led to.
    QuicServer((u64, u64), [Option<u32>; 2]),
    /// A prefix, the service that it leads to, and the one that it led to.
    Prefix(PrefixKey, [Option<u32>; 2]),
    DirectoryV4(&'p Directory<V4>),
    DirectoryV6(&'p Directory<V6>),
}

fn steps<'p>(old: &Keys, plan: &'p Plan) -> Vec<Step<'p>> {
    let writes = &plan.writes;
    let mut steps: Vec<Step<'p>> = Vec::with_capacity(writes.entries());
    // Whose packets leave from another address of ours is told when its answers are found by that.
    let is_new = |write: &&BackendWrite| write.2 == Backend::default();
    let (new, others): (Vec<_>, Vec<_>) = writes.backends.iter().partition(is_new);
    steps.extend(new.into_iter().map(Step::Backend));
    steps.extend(writes.services.iter().map(Step::Service));
    if let Some(keys) = &plan.keys {
        steps_of_keys(&mut steps, old, keys);
    }
    steps.extend(plan.directory_v4.iter().map(Step::DirectoryV4));
    steps.extend(plan.directory_v6.iter().map(Step::DirectoryV6));
    steps.extend(others.into_iter().map(Step::Backend));
    steps.extend(writes.removed.iter().map(Step::Service));
    steps.extend(writes.dead.iter().map(Step::Backend));
    steps
}

/// Of the keys outside of the directories: first what is new or leads elsewhere.
fn steps_of_keys(steps: &mut Vec<Step<'_>>, old: &Keys, new: &Keys) {
    let servers = difference(&old.quic_servers, &new.quic_servers);
    let prefixes = difference(&old.prefixes, &new.prefixes);
    let goes = |leads: &[Option<u32>; 2]| leads[0].is_none();
    let (gone, come): (Vec<_>, Vec<_>) = servers.into_iter().partition(|(_, leads)| goes(leads));
    let (prefixes_gone, prefixes_come): (Vec<_>, Vec<_>) =
        prefixes.into_iter().partition(|(_, leads)| goes(leads));
    let server = |(key, leads)| Step::QuicServer(key, leads);
    let prefix = |(key, leads)| Step::Prefix(key, leads);
    steps.extend(come.into_iter().map(server));
    steps.extend(prefixes_come.into_iter().map(prefix));
    steps.extend(prefixes_gone.into_iter().map(prefix));
    steps.extend(gone.into_iter().map(server));
}

/// The keys that lead elsewhere, each with where it leads and where it led.
fn difference<K: Ord + Copy>(
    old: &BTreeMap<K, u32>,
    new: &BTreeMap<K, u32>,
) -> Vec<(K, [Option<u32>; 2])> {
    let keys: BTreeSet<K> = old.keys().chain(new.keys()).copied().collect();
    let leads = |key| [new.get(&key).copied(), old.get(&key).copied()];
    keys.into_iter()
        .map(|key| (key, leads(key)))
        .filter(|(_, [new, old])| new != old)
        .collect()
}

/// Takes all steps. If one fails, those before it are taken back.
fn take<M: Maps>(maps: &mut M, old: &Keys, steps: &[Step<'_>]) -> Result<(), EngineError> {
    for (done, step) in steps.iter().enumerate() {
        let Err(error) = step.take(maps) else {
            continue;
        };
        let mut back = Ok(());
        for step in steps.iter().take(done).rev() {
            // As well as it goes: of several errors the first is told.
            back = back.and(step.take_back(maps, old));
        }
        return Err(match back {
            Ok(()) => error,
            Err(back) => EngineError::HalfChanged {
                error: error.into(),
                back: back.into(),
            },
        });
    }
    Ok(())
}

impl Step<'_> {
    fn take<M: Maps>(&self, maps: &mut M) -> Result<(), EngineError> {
        match self {
            Step::Backend((index, new, old)) => {
                if *old == Backend::default() {
                    maps.clear_counters(*index)?;
                }
                maps.write_backend(*index, new)
            }
            Step::Service((index, new, _)) => maps.write_service(*index, new),
            Step::QuicServer(key, [new, _]) => maps.write_quic_server(&server_key(*key), *new),
            Step::Prefix(key, [new, _]) => write_prefix(maps, key, *new),
            Step::DirectoryV4(directory) => maps.write_directory(directory),
            Step::DirectoryV6(directory) => maps.write_directory(directory),
        }
    }

    fn take_back<M: Maps>(&self, maps: &mut M, keys: &Keys) -> Result<(), EngineError> {
        match self {
            Step::Backend((index, _, old)) => maps.write_backend(*index, old),
            Step::Service((index, _, old)) => maps.write_service(*index, old),
            Step::QuicServer(key, [_, old]) => maps.write_quic_server(&server_key(*key), *old),
            Step::Prefix(key, [_, old]) => write_prefix(maps, key, *old),
            Step::DirectoryV4(_) => maps.write_directory(&Directory::<V4>::build(&keys.directory)?),
            Step::DirectoryV6(_) => maps.write_directory(&Directory::<V6>::build(&keys.directory)?),
        }
    }
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
