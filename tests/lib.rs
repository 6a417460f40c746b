//! Shared pieces of the tests that need a kernel.
