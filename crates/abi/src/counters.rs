//! Per-CPU counters and the report of a single packet.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Of one backend, on one CPU. Bytes are those of IP packets, without Ethernet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct BackendCounters {
    /// Packets sent to the backend.
    pub packets: u64,
    /// Bytes sent to the backend.
    pub bytes: u64,
    /// Packets that came back through the instance.
    pub reply_packets: u64,
    /// Bytes that came back.
    pub reply_bytes: u64,
    /// Flows that were given to the backend.
    pub new_flows: u64,
    /// Zero; makes it a cache line.
    pub reserved: [u64; 3],
}

const _: () = assert!(size_of::<BackendCounters>() == 64);

/// What became of the last packet, for `replay` and `explain`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Report {
    /// [`crate::reason::Reason`] number.
    pub reason: u32,
    /// Index of the service or [`crate::NO_INDEX`].
    pub service: u32,
    /// Index of the backend or [`crate::NO_INDEX`].
    pub backend: u32,
    /// Interface index it leaves by, if it does; else 0.
    pub interface: u32,
}
