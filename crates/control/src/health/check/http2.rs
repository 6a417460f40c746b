//! HTTP/2 over a stream.

use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use hyper::body::Bytes;
use hyper::{Request, Response, Uri, Version, header};
use tokio::io::{AsyncRead, AsyncWrite};

use super::MAX_ANSWER;
use super::answer::Search;
use super::http::{USER_AGENT, judge_body, judge_status};
use super::http1::drive;
use super::limit::Limit;
use crate::health::outcome::Found;
use crate::health::settings::HttpCheck;

/// Asks over `stream`; scheme and host go together in a request's URI.
pub(super) async fn ask<S>(
    stream: S,
    check: &HttpCheck,
    origin: (&str, &str),
    limit: &Limit,
) -> Result<Found, Found>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let request = request(&check.method, origin, &check.path)?
        .body(())
        .map_err(|error| unfit(&error))?;
    let exchange = async |mut sender: SendRequest<Bytes>| {
        let (response, _) = sender.send_request(request, true).map_err(|e| bad(&e))?;
        judge(check, response.await.map_err(|e| bad(&e))?).await
    };
    exchange_over(stream, exchange, limit).await
}

/// A request's head.
pub(super) fn request(
    method: &str,
    (scheme, host): (&str, &str),
    path: &str,
) -> Result<hyper::http::request::Builder, Found> {
    let uri = Uri::builder().scheme(scheme).authority(host);
    let uri = uri.path_and_query(path).build().map_err(|e| unfit(&e))?;
    Ok(Request::builder()
        .version(Version::HTTP_2)
        .method(method)
        .uri(uri)
        .header(header::USER_AGENT, USER_AGENT))
}

/// Greets the other side, and has `exchange` ask it something.
pub(super) async fn exchange_over<S, T>(
    stream: S,
    exchange: impl AsyncFnOnce(SendRequest<Bytes>) -> Result<T, Found>,
    limit: &Limit,
) -> Result<T, Found>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let handshake = client::Builder::new()
        .enable_push(false)
        .max_header_list_size(MAX_ANSWER as u32)
        .handshake::<_, Bytes>(stream);
    let whole = async {
        let (sender, connection) = handshake.await.map_err(|error| bad(&error))?;
        let asked = async { exchange(sender.ready().await.map_err(|e| bad(&e))?).await };
        drive(connection, asked).await
    };
    limit.wait("answer", whole).await
}

async fn judge(check: &HttpCheck, response: Response<RecvStream>) -> Result<Found, Found> {
    let status = response.status().as_u16();
    if let Some(found) = judge_status(check, status) {
        return Ok(found);
    }
    let mut body = response.into_body();
    let mut search = Search::new(check.body.as_deref().unwrap_or_default().as_bytes());
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| bad(&error))?;
        if !search.feed(&piece) {
            break;
        }
        let _ = body.flow_control().release_capacity(piece.len());
    }
    Ok(judge_body(check, status, search.found()))
}

pub(super) fn bad(error: &h2::Error) -> Found {
    match error.reason() {
        Some(Reason::HTTP_1_1_REQUIRED) => Found::Bad("it wants HTTP/1.1".to_owned()),
        _ => Found::Bad(format!("HTTP/2: {error}")),
    }
}

/// The configuration was checked, so this is a mistake of ours, not of the backend.
pub(super) fn unfit(error: &hyper::http::Error) -> Found {
    Found::Inconclusive(format!("cannot make the request: {error}"))
}
