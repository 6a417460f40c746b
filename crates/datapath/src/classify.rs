//! Which service a packet is for (DESIGN: 3.1). Exact (address, port, protocol) first, then
//! any-port, then, only if there are any, prefixes: two array reads at most without them.

use abi::control::feature;
use abi::directory::{
    ANY_PORT, Bucket as _, DNAT_BACKEND, DirectoryKey as _, NAT_SOURCE, SERVICE, Target, VIP,
};
use abi::family::Family;
use abi::flow::FlowKey as _;
use abi::prefix::PrefixKey as _;
use wire::Be16;

use crate::{FamilyTables, Tables};

/// Where a packet is headed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headed {
    /// To this service, or back from one of its backends if the address is also `nat`'s source.
    Service(u32),
    /// To a source address of `nat` mode: a backend's reply or the host's own traffic.
    NatSource,
    /// From a backend of this service of mode `dnat`.
    FromDnatBackend(u32),
    /// Elsewhere.
    Elsewhere,
}

/// Where a packet with this 5-tuple is headed.
#[inline(always)]
pub(crate) fn classify<F: Family, T: Tables + FamilyTables<F>>(
    key: &F::FlowKey,
    tables: &T,
) -> Headed {
    let settings = tables.settings();
    let features = settings.features;
    let protocol = key.protocol();
    if let Some(target) = lookup(tables, key.destination(), key.destination_port(), protocol)
        // Destination port 0 finds an any-port key here already, to the same effect.
        && target.kind & SERVICE != 0
    {
        return Headed::Service(target.service);
    }
    if settings.any_port != 0
        && let Some(target) = lookup(tables, key.destination(), ANY_PORT, protocol)
    {
        if target.kind & SERVICE != 0 {
            return Headed::Service(target.service);
        }
        if target.kind & NAT_SOURCE != 0 {
            return Headed::NatSource;
        }
    }
    if features & feature::PREFIX != 0
        && let Some(service) = prefix(tables, key)
    {
        return Headed::Service(service);
    }
    if features & feature::DNAT != 0
        && let Some(service) = dnat_backend(tables, key.source(), key.source_port(), protocol)
    {
        return Headed::FromDnatBackend(service);
    }
    Headed::Elsewhere
}

/// Whether this is to an address that has services, or to a source address of `nat`.
#[inline(always)]
pub(crate) fn is_to_ours<F: Family, T: FamilyTables<F>>(key: &F::FlowKey, tables: &T) -> bool {
    lookup(tables, key.destination(), ANY_PORT, key.protocol())
        .is_some_and(|target| target.kind & (SERVICE | VIP | NAT_SOURCE) != 0)
}

#[inline(always)]
fn prefix<F: Family, T: FamilyTables<F>>(tables: &T, key: &F::FlowKey) -> Option<u32> {
    let find = |port| {
        let bits = size_of::<F::Address>() as u32 * 8;
        tables.prefix(&F::PrefixKey::new(
            key.destination(),
            bits,
            port,
            key.protocol(),
        ))
    };
    find(key.destination_port()).or_else(|| find(ANY_PORT))
}

/// The service of mode `dnat` that this is a backend of.
#[inline(always)]
pub(crate) fn dnat_backend<F: Family, T: FamilyTables<F>>(
    tables: &T,
    address: F::Address,
    port: Be16,
    protocol: u8,
) -> Option<u32> {
    let find = |port| {
        let target = lookup(tables, address, port, protocol)?;
        (target.kind & DNAT_BACKEND != 0).then_some(target.service)
    };
    find(port).or_else(|| find(ANY_PORT))
}

/// The directory's entry of a key.
#[inline(always)]
pub(crate) fn lookup<F: Family, T: FamilyTables<F>>(
    tables: &T,
    address: F::Address,
    port: Be16,
    protocol: u8,
) -> Option<Target> {
    let key = F::DirectoryKey::new(address, port, protocol);
    tables.bucket(tables.directory().bucket(&key))?.find(&key)
}
