//! The backends of a service.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::change;
use crate::api::failure::{Failure, Refusal};
use crate::api::model::{BackendList, BackendPatch};
use crate::api::server::Served;
use crate::api::strict::{Body, Names};
use crate::config::service_name;
use crate::instance::{Change, lock};
use crate::overrides::{BackendSpec, Override};
use crate::status::Reloaded;

/// A service's backends
#[utoipa::path(get, path = "/v1/services/{service}/backends", params(
    ("service" = String, Path, description = "As `tcp://10.0.0.10:443`, percent-encoded",
        example = "tcp://10.0.0.10:443"),
), responses(
    (status = 200, body = BackendList),
    (status = 400, body = Failure),
    (status = 404, body = Failure),
))]
pub(in crate::api) async fn backends(
    State(served): State<Served>,
    Names(name): Names<String>,
) -> Result<Json<BackendList>, Refusal> {
    let id = service_name(&name)?;
    let found = lock(&served.instance).service(id)?;
    let Some(service) = found else {
        return Err(Refusal::not_found(format!("there is no service {id}")));
    };
    Ok(Json(BackendList {
        service: service.service,
        backends: service.backends,
    }))
}

/// Add a backend by hand, beside the file
#[utoipa::path(post, path = "/v1/services/{service}/backends", params(
    ("service" = String, Path, description = "As `tcp://10.0.0.10:443`, percent-encoded",
        example = "tcp://10.0.0.10:443"),
), request_body = BackendSpec, responses(
    (status = 201, body = Reloaded),
    (status = 400, body = Failure),
    (status = 404, body = Failure),
    (status = 409, body = Failure, description = "It is there already"),
    (status = 413, body = Failure),
    (status = 422, body = Failure, description = "It is not a backend that can be"),
))]
pub(in crate::api) async fn add_backend(
    State(served): State<Served>,
    Names(service): Names<String>,
    Body(spec): Body<BackendSpec>,
) -> Result<(StatusCode, Json<Reloaded>), Refusal> {
    let change_ = Change::Override(vec![Override::BackendAdded { service, spec }]);
    let reloaded = change(&served, change_).await?;
    Ok((StatusCode::CREATED, Json(reloaded)))
}

/// Give a backend another state or weight by hand, beside the file
#[utoipa::path(patch, path = "/v1/services/{service}/backends/{backend}", params(
    ("service" = String, Path, description = "As `tcp://10.0.0.10:443`, percent-encoded",
        example = "tcp://10.0.0.10:443"),
    ("backend" = String, Path, description = "As `10.0.0.2` or `10.0.0.2:443`",
        example = "10.0.0.2"),
), request_body = BackendPatch, responses(
    (status = 200, body = Reloaded),
    (status = 400, body = Failure),
    (status = 404, body = Failure),
    (status = 409, body = Failure, description = "Too much was changed by hand"),
    (status = 413, body = Failure),
    (status = 422, body = Failure),
))]
pub(in crate::api) async fn patch_backend(
    State(served): State<Served>,
    Names((service, backend)): Names<(String, String)>,
    Body(patch): Body<BackendPatch>,
) -> Result<Json<Reloaded>, Refusal> {
    let named = || (service.clone(), backend.clone());
    let state = patch.state.map(|state| {
        let (service, backend) = named();
        Override::BackendState {
            service,
            backend,
            state,
        }
    });
    let weight = patch.weight.map(|weight| {
        let (service, backend) = named();
        Override::BackendWeight {
            service,
            backend,
            weight,
        }
    });
    let overrides: Vec<_> = state.into_iter().chain(weight).collect();
    if overrides.is_empty() {
        return Err(Refusal::bad(
            "a change of nothing",
            "expected `state`, `weight`, or both",
        ));
    }
    Ok(Json(change(&served, Change::Override(overrides)).await?))
}

/// Remove a backend by hand, beside the file; it keeps its flows until they are over
#[utoipa::path(delete, path = "/v1/services/{service}/backends/{backend}", params(
    ("service" = String, Path, description = "As `tcp://10.0.0.10:443`, percent-encoded",
        example = "tcp://10.0.0.10:443"),
    ("backend" = String, Path, description = "As `10.0.0.2` or `10.0.0.2:443`",
        example = "10.0.0.2"),
), responses(
    (status = 200, body = Reloaded),
    (status = 400, body = Failure),
    (status = 404, body = Failure),
    (status = 422, body = Failure, description = "It is the last one"),
))]
pub(in crate::api) async fn remove_backend(
    State(served): State<Served>,
    Names((service, backend)): Names<(String, String)>,
) -> Result<Json<Reloaded>, Refusal> {
    let change_ = Change::Override(vec![Override::BackendRemoved { service, backend }]);
    Ok(Json(change(&served, change_).await?))
}
