//! The labs for real: namespaces, wires, servers and clients. Needs root.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod support;
mod tools;
mod topologies;
mod tutorial;
mod up_down;
