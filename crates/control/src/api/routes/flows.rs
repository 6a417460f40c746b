//! The flows that are known one by one.

use axum::Json;
use axum::extract::State;

use super::services::page;
use crate::api::failure::{Failure, Refusal};
use crate::api::model::{FlowPage, FlowQuery, FlushRequest, Flushed, MAX_FLOWS, PAGE_FLOWS};
use crate::api::server::Served;
use crate::api::strict::{Body, Parameters};
use crate::config::{BackendName, service_name};
use crate::decap::prefix;
use crate::instance::{Wanted, cursor, from_cursor, lock};

/// Flows that are known one by one, in pages: those of mode `nat`, and those that a change of their
/// slot made known
#[utoipa::path(get, path = "/v1/flows", params(FlowQuery), responses(
    (status = 200, body = FlowPage),
    (status = 400, body = Failure),
    (status = 404, body = Failure, description = "There is no such service or backend"),
))]
pub(in crate::api) async fn flows(
    State(served): State<Served>,
    Parameters(query): Parameters<FlowQuery>,
) -> Result<Json<FlowPage>, Refusal> {
    let limit = page(query.limit, PAGE_FLOWS, MAX_FLOWS)?;
    let wanted = wanted(&query.service, &query.backend, &query.client)?;
    let after = match &query.after {
        None => None,
        Some(text) => match from_cursor(text) {
            Some(name) => Some(name),
            None => {
                return Err(Refusal::bad(
                    format!("`after` is {text:?}"),
                    "expected `next` of the page before",
                ));
            }
        },
    };
    let mut flows = lock(&served.instance).flows(&wanted, after, limit + 1)?;
    let has_more = flows.len() > limit;
    flows.truncate(limit);
    let next = flows.last().filter(|_| has_more).map(cursor);
    Ok(Json(FlowPage { flows, next }))
}

/// Forget flows; without any field, all of them. What comes of them is as if they were new
#[utoipa::path(post, path = "/v1/flush", request_body = FlushRequest, responses(
    (status = 200, body = Flushed),
    (status = 400, body = Failure),
    (status = 404, body = Failure, description = "There is no such service or backend"),
    (status = 413, body = Failure),
))]
pub(in crate::api) async fn flush(
    State(served): State<Served>,
    Body(request): Body<FlushRequest>,
) -> Result<Json<Flushed>, Refusal> {
    let wanted = wanted(&request.service, &request.backend, &request.client)?;
    let flushed = lock(&served.instance).flush(&wanted)?;
    Ok(Json(flushed))
}

fn wanted(
    service: &Option<String>,
    backend: &Option<String>,
    client: &Option<String>,
) -> Result<Wanted, Refusal> {
    let client = client.as_deref().map(prefix).transpose();
    Ok(Wanted {
        service: service.as_deref().map(service_name).transpose()?,
        backend: backend.as_deref().map(BackendName::parse).transpose()?,
        client: client.map_err(|error| {
            Refusal::bad(
                format!("`client`: {error}"),
                "expected 10.0.0.1 or 10.0.0.0/24",
            )
        })?,
    })
}
