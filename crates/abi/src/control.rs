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
    /// Which features some service uses: [`feature`] bits. What no bit asks for is deleted.
    pub features: u32,
    /// Hop limit of outer headers.
    pub outer_ttl: u32,
    /// Flows each CPU may enter in the exception table in one window ([`crate::pace`]).
    pub exceptions_per_window: u32,
    /// ICMP errors each CPU may send in one window.
    pub icmp_errors_per_window: u32,
    /// Packets without a backend each CPU may refuse in one window.
    pub rejections_per_window: u32,
    /// Ports that `nat` never takes, not even a client's own: the host's own connections to backends
    /// come from them. The first in the upper half, how many in the lower.
    pub kept_ports: u32,
}

/// Bits of [`Settings::features`].
pub mod feature {
    /// Mode `nat`.
    pub const NAT: u32 = 1 << 0;
    /// Mode `dnat`.
    pub const DNAT: u32 = 1 << 1;
    /// Mode `l2-dsr`.
    pub const L2_DSR: u32 = 1 << 2;
    /// Mode `ipip`.
    pub const IPIP: u32 = 1 << 3;
    /// Mode `gue`.
    pub const GUE: u32 = 1 << 4;
    /// Services with an IPv4 address.
    pub const IPV4: u32 = 1 << 5;
    /// Services with an IPv6 address.
    pub const IPV6: u32 = 1 << 6;
    /// Services of a prefix.
    pub const PREFIX: u32 = 1 << 7;
    /// Services with connection-ID routing.
    pub const QUIC: u32 = 1 << 8;
    /// The lowest bits of the outer source address carry the flow's hash.
    pub const OUTER_ENTROPY: u32 = 1 << 9;
    /// Backends whose outer header is IPv4.
    pub const OUTER_V4: u32 = 1 << 10;
    /// Backends whose outer header is IPv6.
    pub const OUTER_V6: u32 = 1 << 11;
    /// Echo requests to VIPs are answered.
    pub const ECHO: u32 = 1 << 12;
    /// Services that refuse what finds no backend.
    pub const REJECT: u32 = 1 << 13;
    /// All of them.
    pub const ALL: u32 = (1 << 14) - 1;
}

/// Lives in a mmapped array; each word is read once per packet and written whole.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Control {
    /// The active copy of the IPv4 directory.
    pub directory_v4: Active,
    /// The active copy of the IPv6 directory.
    pub directory_v6: Active,
    /// Which kinds of keys the tries of prefixes have ([`crate::prefix::PrefixKey::presence`]): a
    /// lookup that can find nothing is left out.
    pub prefixes: u64,
    /// Always 0, which the kernel's verifier does not know: whatever it is added to becomes one
    /// value to the verifier, where it would follow each of several by itself.
    pub zero: u64,
}

impl Settings {
    /// Whether `nat` leaves a port to the host.
    #[inline(always)]
    #[must_use]
    pub const fn is_kept(&self, port: Be16) -> bool {
        let from_first = (port.get() as u32).wrapping_sub(self.kept_ports >> 16);
        from_first < self.kept_ports & 0xffff
    }

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
    fn what_is_kept_is_a_range_or_nothing() {
        let kept = |kept_ports| Settings {
            kept_ports,
            ..Settings::default()
        };
        let some = kept(31_744 << 16 | 1_024);
        let is_kept: [bool; 4] =
            [31_743, 31_744, 32_767, 32_768].map(|port| some.is_kept(Be16::new(port)));
        assert_eq!(is_kept, [false, true, true, false]);
        assert!((0..=u16::MAX).all(|port| !kept(0).is_kept(Be16::new(port))));
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
