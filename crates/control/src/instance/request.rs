//! What the API asks of the process: one at a time, in the order they come.

use tokio::sync::oneshot;

use super::ReloadError;
use crate::status::Reloaded;

/// Something to do, and whom to tell how it went.
#[derive(Debug)]
pub(crate) enum Request {
    /// Read the configuration again.
    Reload(oneshot::Sender<Result<Reloaded, ReloadError>>),
    /// End the process.
    Stop {
        /// Packets are balanced on.
        keep: bool,
        /// Told before it ends.
        answer: oneshot::Sender<()>,
    },
}
