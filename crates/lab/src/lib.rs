//! Network-namespace labs: whole small networks on one machine, made of namespaces, veths
//! and bridges, for the demonstration, the tests and users.
//!
//! - [`topology`]: the networks there are, as tables.
//! - [`Blueprint`]: what to bring up; shows or runs the commands ([`Step`]).
//! - [`Lab`], [`Host`], [`HostProcess`]: a lab that is up, and running things in it.
//! - [`serve`]: the server that runs in backends; [`fetch`]: the client tools.
//! - [`tutorial`]: `evenkeel lab run tutorial`, the demonstration.
//!
//! Nothing here touches the caller's own network namespace.
#![forbid(unsafe_code)]

mod base64;
mod blueprint;
mod error;
pub mod fetch;
mod host;
mod id;
mod interrupt;
mod lab;
pub mod namespace;
mod pattern;
mod plan;
mod process;
pub mod serve;
mod step;
pub mod topology;
pub mod tutorial;

pub use blueprint::Blueprint;
pub use error::{Error, Result};
pub use host::Host;
pub use id::{LabId, PREFIX, SWITCH};
pub use interrupt::{Interrupt, on_usr1};
pub use lab::{HostListing, Lab, Listing, down, list};
pub use pattern::Fnv64;
pub use plan::{Offloads, port_name};
pub use process::HostProcess;
pub use step::{Step, check_requirements};
pub use topology::Topology;
