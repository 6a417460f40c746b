//! The hash that decides about slots. User space and kernel must agree on it, and so must every
//! instance of a cluster.

/// The finalizer of MurmurHash3 (fmix64): every bit of the value reaches every bit of the hash.
#[inline(always)]
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let value = (value ^ value >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ value >> 33
}
