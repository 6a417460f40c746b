//! A half-open flow becomes an established one.

use abi::family::Family;
use abi::flow::{ANSWERED, FORWARD, Flow as _, FlowKey as _};

use super::known::Known;
use crate::{EstablishError, FamilyTables, FlowTable, InsertError, Parsed, Transport};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promotion {
    /// The flow is established.
    Done,
    /// The handshake is not complete, or one half of the flow was pushed out.
    NotYet,
    /// The established table has no room; the flow stays half-open.
    TableFull,
    /// Another flow holds the reverse tuple by now.
    TupleTaken,
}

/// Moves the flow of this packet over. `flow` is the packet's own entry.
#[inline(always)]
pub(super) fn promote<F: Family, T: FamilyTables<F>>(
    tables: &T,
    parsed: &Parsed<F>,
    flow: &Known<F>,
) -> Promotion {
    let other_key = parsed.key.opposite(&flow.becomes);
    let (forward_key, reverse_key) = if flow.direction == FORWARD {
        (&parsed.key, &other_key)
    } else {
        (&other_key, &parsed.key)
    };
    let is_tcp = parsed.segment.transport == Transport::Tcp;
    let acknowledgment = parsed.segment.acknowledgment.get();
    let complete = tables.flow(FlowTable::HalfOpen, reverse_key, |reverse| {
        // A spoofed client cannot know the backend's initial sequence number (RFC 9293, section 3.4.1).
        let reverse = reverse.state();
        reverse.seen & ANSWERED != 0 && (!is_tcp || reverse.handshake == acknowledgment)
    });
    if complete != Some(true) {
        return Promotion::NotYet;
    }
    let promotion = establish(tables, forward_key, reverse_key);
    if promotion == Promotion::Done {
        tables.remove_flow(FlowTable::HalfOpen, forward_key);
        tables.remove_flow(FlowTable::HalfOpen, reverse_key);
    }
    promotion
}

/// Enters both directions, the claimed tuple first.
#[inline(always)]
fn establish<F: Family, T: FamilyTables<F>>(
    tables: &T,
    forward: &F::FlowKey,
    reverse: &F::FlowKey,
) -> Promotion {
    match tables.establish_flow(reverse) {
        Ok(()) => {}
        Err(EstablishError::Missing) => return Promotion::NotYet,
        Err(EstablishError::Insert(InsertError::Full)) => return Promotion::TableFull,
        Err(EstablishError::Insert(InsertError::Exists)) => {
            let ours = tables.flow(FlowTable::Established, reverse, |entry| {
                entry.leads_to(forward)
            });
            if ours != Some(true) {
                return Promotion::TupleTaken;
            }
        }
    }
    match tables.establish_flow(forward) {
        Ok(()) | Err(EstablishError::Insert(InsertError::Exists)) => Promotion::Done,
        // Another CPU has done the same meanwhile, and cleared the half-open table.
        Err(EstablishError::Missing) if is_established(tables, forward) => Promotion::Done,
        Err(error) => {
            tables.remove_flow(FlowTable::Established, reverse);
            match error {
                EstablishError::Missing => Promotion::NotYet,
                EstablishError::Insert(_) => Promotion::TableFull,
            }
        }
    }
}

#[inline(always)]
pub(super) fn is_established<F: Family, T: FamilyTables<F>>(tables: &T, key: &F::FlowKey) -> bool {
    tables.flow(FlowTable::Established, key, |_| ()).is_some()
}
