//! The control plane: what the operator wrote, what the kernel knows, and the instance in between.

#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod decap;
pub mod event;
pub mod health;
pub mod instance;
pub mod metrics;
pub mod nexthop;
pub mod overrides;
pub mod plan;
pub mod replay;
pub mod status;
