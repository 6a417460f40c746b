//! What is on the wire: headers and checksum arithmetic. The only crate that knows byte offsets.
//!
//! A header is a plain value, laid out as on the wire and free of padding, so that it can be
//! copied out of a packet in one piece wherever it starts; the field offsets that are written one
//! by one are constants beside it. Multi-byte fields are [`Be16`] and [`Be32`]: network byte order
//! in memory, never mixed up with host integers.
//!
//! Addresses and links are whole words, because the kernel's stack wants alignment.

#![no_std]
#![forbid(unsafe_code)]

mod byte_order;
pub mod checksum;
pub mod ecn;
pub mod ethernet;
pub mod gue;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod tcp;
pub mod udp;

pub use byte_order::{Be16, Be32};
