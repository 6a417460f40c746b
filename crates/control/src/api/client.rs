//! The other side of the socket: what the commands ask.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::failure::Failure;
use super::model::{
    ApplyRequest, BackendPatch, EventQuery, FlowPage, FlowQuery, FlushRequest, Flushed,
    OverrideList, PlanRequest, ReloadRequest, ServicePage, ServiceQuery, StopRequest,
};
use super::socket::valid_path;
use super::{ApiError, Role};
use crate::event::Event;
use crate::instance::socket_path;
use crate::overrides::{BackendSpec, ServiceSpec};
use crate::plan::PlanReport;
use crate::status::{Reloaded, ServiceStatus, Status};

/// Largest answer that a client reads.
const MAX_ANSWER: usize = 64 << 20;
/// Longest line of a stream that a client reads.
const MAX_LINE: usize = 1 << 20;

/// How long a process may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
const STOP_POLL: Duration = Duration::from_millis(20);

const GET: Method = Method::GET;
const POST: Method = Method::POST;

/// Has a running instance's process end, and waits until it has. With `keep`, packets are balanced on.
///
/// # Errors
/// It is not running, or goes on.
pub async fn request_stop(name: &str, keep: bool) -> Result<(), ApiError> {
    let body = json(&StopRequest { keep });
    match send(Role::Balancer, name, POST, "/v1/stop", body).await {
        // It may be gone before its answer is.
        Ok(_) | Err(ApiError::Answer { .. }) => {}
        Err(error) => return Err(error),
    }
    for _ in 0..STOP_PATIENCE.as_millis() / STOP_POLL.as_millis() {
        if !socket_path(name).exists() {
            return Ok(());
        }
        tokio::time::sleep(STOP_POLL).await;
    }
    Err(ApiError::Answer {
        name: name.into(),
        problem: format!("it still runs after {} s", STOP_PATIENCE.as_secs()),
    })
}

/// Asks a running instance for its status.
///
/// # Errors
/// It is not running, or does not answer properly.
pub async fn fetch_status(name: &str) -> Result<Status, ApiError> {
    ask(Role::Balancer, name, GET, "/v1/status").await
}

/// The services of a running instance, page by page.
///
/// # Errors
/// It is not running, or does not answer properly.
pub async fn fetch_services(name: &str, query: &ServiceQuery) -> Result<ServicePage, ApiError> {
    let mut parameters = Parameters::default();
    parameters.add("limit", query.limit);
    parameters.add("after", query.after.as_ref());
    get(name, &parameters.on("/v1/services")).await
}

/// A service of a running instance.
///
/// # Errors
/// It is not running, does not answer properly, or has no such service.
pub async fn fetch_service(name: &str, service: &str) -> Result<ServiceStatus, ApiError> {
    get(name, &format!("/v1/services/{}", escape(service))).await
}

/// Flows of a running instance, page by page.
///
/// # Errors
/// It is not running, does not answer properly, or has no such service or backend.
pub async fn fetch_flows(name: &str, query: &FlowQuery) -> Result<FlowPage, ApiError> {
    let mut parameters = Parameters::default();
    parameters.add("service", query.service.as_ref());
    parameters.add("backend", query.backend.as_ref());
    parameters.add("client", query.client.as_ref());
    parameters.add("limit", query.limit);
    parameters.add("after", query.after.as_ref());
    get(name, &parameters.on("/v1/flows")).await
}

/// Has a running instance forget flows.
///
/// # Errors
/// It is not running, does not answer properly, or has no such service or backend.
pub async fn flush(name: &str, request: &FlushRequest) -> Result<Flushed, ApiError> {
    call(name, POST, "/v1/flush", request).await
}

/// The configuration that is in force.
///
/// # Errors
/// It is not running, or does not answer properly.
pub async fn fetch_config(name: &str) -> Result<String, ApiError> {
    let body = send(Role::Balancer, name, GET, "/v1/config", Vec::new()).await?;
    Ok(String::from_utf8_lossy(&body).into())
}

/// What a configuration would change.
///
/// # Errors
/// It is not running, does not answer properly, or the configuration is none.
pub async fn plan(name: &str, request: &PlanRequest) -> Result<PlanReport, ApiError> {
    call(name, POST, "/v1/plan", request).await
}

/// Puts a configuration in force.
///
/// # Errors
/// It is not running, does not answer properly, or keeps the configuration it has.
pub async fn apply(name: &str, request: &ApplyRequest) -> Result<Reloaded, ApiError> {
    call(name, POST, "/v1/apply", request).await
}

/// Has a running instance read its configuration again.
///
/// # Errors
/// It is not running, does not answer properly, or keeps the configuration it has.
pub async fn request_reload(name: &str, discard_overrides: bool) -> Result<Reloaded, ApiError> {
    let request = ReloadRequest { discard_overrides };
    call(name, POST, "/v1/reload", &request).await
}

/// What was changed by hand.
///
/// # Errors
/// It is not running, or does not answer properly.
pub async fn fetch_overrides(name: &str) -> Result<OverrideList, ApiError> {
    get(name, "/v1/overrides").await
}

/// Everything as the configuration has it.
///
/// # Errors
/// It is not running, does not answer properly, or refuses.
pub async fn discard_overrides(name: &str) -> Result<Reloaded, ApiError> {
    ask(Role::Balancer, name, Method::DELETE, "/v1/overrides").await
}

/// Adds a service by hand.
///
/// # Errors
/// It is not running, does not answer properly, or refuses.
pub async fn add_service(name: &str, spec: &ServiceSpec) -> Result<Reloaded, ApiError> {
    call(name, POST, "/v1/services", spec).await
}

/// Removes a service by hand.
///
/// # Errors
/// It is not running, does not answer properly, or refuses.
pub async fn remove_service(name: &str, service: &str) -> Result<Reloaded, ApiError> {
    let uri = format!("/v1/services/{}", escape(service));
    ask(Role::Balancer, name, Method::DELETE, &uri).await
}

/// Adds a backend by hand.
///
/// # Errors
/// It is not running, does not answer properly, or refuses.
pub async fn add_backend(
    name: &str,
    service: &str,
    spec: &BackendSpec,
) -> Result<Reloaded, ApiError> {
    let uri = format!("/v1/services/{}/backends", escape(service));
    call(name, POST, &uri, spec).await
}

/// Removes a backend by hand.
///
/// # Errors
/// It is not running, does not answer properly, or refuses.
pub async fn remove_backend(
    name: &str,
    service: &str,
    backend: &str,
) -> Result<Reloaded, ApiError> {
    let uri = backend_uri(service, backend);
    ask(Role::Balancer, name, Method::DELETE, &uri).await
}

/// Gives a backend another state or weight by hand: drains it, for one.
///
/// # Errors
/// It is not running, does not answer properly, or refuses.
pub async fn patch_backend(
    name: &str,
    (service, backend): (&str, &str),
    patch: &BackendPatch,
) -> Result<Reloaded, ApiError> {
    call(name, Method::PATCH, &backend_uri(service, backend), patch).await
}

fn backend_uri(service: &str, backend: &str) -> String {
    format!(
        "/v1/services/{}/backends/{}",
        escape(service),
        escape(backend)
    )
}

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
    let (response, connection) = request(Role::Balancer, name, GET, &uri, Vec::new()).await?;
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

/// Parameters behind the `?`.
#[derive(Default)]
struct Parameters(String);

impl Parameters {
    fn add(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            let sign = if self.0.is_empty() { '?' } else { '&' };
            let value = escape(&value.to_string());
            // Writing to a text cannot fail.
            let _ = write!(self.0, "{sign}{key}={value}");
        }
    }

    fn on(&self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

/// Percent-encodes everything but what RFC 3986 (2.3) calls unreserved.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Plain structures can always be written.
    serde_json::to_vec(value).unwrap_or_default()
}

async fn get<T: DeserializeOwned>(name: &str, uri: &str) -> Result<T, ApiError> {
    ask(Role::Balancer, name, GET, uri).await
}

async fn call<T: DeserializeOwned>(
    name: &str,
    method: Method,
    uri: &str,
    body: &impl Serialize,
) -> Result<T, ApiError> {
    let answer = send(Role::Balancer, name, method, uri, json(body)).await?;
    understood(name, &answer)
}

pub(crate) async fn ask<T: DeserializeOwned>(
    role: Role,
    name: &str,
    method: Method,
    uri: &str,
) -> Result<T, ApiError> {
    let answer = send(role, name, method, uri, Vec::new()).await?;
    understood(name, &answer)
}

fn understood<T: DeserializeOwned>(name: &str, answer: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(answer).map_err(|error| ApiError::Answer {
        name: name.into(),
        problem: error.to_string(),
    })
}

/// Sends a request with a JSON body, or, if that is empty, without one.
async fn send(
    role: Role,
    name: &str,
    method: Method,
    uri: &str,
    body: Vec<u8>,
) -> Result<Bytes, ApiError> {
    let (response, connection) = request(role, name, method, uri, body).await?;
    let status = response.status();
    let body = read(name, response, connection).await?;
    match status.is_success() {
        true => Ok(body),
        false => Err(refused(name, status, &body)),
    }
}

async fn request(
    role: Role,
    name: &str,
    method: Method,
    uri: &str,
    body: Vec<u8>,
) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), ApiError> {
    let path = valid_path(role, name)?;
    let stream = UnixStream::connect(&path)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ApiError::NotRunning {
                role,
                name: name.into(),
                path,
            },
            _ => ApiError::Socket { path, source },
        })?;
    let answer = |problem: String| ApiError::Answer {
        name: name.into(),
        problem,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| answer(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(hyper::header::HOST, "evenkeel")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| answer(error.to_string()))?;
    let response = sender.send_request(request).await;
    Ok((
        response.map_err(|error| answer(error.to_string()))?,
        connection,
    ))
}

async fn read(
    name: &str,
    response: Response<Incoming>,
    connection: JoinHandle<hyper::Result<()>>,
) -> Result<Bytes, ApiError> {
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| ApiError::Answer {
            name: name.into(),
            problem: error.to_string(),
        })?
        .to_bytes();
    connection.abort();
    Ok(body)
}

/// What an answer says that is not the one that was wanted: about the request, or the instance.
fn refused(name: &str, status: StatusCode, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Failure>(body) {
        Ok(failure) if status.is_client_error() => ApiError::Refused(Box::new(failure)),
        Ok(failure) => ApiError::Answer {
            name: name.into(),
            problem: failure.to_string(),
        },
        Err(_) => ApiError::Answer {
            name: name.into(),
            problem: format!("{status}: {}", String::from_utf8_lossy(body)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(
            backend_uri("tcp://[2001:db8::/64]:*", "10.0.0.2:80"),
            "/v1/services/tcp%3A%2F%2F%5B2001%3Adb8%3A%3A%2F64%5D%3A%2A/backends/10.0.0.2%3A80"
        );
        let mut parameters = Parameters::default();
        parameters.add("limit", Some(3));
        parameters.add("after", None::<String>);
        parameters.add("client", Some("10.0.0.0/8"));
        assert_eq!(
            parameters.on("/v1/flows"),
            "/v1/flows?limit=3&client=10.0.0.0%2F8"
        );
    }
}
