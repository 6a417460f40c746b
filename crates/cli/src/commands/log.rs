//! What commands that keep running tell on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::output::stderr;

/// Starts it; `EVENKEEL_LOG` says how much.
pub(super) fn start() {
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}
