//! Fragments (DESIGN: 3.5): the first one carries the ports and leaves them behind, later ones
//! follow it.

use abi::control::feature;
use abi::family::Family;
use abi::flow::FlowKey as _;
use abi::reason::Reason;
use wire::Be16;

use crate::{FamilyTables, Parsed, Tables, Transport, classify};

/// The key of the packet that this is a fragment of.
#[inline(always)]
fn packet_key<F: Family>(parsed: &Parsed<F>) -> F::FlowKey {
    F::FlowKey::fragment(
        parsed.key.source(),
        parsed.key.destination(),
        parsed.ip.identification,
        parsed.key.protocol(),
    )
}

/// Puts the ports of a later fragment into its key, or says why that cannot be.
#[inline(always)]
pub(crate) fn find_ports<F: Family, T: Tables + FamilyTables<F>>(
    tables: &T,
    parsed: &mut Parsed<F>,
) -> Result<(), Reason> {
    if parsed.key.protocol() == F::ICMP {
        return Err(Reason::IcmpForHost);
    }
    let is_to_ours = classify::is_to_ours(&parsed.key, tables);
    // Of `dnat` and of prefixes only the table knows.
    if !is_to_ours && tables.settings().features & (feature::DNAT | feature::PREFIX) == 0 {
        return Err(Reason::NotForService);
    }
    let Some(ports) = tables.fragment(&packet_key(parsed)) else {
        return Err(if is_to_ours {
            Reason::LaterFragment
        } else {
            Reason::NotForService
        });
    };
    parsed.key = F::FlowKey::new(
        parsed.key.source(),
        parsed.key.destination(),
        Be16::from_raw(ports as u16),
        Be16::from_raw((ports >> 16) as u16),
        parsed.key.protocol(),
    );
    Ok(())
}

/// Leaves the ports of a first fragment behind.
#[inline(always)]
pub(crate) fn remember<F: Family, T: FamilyTables<F>>(tables: &T, parsed: &Parsed<F>) {
    if parsed.ip.is_fragment != 0 && parsed.segment.transport != Transport::LaterFragment {
        let ports = parsed.key.ports_protocol() as u32;
        tables.remember_fragment(&packet_key(parsed), ports);
    }
}
