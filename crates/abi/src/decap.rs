//! Maps of the decapsulation program, `evenkeel decap`.

use wire::ipv6;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::backend::Address;

/// An address of either family, for the sets of the decapsulation program.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct AddressKey {
    /// The address.
    pub address: ipv6::Address,
    /// 4 or 6.
    pub version: u64,
}

impl AddressKey {
    /// From an address as backends have it.
    #[must_use]
    pub const fn new(address: Address, is_v6: bool) -> Self {
        Self {
            address: address.as_v6(),
            version: if is_v6 { 6 } else { 4 },
        }
    }
}

/// Settings of the decapsulation program, in `.rodata`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct DecapSettings {
    /// Not 0: only senders in the list may send.
    pub check_sender: u32,
    /// Not 0: only packets to VIPs in the list are accepted.
    pub check_vip: u32,
    /// UDP destination port of GUE, host byte order.
    pub gue_port: u32,
    /// Zero.
    pub reserved: u32,
}
