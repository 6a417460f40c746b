//! Which service a packet is for (DESIGN: 3.1). Exact (address, port, protocol) first, then
//! any-port: two array reads at most.

use abi::directory::{ANY_PORT, EntryV4, KeyV4, NAT_SOURCE, SERVICE, VIP};
use wire::Be16;

use crate::{Parsed, Tables, Transport};

/// Where a packet is headed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To this service, or back from one of its backends if the address is also `nat`'s source.
    Service(u32),
    /// To a source address of `nat` mode: a backend's reply or the host's own traffic.
    NatSource,
    /// To an address that has services; the fragment does not say for which port.
    LaterFragment,
    /// Elsewhere.
    None,
}

#[inline(always)]
pub(crate) fn classify<T: Tables>(parsed: &Parsed, tables: &T) -> Target {
    if parsed.segment.transport == Transport::LaterFragment {
        return match lookup(tables, parsed, ANY_PORT) {
            Some(entry) if entry.kind & (SERVICE | VIP) != 0 => Target::LaterFragment,
            _ => Target::None,
        };
    }
    if let Some(entry) = lookup(tables, parsed, parsed.key.destination_port()) {
        // Destination port 0 finds an any-port key here already, to the same effect.
        if entry.kind & SERVICE != 0 {
            return Target::Service(entry.service);
        }
    }
    if tables.settings().any_port == 0 {
        return Target::None;
    }
    match lookup(tables, parsed, ANY_PORT) {
        Some(entry) if entry.kind & SERVICE != 0 => Target::Service(entry.service),
        Some(entry) if entry.kind & NAT_SOURCE != 0 => Target::NatSource,
        _ => Target::None,
    }
}

#[inline(always)]
fn lookup<'t, T: Tables>(tables: &'t T, parsed: &Parsed, port: Be16) -> Option<&'t EntryV4> {
    let key = KeyV4::new(parsed.key.destination(), port, parsed.key.protocol());
    entry(tables, key)
}

/// The directory's entry of `key`.
#[inline(always)]
pub(crate) fn entry<T: Tables>(tables: &T, key: KeyV4) -> Option<&EntryV4> {
    let bucket = tables.bucket_v4(tables.control().directory_v4.bucket(key))?;
    bucket.entries.iter().find(|entry| entry.key == key)
}
