//! Services: a page of them, one of them, one more, one less.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::change;
use crate::api::failure::{Failure, Refusal};
use crate::api::model::{MAX_SERVICES, PAGE_SERVICES, ServicePage, ServiceQuery};
use crate::api::server::Served;
use crate::api::strict::{Body, Names, Parameters};
use crate::config::service_name;
use crate::instance::{Change, lock};
use crate::overrides::{Override, ServiceSpec};
use crate::status::{Reloaded, ServiceStatus};

/// Services with their backends, in pages
#[utoipa::path(get, path = "/v1/services", params(ServiceQuery), responses(
    (status = 200, body = ServicePage),
    (status = 400, body = Failure),
    (status = 404, body = Failure, description = "There is no service `after`"),
))]
pub(in crate::api) async fn services(
    State(served): State<Served>,
    Parameters(query): Parameters<ServiceQuery>,
) -> Result<Json<ServicePage>, Refusal> {
    let limit = page(query.limit, PAGE_SERVICES, MAX_SERVICES)?;
    let after = query.after.as_deref().map(service_name).transpose()?;
    let instance = lock(&served.instance);
    if let Some(after) = after.filter(|after| !instance.has_service(*after)) {
        return Err(Refusal::not_found(format!("there is no service {after}")));
    }
    let mut services = instance.services(after, limit + 1)?;
    let has_more = services.len() > limit;
    services.truncate(limit);
    let last = services.last().filter(|_| has_more);
    Ok(Json(ServicePage {
        next: last.map(|last| last.service.clone()),
        services,
    }))
}

/// How long a page is to be.
pub(super) fn page(asked: Option<u64>, otherwise: u64, most: u64) -> Result<usize, Refusal> {
    let limit = asked.unwrap_or(otherwise);
    match usize::try_from(limit) {
        Ok(length) if (1..=most).contains(&limit) => Ok(length),
        _ => Err(Refusal::bad(
            format!("`limit` is {limit}"),
            format!("expected an integer from 1 to {most}"),
        )),
    }
}

/// A service with its backends
#[utoipa::path(get, path = "/v1/services/{service}", params(
    ("service" = String, Path, description = "As `tcp://10.0.0.10:443`, percent-encoded",
        example = "tcp://10.0.0.10:443"),
), responses(
    (status = 200, body = ServiceStatus),
    (status = 400, body = Failure),
    (status = 404, body = Failure),
))]
pub(in crate::api) async fn service(
    State(served): State<Served>,
    Names(name): Names<String>,
) -> Result<Json<ServiceStatus>, Refusal> {
    let id = service_name(&name)?;
    let found = lock(&served.instance).service(id)?;
    match found {
        Some(service) => Ok(Json(service)),
        None => Err(Refusal::not_found(format!("there is no service {id}"))),
    }
}

/// Add a service by hand, beside the file
#[utoipa::path(post, path = "/v1/services", request_body = ServiceSpec, responses(
    (status = 201, body = Reloaded),
    (status = 400, body = Failure),
    (status = 409, body = Failure, description = "It is there already"),
    (status = 413, body = Failure),
    (status = 422, body = Failure, description = "It is not a service that can be"),
))]
pub(in crate::api) async fn add_service(
    State(served): State<Served>,
    Body(spec): Body<ServiceSpec>,
) -> Result<(StatusCode, Json<Reloaded>), Refusal> {
    let change_ = Change::Override(vec![Override::ServiceAdded { spec }]);
    let reloaded = change(&served, change_).await?;
    Ok((StatusCode::CREATED, Json(reloaded)))
}

/// Remove a service by hand, beside the file; its flows break
#[utoipa::path(delete, path = "/v1/services/{service}", params(
    ("service" = String, Path, description = "As `tcp://10.0.0.10:443`, percent-encoded",
        example = "tcp://10.0.0.10:443"),
), responses(
    (status = 200, body = Reloaded),
    (status = 400, body = Failure),
    (status = 404, body = Failure),
    (status = 422, body = Failure),
))]
pub(in crate::api) async fn remove_service(
    State(served): State<Served>,
    Names(service): Names<String>,
) -> Result<Json<Reloaded>, Refusal> {
    let change_ = Change::Override(vec![Override::ServiceRemoved { service }]);
    Ok(Json(change(&served, change_).await?))
}
