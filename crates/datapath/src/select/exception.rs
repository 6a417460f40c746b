//! The slot rule: stateless until something changes (DESIGN: 3.2).
//!
//! **Invariant: a live flow either has an entry in the exception table, or belongs to the backend
//! that "no entry" leads to.**

use abi::backend::{ALIVE, TAKES_NEW};
use abi::exception::Exception;
use abi::family::Family;
use abi::pace;
use abi::reason::Reason;
use abi::service::{Service, TRACK_ALWAYS};
use abi::slot::{self, Slot};

use crate::{FamilyTables, Parsed, Tables, Transport};

/// The backend of a packet and why it goes there; aligned as [`crate::Verdict`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub(crate) struct Choice {
    /// Its index.
    pub(crate) backend: u32,
    /// Why.
    pub(crate) reason: Reason,
}

/// Picks the backend of a packet, and enters its flow where the slot's state asks for it.
#[inline(always)]
pub(crate) fn choose<F: Family, T: Tables + FamilyTables<F>>(
    tables: &T,
    parsed: &Parsed<F>,
    service_index: u32,
    service: &Service,
    hash: u64,
) -> Result<Choice, Reason> {
    let slot = super::slot(tables, service, hash)?;
    let reason = if parsed.segment.is_opening() {
        Reason::NewFlow
    } else {
        Reason::Forwarded
    };
    let current = Choice {
        backend: slot.current(),
        reason,
    };
    if slot.state() == slot::STEADY && service.flags & TRACK_ALWAYS == 0 {
        return Ok(current);
    }
    if let Some(backend) = entered(tables, &parsed.key) {
        return Ok(Choice {
            backend,
            reason: Reason::Forwarded,
        });
    }
    if slot.state() == slot::SETTLING && service.flags & TRACK_ALWAYS == 0 {
        return Ok(current);
    }
    let exception = Exception {
        backend: slot.current(),
        service: service_index,
        hash: (hash >> 32) as u32,
        last_seen: tables.now(),
    };
    if slot.state() != slot::TRANSITION {
        enter(tables, &parsed.key, &exception);
        return Ok(current);
    }
    Ok(in_transition(tables, parsed, slot, current, exception))
}

/// Of a slot in transition, for a flow without an entry.
#[inline(always)]
fn in_transition<F: Family, T: Tables + FamilyTables<F>>(
    tables: &T,
    parsed: &Parsed<F>,
    slot: Slot,
    current: Choice,
    exception: Exception,
) -> Choice {
    let previous = slot.previous();
    let flags = tables.backend(previous).map_or(0, |backend| backend.flags);
    let previous_lives = flags & ALIVE != 0;
    if previous_lives && !is_new(parsed, flags) {
        let entry = Exception {
            backend: previous,
            ..exception
        };
        let reason = if enter(tables, &parsed.key, &entry) {
            Reason::KeptByPrevious
        } else {
            Reason::NotEntered
        };
        return Choice {
            backend: previous,
            reason,
        };
    }
    if enter(tables, &parsed.key, &exception) || !previous_lives {
        return current;
    }
    // Without an entry the flow's next packet will follow `previous`, so this one does, too.
    Choice {
        backend: previous,
        reason: Reason::NotEntered,
    }
}

/// Whether a flow without an entry is taken for a new one: TCP says so, UDP does not. An unknown
/// UDP flow is old as long as `previous`, whose flags these are, takes new ones.
#[inline(always)]
fn is_new<F: Family>(parsed: &Parsed<F>, previous_flags: u16) -> bool {
    match parsed.segment.transport {
        Transport::Tcp => parsed.segment.is_opening(),
        _ => previous_flags & TAKES_NEW == 0,
    }
}

/// The living backend that the exception table has for this flow.
#[inline(always)]
fn entered<F: Family, T: Tables + FamilyTables<F>>(tables: &T, key: &F::FlowKey) -> Option<u32> {
    let now = tables.now();
    let backend = tables.exception(key, |entry| {
        if entry.last_seen != now {
            entry.last_seen = now;
        }
        entry.backend
    })?;
    let flags = tables.backend(backend)?.flags;
    (flags & ALIVE != 0).then_some(backend)
}

/// Enters a flow; `false` if there is no room or it comes too fast.
#[inline(always)]
fn enter<F: Family, T: Tables + FamilyTables<F>>(
    tables: &T,
    key: &F::FlowKey,
    exception: &Exception,
) -> bool {
    let limit = tables.settings().exceptions_per_window;
    let now = exception.last_seen;
    if tables.pace(pace::EXCEPTIONS, |pace| pace.allows(now, limit)) != Some(true) {
        return false;
    }
    if tables.enter_exception(key, exception).is_some() {
        return true;
    }
    tables.pace(pace::EXCEPTIONS, |pace| pace.refuse(now));
    false
}

/// The backend that a flow's packets go to, without entering anything: for errors about it.
#[inline(always)]
pub(crate) fn peek<F: Family, T: Tables + FamilyTables<F>>(
    tables: &T,
    key: &F::FlowKey,
    service: &Service,
    hash: u64,
) -> Result<u32, Reason> {
    let slot = super::slot(tables, service, hash)?;
    if slot.state() == slot::STEADY && service.flags & TRACK_ALWAYS == 0 {
        return Ok(slot.current());
    }
    if let Some(backend) = entered(tables, key) {
        return Ok(backend);
    }
    if slot.state() == slot::TRANSITION {
        let previous = slot.previous();
        let flags = tables.backend(previous).map_or(0, |backend| backend.flags);
        if flags & ALIVE != 0 {
            return Ok(previous);
        }
    }
    Ok(slot.current())
}
