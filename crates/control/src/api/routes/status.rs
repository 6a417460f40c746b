//! The instance as a whole.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::oneshot;
use utoipa::openapi::OpenApi;

use crate::api::failure::{Failure, Refusal};
use crate::api::model::StopRequest;
use crate::api::server::{Served, description};
use crate::api::strict::Body;
use crate::instance::{Request, lock};
use crate::status::Status;

/// Everything at once. Large with thousands of services: `/v1/services` has them in pages
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
pub(in crate::api) async fn status(State(served): State<Served>) -> Result<Json<Status>, Refusal> {
    Ok(Json(lock(&served.instance).status()?))
}

/// End the process; packets are balanced on, or no longer
#[utoipa::path(post, path = "/v1/stop", request_body = StopRequest, responses(
    (status = 204, description = "It ends"),
    (status = 400, body = Failure),
))]
pub(in crate::api) async fn stop(
    State(served): State<Served>,
    Body(StopRequest { keep }): Body<StopRequest>,
) -> StatusCode {
    let (answer, answered) = oneshot::channel();
    // The instance may be stopping already.
    let _ = served.requests.send(Request::Stop { keep, answer }).await;
    let _ = answered.await;
    StatusCode::NO_CONTENT
}

/// This description
#[utoipa::path(get, path = "/v1/openapi.json", responses(
    (status = 200, body = Object, content_type = "application/json")
))]
pub(in crate::api) async fn openapi() -> Json<OpenApi> {
    Json(description())
}
