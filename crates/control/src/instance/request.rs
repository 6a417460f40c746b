//! What the API asks of the process: one at a time, in the order they come.

use tokio::sync::oneshot;

use super::{ReloadError, Running};
use crate::overrides::Override;
use crate::status::Reloaded;

/// Who is told how a change went.
pub(crate) type Answer = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// Something to do, and whom to tell how it went.
#[derive(Debug)]
pub(crate) enum Request {
    /// Change the configuration.
    Change(Change, Answer),
    /// End the process.
    Stop {
        /// Packets are balanced on.
        keep: bool,
        /// Told before it ends.
        answer: oneshot::Sender<()>,
    },
}

/// A change of the configuration.
#[derive(Debug)]
pub(crate) enum Change {
    /// Read the own file again.
    Reload {
        /// What was changed by hand is so no longer.
        discard_overrides: bool,
        /// Flows may break.
        allow_disruption: bool,
    },
    /// Put a text in force.
    Apply {
        /// Where it came from.
        source: String,
        /// It.
        text: String,
        /// Flows may break.
        allow_disruption: bool,
    },
    /// Change something by hand: all of it, or nothing.
    Override(Vec<Override>),
    /// What was changed by hand is so no longer; the file is not read.
    DiscardOverrides,
}

impl Running {
    /// Does what is asked, and tells how it went.
    pub(super) async fn answer(&mut self, change: Change, asked_by: Answer) {
        let result = self.change(change).await;
        // Whoever asked may have gone; it is in the log all the same.
        let _ = asked_by.send(result);
    }
}
