//! Listening to events.

use axum::http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::task::JoinHandle;

use super::transport::{read, refused, request};
use crate::api::model::EventQuery;
use crate::api::{ApiError, Role};
use crate::event::Event;

/// Longest line of a stream that a client reads.
const MAX_LINE: usize = 1 << 20;

/// Events as they are told.
#[derive(Debug)]
pub struct EventStream {
    name: String,
    body: Incoming,
    connection: JoinHandle<hyper::Result<()>>,
    /// What has come of a line that is not whole yet, and lines behind it.
    read: Vec<u8>,
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Listens to the events of a running instance.
///
/// # Errors
/// It is not running, or does not answer properly.
pub async fn follow_events(name: &str, query: EventQuery) -> Result<EventStream, ApiError> {
    let uri = format!("/v1/events?follow={}&since={}", query.follow, query.since);
    let (response, connection) =
        request(Role::Balancer, name, Method::GET, &uri, Vec::new()).await?;
    if response.status() != StatusCode::OK {
        let status = response.status();
        let body = read(name, response, connection).await?;
        return Err(refused(name, status, &body));
    }
    Ok(EventStream {
        name: name.into(),
        body: response.into_body(),
        connection,
        read: Vec::new(),
    })
}

impl EventStream {
    /// The next event, as a line of JSON, and as itself unless it is of a kind that is not known
    /// here; `None` at the end.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<Option<(String, Option<Event>)>, ApiError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let line = std::mem::replace(&mut self.read, rest);
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                let event = serde_json::from_str(&line).ok();
                return Ok(Some((line, event)));
            }
            let problem = |problem: String| ApiError::Answer {
                name: self.name.clone(),
                problem,
            };
            if self.read.len() > MAX_LINE {
                return Err(problem("a line without an end".into()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(problem(error.to_string())),
            }
        }
    }
}
