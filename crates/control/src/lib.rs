//! The control plane: what the operator wrote, what the kernel knows, and the instance in between.

#![forbid(unsafe_code)]

pub mod config;
pub mod nexthop;
