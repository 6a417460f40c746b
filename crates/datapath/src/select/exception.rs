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

use abi::flow::FlowKey as _;
use wire::ipv4;

use crate::{FamilyTables, Parsed, Segment, Tables};

/// The backend of a packet and why it goes there; aligned, because it crosses the kernel's stack.
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
    let exception = Exception {
        backend: slot.current(),
        service: service_index,
        hash: (hash >> 32) as u32,
        last_seen: tables.now(),
        closed: parsed.segment.is_closing().into(),
        ..Exception::default()
    };
    if let Some(entry) = entered(tables, &parsed.key, parsed.segment.is_closing()) {
        let leaves = entry.leaves(&parsed.segment);
        if leaves && tables.enter_exception(&parsed.key, &exception).is_some() {
            return Ok(current);
        }
        return Ok(Choice {
            backend: entry.backend,
            reason: Reason::Forwarded,
        });
    }
    if slot.state() == slot::SETTLING && service.flags & TRACK_ALWAYS == 0 {
        return Ok(current);
    }
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
    if follows_previous::<F>(&parsed.key, flags) && !parsed.segment.is_opening() {
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
    if enter(tables, &parsed.key, &exception) || !follows_previous::<F>(&parsed.key, flags) {
        return current;
    }
    // Without an entry the flow's next packet will follow `previous`, so this one does, too.
    Choice {
        backend: previous,
        reason: Reason::NotEntered,
    }
}

/// Whether a flow without an entry belongs to `previous`, whose flags these are. UDP does not say
/// which packet is a flow's first: all its flows are old while `previous` takes new ones, and new
/// once it does not.
#[inline(always)]
fn follows_previous<F: Family>(key: &F::FlowKey, flags: u16) -> bool {
    let needed = match key.protocol() {
        ipv4::TCP => ALIVE,
        _ => ALIVE | TAKES_NEW,
    };
    flags & needed == needed
}

/// An entry whose backend lives.
#[derive(Clone, Copy)]
struct Entered {
    backend: u32,
    /// The backend's.
    flags: u16,
    closed: bool,
}

impl Entered {
    /// Whether this segment begins another connection between the same ports, which the backend, as
    /// it takes no new ones, is not to get. Where no end was seen it may be the same SYN once more.
    #[inline(always)]
    const fn leaves(&self, segment: &Segment) -> bool {
        self.closed && segment.is_opening() && self.flags & TAKES_NEW == 0
    }
}

/// The entry that the exception table has for this flow; it is marked if this is its end.
#[inline(always)]
fn entered<F: Family, T: Tables + FamilyTables<F>>(
    tables: &T,
    key: &F::FlowKey,
    is_closing: bool,
) -> Option<Entered> {
    let now = tables.now();
    let (backend, closed) = tables.exception(key, |entry| {
        if entry.last_seen != now {
            entry.last_seen = now;
        }
        if is_closing {
            entry.closed = 1;
        }
        (entry.backend, entry.closed != 0)
    })?;
    let flags = tables.backend(backend)?.flags;
    (flags & ALIVE != 0).then_some(Entered {
        backend,
        flags,
        closed,
    })
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
    if let Some(entry) = entered(tables, key, false) {
        return Ok(entry.backend);
    }
    if slot.state() == slot::TRANSITION {
        let previous = slot.previous();
        let flags = tables.backend(previous).map_or(0, |backend| backend.flags);
        if follows_previous::<F>(key, flags) {
            return Ok(previous);
        }
    }
    Ok(slot.current())
}
