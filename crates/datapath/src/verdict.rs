//! What is to be done with a packet.

use abi::NO_INDEX;
use abi::reason::Reason;

/// A terminal decision. The action follows from the reason ([`Reason::action`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What a walk finds out on its way, written when it is known. A walk returns nothing but a reason:
/// what it returned besides would be set anew before each check that may end it.
///
/// Words of the kernel's stack, whose alignment the kernel insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub(crate) struct Findings {
    /// Index of its service, or [`NO_INDEX`].
    pub(crate) service: u32,
    /// Index of its backend, or [`NO_INDEX`].
    pub(crate) backend: u32,
    /// If it is forwarded: index of the interface it leaves by; else 0.
    pub(crate) interface: u32,
    /// With [`Reason::TooBig`]: what would fit, in bytes.
    pub(crate) mtu: u32,
}

impl Findings {
    /// About a packet of which nothing is known.
    pub(crate) const NONE: Self = Self {
        service: NO_INDEX,
        backend: NO_INDEX,
        interface: 0,
        mtu: 0,
    };

    /// Notes whose packet this is.
    #[inline(always)]
    pub(crate) const fn belongs(&mut self, service: u32, backend: u32) {
        self.service = service;
        self.backend = backend;
    }

    /// Notes that the packet is larger than `mtu`.
    #[inline(always)]
    pub(crate) const fn too_big(&mut self, mtu: u32) -> Reason {
        self.mtu = mtu;
        Reason::TooBig
    }

    /// All of it together.
    #[inline(always)]
    pub(crate) const fn verdict(&self, reason: Reason) -> Verdict {
        Verdict {
            service: self.service,
            backend: self.backend,
            reason,
            interface: self.interface,
        }
    }
}
