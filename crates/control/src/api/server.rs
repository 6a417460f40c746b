//! What is answered, and by what.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::FromRef;
use tokio::sync::{Semaphore, mpsc};
use utoipa::OpenApi;
use utoipa::openapi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::socket::Listener;
use super::{ApiError, limits, routes as answers, strict};
use crate::event::Events;
use crate::instance::{Instance, Request};

/// What requests are answered with.
#[derive(Clone)]
pub(crate) struct Served {
    /// What is running.
    pub(crate) instance: Arc<Mutex<Instance>>,
    /// What is to be done.
    pub(crate) requests: mpsc::Sender<Request>,
    /// What happens.
    pub(crate) told: Told,
}

impl FromRef<Served> for Told {
    fn from_ref(served: &Served) -> Self {
        served.told.clone()
    }
}

/// What happens, and room for those who follow it.
#[derive(Clone)]
pub(crate) struct Told {
    pub(super) events: Events,
    pub(super) places: Arc<Semaphore>,
}

impl Told {
    pub(crate) fn new(events: Events) -> Self {
        let places = Semaphore::new(limits::MAX_ENDLESS).into();
        Self { events, places }
    }
}

/// The API of a running evenkeel.
#[derive(OpenApi)]
#[openapi(info(
    title = "evenkeel",
    description = "The API of a running instance: HTTP/JSON on the Unix socket \
                   /run/evenkeel/NAME.sock. Names in paths are percent-encoded."
))]
struct Description;

fn router() -> OpenApiRouter<Served> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(answers::status::status))
        .routes(routes!(
            answers::services::services,
            answers::services::add_service
        ))
        .routes(routes!(
            answers::services::service,
            answers::services::remove_service
        ))
        .routes(routes!(
            answers::backends::backends,
            answers::backends::add_backend
        ))
        .routes(routes!(
            answers::backends::patch_backend,
            answers::backends::remove_backend
        ))
        .routes(routes!(answers::flows::flows))
        .routes(routes!(answers::flows::flush))
        .routes(routes!(answers::events::events))
        .routes(routes!(answers::config::config))
        .routes(routes!(answers::config::plan))
        .routes(routes!(answers::config::apply))
        .routes(routes!(answers::config::reload))
        .routes(routes!(
            answers::config::overrides,
            answers::config::discard_overrides
        ))
        .routes(routes!(answers::status::stop))
        .routes(routes!(answers::status::openapi))
}

/// The OpenAPI description of all this.
#[must_use]
pub fn description() -> openapi::OpenApi {
    router().into_openapi()
}

/// Answers requests until the socket fails.
///
/// # Errors
/// The socket failed.
pub(crate) async fn serve(listener: Listener, served: Served) -> Result<(), ApiError> {
    let (router, _) = router().split_for_parts();
    serve_routes(listener, router.with_state(served)).await
}

/// Answers requests until the socket fails.
///
/// # Errors
/// The socket failed.
pub(crate) async fn serve_routes(listener: Listener, router: Router) -> Result<(), ApiError> {
    let router = router
        .fallback(strict::nothing)
        .method_not_allowed_fallback(strict::not_that);
    limits::serve(listener, router).await
}
