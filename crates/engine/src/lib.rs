//! Desired state to map contents, and map contents to the kernel.
//!
//! - [`desired`]: what the operator asked for, validated.
//! - [`image`]: the same as map contents; pure.
//! - [`directory`]: the service directory's buckets; pure.
//! - [`dataplane`]: the loaded program and its maps.
//! - [`decap`]: the backend's side of tunnels: a program and its lists.
//! - [`sweep`]: which flows are over.
//! - [`object`]: the compiled programs, embedded.
//!
//! All unsafe code is in `bpf`, the adapter for what aya does not offer.

mod bpf;
pub mod dataplane;
pub mod decap;
pub mod desired;
pub mod directory;
mod error;
pub mod image;
pub mod object;
pub mod sweep;

pub use error::EngineError;
