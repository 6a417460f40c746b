//! What kernel and user space must agree on: map keys and values, limits, reasons and settings.
//!
//! Every type here lies in shared memory: `repr(C)`, no padding (zerocopy's `IntoBytes` refuses
//! it at compile time), no enum, bool or Option, every bit pattern a valid value. Addresses and
//! ports are in network byte order ([`wire::Be16`], [`wire::Be32`]), everything else in the
//! host's.

#![no_std]
#![forbid(unsafe_code)]

pub mod backend;
pub mod control;
pub mod counters;
pub mod decap;
pub mod directory;
pub mod exception;
pub mod family;
pub mod flow;
pub mod hash;
pub mod layout;
pub mod limits;
pub mod maps;
pub mod meta;
pub mod pace;
pub mod prefix;
pub mod quic;
pub mod reason;
pub mod service;
pub mod slot;

/// Version of everything in this crate. A running instance's maps are adopted only when equal.
pub const VERSION: u32 = 5;

/// "No such index", in fields that hold the index of a service or a backend.
pub const NO_INDEX: u32 = u32::MAX;
