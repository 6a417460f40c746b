//! What `evenkeel decap` tells about itself: `GET /v1/decap` and `evenkeel decap --status --json`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use abi::decap::DecapReason;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::{DecapError, Running, lock};
use crate::api::{ApiError, Listener, Role, ask, serve_routes};
use crate::status::InterfaceStatus;

/// Where the status is on the socket.
const URI: &str = "/v1/decap";

/// What runs. Fields may be added; those that are here keep their meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecapStatus {
    /// Its name.
    pub instance: String,
    /// Version of the program that runs it.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Interfaces the program is attached to.
    pub interfaces: Vec<InterfaceStatus>,
    /// Addresses of the host: what outer packets are addressed to.
    pub addresses: Vec<IpAddr>,
    /// What inner packets may be addressed to; `None`: every one of `addresses`.
    pub vips: Option<Vec<String>>,
    /// Who may send; `None`: everybody.
    pub senders: Option<Vec<String>>,
    /// UDP port of GUE.
    pub gue_port: u16,
    /// Packets by reason, over all CPUs.
    pub reasons: BTreeMap<String, u64>,
}

impl DecapStatus {
    /// Packets that met this reason.
    #[must_use]
    pub fn count(&self, reason: DecapReason) -> u64 {
        self.reasons.get(reason.name()).copied().unwrap_or(0)
    }

    /// Who may send what.
    ///
    /// # Errors
    /// `out` failed.
    pub fn describe_lists(&self, out: &mut impl Write) -> std::io::Result<()> {
        let or = |list: &Option<Vec<String>>, otherwise: &str| match list {
            Some(list) => self::list(list),
            None => otherwise.to_owned(),
        };
        writeln!(out, "addresses {}", list(&self.addresses))?;
        let every = "every one of these addresses";
        writeln!(out, "VIPs      {}", or(&self.vips, every))?;
        writeln!(out, "senders   {}", or(&self.senders, "everybody"))
    }
}

/// With commas in between.
pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

impl Running {
    pub(super) fn status(&self) -> Result<DecapStatus, DecapError> {
        let some = |prefixes: &std::collections::BTreeSet<_>| {
            let texts = prefixes.iter().map(ToString::to_string);
            (!prefixes.is_empty()).then(|| texts.collect())
        };
        let counters = self.plane.counters()?.into_iter();
        Ok(DecapStatus {
            instance: self.run.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_seconds: self.started.elapsed().as_secs(),
            interfaces: self.attached.clone(),
            addresses: self.lists.locals.iter().copied().collect(),
            vips: some(&self.run.vips),
            senders: some(&self.run.options.senders),
            gue_port: self.run.options.gue_port,
            reasons: counters
                .map(|(reason, count)| (reason.name().to_owned(), count))
                .collect(),
        })
    }
}

/// Answers requests until the socket fails.
pub(super) async fn serve(
    listener: Listener,
    running: Arc<Mutex<Running>>,
) -> Result<(), ApiError> {
    let router = Router::new().route(URI, get(answer)).with_state(running);
    serve_routes(listener, router).await
}

async fn answer(State(running): State<Arc<Mutex<Running>>>) -> Response {
    match lock(&running).status() {
        Ok(status) => Json(status).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Asks a running `evenkeel decap` for its status.
///
/// # Errors
/// It is not running, or does not answer properly.
pub async fn fetch_status(name: &str) -> Result<DecapStatus, ApiError> {
    ask(Role::Decap, name, Method::GET, URI).await
}
