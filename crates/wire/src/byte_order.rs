//! Integers in network byte order.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Implements what both widths share.
macro_rules! big_endian {
    ($name:ident, $host:ty, $bits:literal) => {
        #[doc = concat!("A ", $bits, "-bit integer stored in network byte order.")]
        #[derive(
            Clone,
            Copy,
            Default,
            PartialEq,
            Eq,
            Hash,
            PartialOrd,
            Ord,
            FromBytes,
            IntoBytes,
            Immutable,
            KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name($host);

        impl $name {
            /// From a host integer.
            #[inline(always)]
            #[must_use]
            pub const fn new(host: $host) -> Self {
                Self(host.to_be())
            }

            /// As a host integer.
            #[inline(always)]
            #[must_use]
            pub const fn get(self) -> $host {
                <$host>::from_be(self.0)
            }

            /// The bytes in memory read as a host integer: for hashing and one's complement sums,
            /// which do not care about byte order, never for comparing sizes.
            #[inline(always)]
            #[must_use]
            pub const fn raw(self) -> $host {
                self.0
            }

            /// The reverse of [`Self::raw`].
            #[inline(always)]
            #[must_use]
            pub const fn from_raw(raw: $host) -> Self {
                Self(raw)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}", self.get())
            }
        }
    };
}

big_endian!(Be16, u16, "16");
big_endian!(Be32, u32, "32");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_memory_are_in_network_order() {
        assert_eq!(Be16::new(0x1234).as_bytes(), [0x12, 0x34]);
        assert_eq!(Be32::new(0x1234_5678).as_bytes(), [0x12, 0x34, 0x56, 0x78]);
        assert_eq!(Be16::read_from_bytes(&[0x12, 0x34]).unwrap().get(), 0x1234);
    }
}
