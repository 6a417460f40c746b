//! The configuration: what is in force, what another would change, another in force.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::change;
use crate::api::failure::{Failure, Refusal};
use crate::api::model::{ApplyRequest, OverrideList, PlanRequest, ReloadRequest};
use crate::api::server::Served;
use crate::api::strict::{Body, MaybeBody};
use crate::instance::{Change, check_interfaces, lock};
use crate::plan::PlanReport;
use crate::status::Reloaded;

/// What a text is called that came without a name.
const UNNAMED: &str = "a request";

/// The configuration in force, what was changed by hand included
#[utoipa::path(get, path = "/v1/config", responses(
    (status = 200, body = String, content_type = "application/toml"),
))]
pub(in crate::api) async fn config(State(served): State<Served>) -> impl IntoResponse {
    let configuration = lock(&served.instance).configuration.clone();
    ([(CONTENT_TYPE, "application/toml")], configuration.text())
}

/// What a configuration would change; nothing is changed
#[utoipa::path(post, path = "/v1/plan", request_body = PlanRequest, responses(
    (status = 200, body = PlanReport),
    (status = 400, body = Failure),
    (status = 413, body = Failure),
    (status = 422, body = Failure, description = "It is not a configuration that can be in force"),
))]
pub(in crate::api) async fn plan(
    State(served): State<Served>,
    Body(request): Body<PlanRequest>,
) -> Result<Json<PlanReport>, Refusal> {
    let now = lock(&served.instance).configuration.clone();
    let name = request.name.as_deref().unwrap_or(UNNAMED);
    let next = match request.config {
        Some(text) => Some(now.with_text(name, text, false)?),
        None => now.reread(false)?,
    };
    let Some((next, _)) = next else {
        let error = crate::instance::ReloadError::NoFile;
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error));
    };
    check_interfaces(&served.instance, &next.checked().desired).await?;
    let report = lock(&served.instance).plan(next.checked())?;
    Ok(Json(report))
}

/// Put a configuration in force: all of it, or nothing
#[utoipa::path(post, path = "/v1/apply", request_body = ApplyRequest, responses(
    (status = 200, body = Reloaded),
    (status = 400, body = Failure),
    (status = 409, body = Failure, description = "Flows would break, or might; `plan` says which"),
    (status = 413, body = Failure),
    (status = 422, body = Failure, description = "It is not a configuration that can be in force"),
))]
pub(in crate::api) async fn apply(
    State(served): State<Served>,
    Body(request): Body<ApplyRequest>,
) -> Result<Json<Reloaded>, Refusal> {
    let allow_disruption = request.allow_disruption;
    let wanted = match request.config {
        Some(text) => Change::Apply {
            source: request.name.unwrap_or_else(|| UNNAMED.into()),
            text,
            allow_disruption,
        },
        None => Change::Reload {
            discard_overrides: false,
            allow_disruption,
        },
    };
    Ok(Json(change(&served, wanted).await?))
}

/// Read the instance's file again, whatever that breaks
#[utoipa::path(post, path = "/v1/reload", request_body = Option<ReloadRequest>, responses(
    (status = 200, body = Reloaded),
    (status = 400, body = Failure),
    (status = 413, body = Failure),
    (status = 422, body = Failure, description = "It is not a configuration that can be in force"),
))]
pub(in crate::api) async fn reload(
    State(served): State<Served>,
    MaybeBody(request): MaybeBody<ReloadRequest>,
) -> Result<Json<Reloaded>, Refusal> {
    let wanted = Change::Reload {
        discard_overrides: request.unwrap_or_default().discard_overrides,
        allow_disruption: true,
    };
    Ok(Json(change(&served, wanted).await?))
}

/// What was changed by hand, beside the file
#[utoipa::path(get, path = "/v1/overrides", responses((status = 200, body = OverrideList)))]
pub(in crate::api) async fn overrides(State(served): State<Served>) -> Json<OverrideList> {
    let instance = lock(&served.instance);
    let overrides = instance.configuration.overrides().as_slice().to_vec();
    Json(OverrideList { overrides })
}

/// Everything as the configuration has it, without reading the file again
#[utoipa::path(delete, path = "/v1/overrides", responses(
    (status = 200, body = Reloaded),
    (status = 422, body = Failure),
))]
pub(in crate::api) async fn discard_overrides(
    State(served): State<Served>,
) -> Result<Json<Reloaded>, Refusal> {
    Ok(Json(change(&served, Change::DiscardOverrides).await?))
}
