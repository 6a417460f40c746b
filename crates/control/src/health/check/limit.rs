//! The time that a run has, shared by its steps.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::health::outcome::Found;

pub(super) struct Limit {
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
}

impl Limit {
    pub(super) fn new(begun: Instant, timeout: Duration) -> Self {
        Self {
            deadline: begun + timeout,
            timeout,
        }
    }

    /// Waits for a step; `what` is missing if it does not come in time.
    pub(super) async fn wait<T>(
        &self,
        what: &str,
        step: impl Future<Output = Result<T, Found>>,
    ) -> Result<T, Found> {
        timeout_at(self.deadline, step).await.unwrap_or_else(|_| {
            let timeout = self.timeout;
            Err(Found::Bad(format!("no {what} within {timeout:?}")))
        })
    }
}
