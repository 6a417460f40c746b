//! What pinned maps say about themselves, so that whoever finds them knows whether it understands
//! them. This is the one structure that every version has to understand: **fields are never moved
//! and never removed**, new ones come out of `reserved`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::control::Settings;
use crate::layout::Layout;

/// First word: whose maps these are ("evenkeel" in ASCII).
pub const MAGIC: u64 = u64::from_be_bytes(*b"evenkeel");

/// Value of the map [`crate::maps::META`], which is written whole before the maps are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Meta {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`crate::VERSION`] of what wrote the maps.
    pub version: u32,
    /// 0.
    pub padding: u32,
    /// Where things lie in [`crate::maps::LEAD`].
    pub layout: Layout,
    /// Of what the program was loaded with last: the seed of the flow hash.
    pub flow_seed: u64,
    /// Which features it has ([`crate::control::feature`]).
    pub features: u32,
    /// Not 0: some key of the directory stands for every port.
    pub any_port: u32,
    /// Zeros.
    pub reserved: [u64; 21],
}

const _: () = assert!(size_of::<Meta>() == 256);

impl Meta {
    /// Of maps of this version.
    #[must_use]
    pub const fn new(layout: Layout, settings: Settings) -> Self {
        Self {
            magic: MAGIC,
            version: crate::VERSION,
            padding: 0,
            layout,
            flow_seed: settings.flow_seed,
            features: settings.features,
            any_port: settings.any_port,
            reserved: [0; 21],
        }
    }
}
