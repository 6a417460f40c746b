//! What is to be done with a packet.

use abi::NO_INDEX;
use abi::reason::Reason;

/// A terminal decision. The action follows from the reason ([`Reason::action`]).
///
/// Aligned to eight bytes, because it crosses the kernel's stack: the compiler moves it in words.
/// In this order, because it moves those first that are constant together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Verdict {
    /// Index of its service, or [`NO_INDEX`].
    pub service: u32,
    /// Index of its backend, or [`NO_INDEX`].
    pub backend: u32,
    /// Why.
    pub reason: Reason,
    /// If it is forwarded: index of the interface it leaves by; else 0.
    pub interface: u32,
}

impl Verdict {
    /// About a packet of no service.
    #[inline(always)]
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        Self {
            reason,
            interface: 0,
            service: NO_INDEX,
            backend: NO_INDEX,
        }
    }

    /// About a packet of a service that goes to none of its backends.
    #[inline(always)]
    #[must_use]
    pub const fn of_service(reason: Reason, service: u32) -> Self {
        Self {
            reason,
            interface: 0,
            service,
            backend: NO_INDEX,
        }
    }

    /// About a packet of one backend.
    #[inline(always)]
    #[must_use]
    pub const fn of_backend(reason: Reason, service: u32, backend: u32) -> Self {
        Self {
            reason,
            interface: 0,
            service,
            backend,
        }
    }
}
