//! One request on a connection of its own, and its answer.

use std::error::Error;
use std::fmt::{Display, Write as _};
use std::io;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::api::failure::Failure;
use crate::api::socket::valid_path;
use crate::api::{ApiError, Role};

/// Largest answer that a client reads: several times the status of 10,000 services of 10 backends
/// with all there is to say of their checks.
const MAX_ANSWER: usize = 512 << 20;

/// Longer than an instance takes for anything: the largest configuration, with neighbours that do
/// not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Parameters behind the `?`.
#[derive(Default)]
pub(super) struct Parameters(String);

impl Parameters {
    pub(super) fn add(&mut self, key: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            let sign = if self.0.is_empty() { '?' } else { '&' };
            let value = escape(&value.to_string());
            // Writing to a text cannot fail.
            let _ = write!(self.0, "{sign}{key}={value}");
        }
    }

    pub(super) fn on(&self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

/// Percent-encodes everything but what RFC 3986 (2.3) calls unreserved.
pub(super) fn escape(text: &str) -> String {
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

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    // Plain structures can always be written.
    serde_json::to_vec(value).unwrap_or_default()
}

pub(super) async fn get<T: DeserializeOwned>(name: &str, uri: &str) -> Result<T, ApiError> {
    ask(Role::Balancer, name, Method::GET, uri).await
}

pub(super) async fn call<T: DeserializeOwned>(
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
pub(super) async fn send(
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

pub(super) async fn request(
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
    let response = in_time(sender.send_request(request)).await;
    Ok((response.map_err(answer)?, connection))
}

/// What comes of it, or why nothing does.
async fn in_time<T, E: Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "none within {} s; if its process hangs, end it with kill -9 and start it again (a load \
             balancer's packets are balanced on meanwhile)",
            PATIENCE.as_secs()
        )),
    }
}

pub(super) async fn read(
    name: &str,
    response: Response<Incoming>,
    connection: JoinHandle<hyper::Result<()>>,
) -> Result<Bytes, ApiError> {
    let body = in_time(whole(response.into_body(), MAX_ANSWER)).await;
    connection.abort();
    body.map_err(|problem| ApiError::Answer {
        name: name.into(),
        problem,
    })
}

async fn whole<B>(body: B, limit: usize) -> Result<Bytes, String>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
{
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(format!(
            "it has more than {limit} bytes; ask for less at once, as with `evenkeel service list`"
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// What an answer says that is not the one that was wanted: about the request, or the instance.
pub(super) fn refused(name: &str, status: StatusCode, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => ApiError::Refused(Box::new(failure)),
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
    fn whatever_an_instance_says_of_a_failure_is_told_as_it_says_it() {
        let said = json(&Failure::new("the instance is stopping"));
        for status in [
            StatusCode::NOT_FOUND,
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::SERVICE_UNAVAILABLE,
        ] {
            let error = refused("lb", status, &said);
            assert!(matches!(error, ApiError::Refused(_)), "{status}");
            assert_eq!(error.to_string(), "the instance is stopping");
        }
        let other = refused("lb", StatusCode::BAD_GATEWAY, b"<html>").to_string();
        assert!(
            other.contains("no proper answer: 502 Bad Gateway: <html>"),
            "{other}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_hangs_is_not_waited_for_for_ever() {
        let never = std::future::pending::<Result<(), io::Error>>();
        let error = in_time(never).await.unwrap_err();
        assert!(error.contains("within 60 s"), "{error}");
        assert_eq!(in_time(async { Ok::<_, String>(1) }).await, Ok(1));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_says_how_large_it_may_be() {
        let body = || Full::new(Bytes::from("four"));
        assert_eq!(whole(body(), 4).await, Ok(Bytes::from("four")));
        let error = whole(body(), 3).await.unwrap_err();
        assert!(error.contains("more than 3 bytes"), "{error}");
    }
}
