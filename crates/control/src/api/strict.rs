//! Requests with nothing unknown in them: a field that is misspelt is an error, not the default.

use std::error::Error;
use std::time::Duration;

use axum::body::{HttpBody as _, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::failure::Refusal;

/// Largest body: that of the largest configuration, each byte of which may take two in JSON.
pub(super) const MAX_BODY: usize = 32 << 20;
/// Time for a body to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .is_none_or(|kind| kind.as_bytes().starts_with(b"application/json"));
        let too_large = || {
            let text = format!("the body is larger than {} MiB", MAX_BODY >> 20);
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        if request.body().size_hint().lower() > MAX_BODY as u64 {
            return Err(too_large());
        }
        let bytes = match timeout(BODY_PATIENCE, to_bytes(request.into_body(), MAX_BODY)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if is_too_large(&error) => return Err(too_large()),
            Ok(Err(error)) => {
                return Err(Refusal::bad(
                    format!("the body: {error}"),
                    "expected all of it",
                ));
            }
            Err(_) => {
                let seconds = BODY_PATIENCE.as_secs();
                let text = format!("the body took longer than {seconds} s");
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text));
            }
        };
        if !is_json && !bytes.is_empty() {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is not said to be JSON: expected Content-Type: application/json",
            ));
        }
        // A list of values in the order of the fields would be understood, too.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            return Err(Refusal::bad("the body is a list", "expected an object"));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Refusal::bad(
                format!("the body is not what was expected: {error}"),
                "expected what GET /v1/openapi.json says",
            )),
        }
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = error.source();
    source.is_some_and(<dyn Error>::is::<LengthLimitError>)
}

/// A JSON body, or none, which is that of `null`.
pub(super) struct MaybeBody<T>(pub(super) Option<T>);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for MaybeBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if request.body().is_end_stream() {
            return Ok(Self(None));
        }
        let Body(value) = Body::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// The parameters behind the `?`.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => Err(Refusal::bad(
                error.body_text(),
                "expected what GET /v1/openapi.json says",
            )),
        }
    }
}

/// What is in the path; what stands for a name is percent-encoded there.
pub(super) struct Names<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Names<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(error) => Err(Refusal::bad(
                error.body_text(),
                "expected names in UTF-8, percent-encoded",
            )),
        }
    }
}

/// Whoever asks for something that there is not.
pub(super) async fn nothing(uri: Uri) -> Refusal {
    Refusal::not_found(format!(
        "there is no {}: GET /v1/openapi.json says what there is",
        uri.path()
    ))
}

/// Whoever does something that cannot be done there.
pub(super) async fn not_that(method: Method, uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!(
            "{method} is nothing for {}: GET /v1/openapi.json says what is",
            uri.path()
        ),
    )
}
