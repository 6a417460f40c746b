//! Settings fixed at load time, and the words that user space flips at run time.

use wire::Be16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::directory::Active;

/// Lives in `.rodata`: the verifier knows every value and deletes the code of what is off.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Settings {
    /// Seed of the flow hash.
    pub flow_seed: u64,
    /// Not 0: write a [`crate::counters::Report`] for every packet.
    pub report: u32,
    /// Not 0: some key of the directory stands for every port.
    pub any_port: u32,
    /// First port of `nat`'s own range, host byte order.
    pub first_port: u32,
    /// Number of ports in that range, at least 1.
    pub port_count: u32,
}

/// Lives in a mmapped array; each word is read once per packet and written whole.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Control {
    /// The active copy of the IPv4 directory.
    pub directory_v4: Active,
}

impl Settings {
    /// The `i`-th port of `nat`'s own range that a flow with this hash tries.
    #[inline(always)]
    #[must_use]
    pub const fn port_candidate(&self, hash: u32, i: u32) -> Be16 {
        // Each step is a hash of its own (golden-ratio increments through a multiply and fold, as
        // in SplitMix): a walk with a fixed stride meets ports that were taken in a pattern again
        // and again.
        let step = hash.wrapping_add(i.wrapping_mul(0x9e37_79b9));
        let step = (step ^ step >> 15).wrapping_mul(0x85eb_ca6b);
        // Scales the high 16 bits to the range without a division.
        let offset = ((step >> 16) * self.port_count) >> 16;
        Be16::new((self.first_port + offset) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_cover_the_range_and_nothing_else() {
        let settings = Settings {
            first_port: 10_240,
            port_count: 1_000,
            ..Settings::default()
        };
        let mut hits = [0_u32; 1_000];
        for hash in 0..4_000_u32 {
            for i in 1..16 {
                let port = settings
                    .port_candidate(hash.wrapping_mul(0x0101_0101), i)
                    .get();
                hits[usize::from(port) - 10_240] += 1;
            }
        }
        // 60 each on average.
        assert!(hits.iter().all(|hits| (20..120).contains(hits)), "{hits:?}");
    }

    #[test]
    fn a_range_of_one_port_has_one_candidate() {
        let settings = Settings {
            first_port: 65_535,
            port_count: 1,
            ..Settings::default()
        };
        assert!((0..1_000).all(|i| settings.port_candidate(i * 77, i).get() == 65_535));
    }
}
