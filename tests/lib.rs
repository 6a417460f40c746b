//! Shared pieces of the tests that need a kernel.

#![forbid(unsafe_code)]

pub mod bare_program;
pub mod history;
pub mod support;
