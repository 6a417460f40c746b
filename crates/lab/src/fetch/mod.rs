//! Client tools: requests, transfers, long connections and datagrams, with reports that
//! tests can check and people can read.
//!
//! All of them block, and run in the namespace of the calling thread.

mod connection;
mod hold;
mod latency;
mod report;
mod requests;
mod steady;
mod target;
mod transfer;
mod udp;

use std::future::Future;
use std::time::Duration;

use crate::error::{Error, Result};

pub use hold::{Broken, HoldOptions, HoldReport, Holding, Protocol, Watch, hold};
pub use latency::Latency;
pub use report::{Outcome, Report, Summary};
pub use requests::{FetchOptions, fetch};
pub use steady::{Counts, Steady, SteadyOptions};
pub use target::Target;
pub use transfer::{Transfer, download, upload};
pub use udp::{Datagram, udp};

/// Runs client work to its end on the calling thread.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    crate::serve::allow_many_sockets();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the client"))?;
    Ok(runtime.block_on(work))
}

/// The work's result, or "WHAT: timed out".
async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = std::io::Result<T>>,
) -> std::result::Result<T, String> {
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{what}: {}", reason(&error))),
        Err(_) => Err(format!("{what}: timed out")),
    }
}

/// An error's words without its number, so that equal failures count together.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error")
        .map_or(text.clone(), |(words, _)| words.to_owned())
}
