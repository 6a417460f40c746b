//! What tests of the packet's way need, without a kernel.
//!
//! - [`frame`]: a frame in memory, as `datapath` wants it.
//! - [`content`]: contents of all maps but the flows.
//! - [`content_of`]: contents of the maps for an instance that is described for the model.
//! - [`tables`], [`flow_map`]: the maps in memory, as `datapath` wants them.
//! - [`builder`]: puts packets together: both families, ICMP, tunnels, fragments, with right or
//!   deliberately wrong checksums.
//! - [`checksums`]: takes packets apart and checks every checksum, with code of its own.
//! - [`endpoints`]: who sends a frame to whom, without the code under test.
//! - [`every_mode`]: an instance with services of every mode, for random traffic.
//! - [`decap`]: packets of tunnels, and what `evenkeel decap` is to do with them.
//! - [`fuzz`]: what fuzzers call.
//! - [`history`]: random histories of a service, and what must hold in them.
//! - [`model`]: what should become of a packet, written from the RFCs.
//! - [`outcome`]: what became of a packet, natively or in the kernel.
//! - [`fixture`], [`world`]: tables of packets in and out, and the services they are about.
//! - [`random`]: numbers that a seed repeats.
//! - [`skip`]: tests that cannot be made on every machine.
//! - [`traffic`]: random packets of many flows, some of them damaged.

#![forbid(unsafe_code)]

pub mod builder;
pub mod checksums;
pub mod content;
pub mod content_of;
pub mod decap;
pub mod endpoints;
pub mod every_mode;
pub mod fixture;
pub mod flow_map;
pub mod frame;
pub mod fuzz;
pub mod history;
pub mod model;
pub mod outcome;
pub mod random;
pub mod skip;
pub mod tables;
pub mod traffic;
pub mod world;
