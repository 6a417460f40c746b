//! The other side of the socket: what the commands ask.
//!
//! - `transport`: one request on a connection of its own, and its answer.
//! - `events`: listening to events.

mod events;
mod transport;

use std::time::Duration;

use axum::http::Method;

use super::model::{
    ApplyRequest, BackendPatch, FlowPage, FlowQuery, FlushRequest, Flushed, OverrideList,
    PlanRequest, ReloadRequest, ServicePage, ServiceQuery, StopRequest,
};
use super::{ApiError, Role};
use crate::instance::socket_path;
use crate::overrides::{BackendSpec, ServiceSpec};
use crate::plan::PlanReport;
use crate::status::{Reloaded, ServiceStatus, Status};
pub use events::{EventStream, follow_events};
pub(crate) use transport::ask;
use transport::{Parameters, call, escape, get, json, send};

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
