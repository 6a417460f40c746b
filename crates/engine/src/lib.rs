//! Desired state to map contents, and map contents to the kernel.
//!
//! - [`desired`]: what the operator asked for, validated.
//! - [`settings`]: what the program is loaded with.
//! - [`live`]: what the maps hold, why, and how it changes while packets flow.
//! - [`maps`]: what `live` needs of the maps.
//! - [`image`]: map contents in memory.
//! - [`directory`]: the service directory's buckets; pure.
//! - [`dataplane`]: the loaded program and its maps.
//! - [`decap`]: the backend's side of tunnels: a program and its lists.
//! - [`pins`]: where maps and links outlive the process.
//! - [`flows`]: flows that are known one by one, to look at and to forget.
//! - [`sweep`]: which `nat` flows are over.
//! - [`object`]: the compiled programs, embedded.
//!
//! All unsafe code is in `bpf`, the adapter for what aya does not offer.

mod bpf;
mod capabilities;
mod clock;
pub mod dataplane;
pub mod decap;
pub mod desired;
pub mod directory;
mod error;
pub mod flows;
pub mod image;
pub mod live;
pub mod maps;
pub mod object;
pub mod pins;
mod settings;
pub mod sweep;

pub use abi::control::Settings;
pub use clock::tick;
pub use error::EngineError;
pub use settings::settings;
