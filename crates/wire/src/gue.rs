//! Generic UDP Encapsulation, version 0 (draft-ietf-intarea-gue-09, section 3), as Linux's fou
//! module does it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The header without extension fields: data follows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Gue {
    /// Version (2 bits), control (1 bit), length of extension fields in 32-bit words (5 bits).
    pub version_control_length: u8,
    /// IP protocol number of what follows: 4 (IPv4) or 41 (IPv6).
    pub protocol: u8,
    /// Zero: no extension fields.
    pub flags: u16,
}

/// Length of the header in bytes.
pub const HEADER_LENGTH: usize = size_of::<Gue>();
/// UDP port registered for it with IANA.
pub const PORT: u16 = 6080;
const _: () = assert!(HEADER_LENGTH == 4);

impl Gue {
    /// Data of the given IP protocol, nothing else.
    #[inline(always)]
    #[must_use]
    pub const fn data(protocol: u8) -> Self {
        Self {
            version_control_length: 0,
            protocol,
            flags: 0,
        }
    }

    /// Whether it is what [`Self::data`] makes: version 0, data, no extension fields.
    #[inline(always)]
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.version_control_length == 0 && self.flags == 0
    }
}
