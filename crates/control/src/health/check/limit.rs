//! The time that a run has, shared by its steps.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::ports::Ports;
use crate::health::outcome::Found;

pub(super) struct Limit {
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    /// Where its connections come from.
    pub(super) ports: Ports,
}

impl Limit {
    pub(super) fn new(begun: Instant, timeout: Duration, ports: Ports) -> Self {
        Self {
            deadline: begun + timeout,
            timeout,
            ports,
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
