//! The exception table: flows that do not belong to the backend that their slot leads to, or may
//! cease to. One hash of fixed size for each family, keyed by [`crate::flow::FlowKeyV4`] or
//! [`crate::flow::FlowKeyV6`]; it never evicts.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where a flow belongs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct Exception {
    /// Index of its service.
    pub service: u32,
    /// The upper half of the flow's hash: its slot is `hash >> (32 - log2 of the ring's length)`,
    /// also after the ring has grown.
    pub hash: u32,
    /// jiffies (low 32 bits) at its last packet.
    pub last_seen: u32,
    /// Index of its backend.
    pub backend: u32,
    /// TCP: 1 once the client has sent FIN or RST.
    pub closed: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Exception>() == 24);
