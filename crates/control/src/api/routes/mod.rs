//! The answers, a file a subject.

pub(super) mod backends;
pub(super) mod config;
pub(super) mod events;
pub(super) mod flows;
pub(super) mod services;
pub(super) mod status;

use axum::http::StatusCode;
use tokio::sync::oneshot;

use super::failure::Refusal;
use super::server::Served;
use crate::instance::{Change, Request};
use crate::status::Reloaded;

/// Has the process change something, and waits until it has.
async fn change(served: &Served, change: Change) -> Result<Reloaded, Refusal> {
    let stopping = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the instance is stopping");
    let (answer, answered) = oneshot::channel();
    let sent = served.requests.send(Request::Change(change, answer)).await;
    sent.map_err(|_| stopping())?;
    match answered.await {
        Ok(result) => Ok(result?),
        Err(_) => Err(stopping()),
    }
}
