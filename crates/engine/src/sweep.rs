//! Which flows are over.
