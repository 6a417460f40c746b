//! HTTP/1.1 over a stream.

use std::pin::pin;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::Builder;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::MAX_ANSWER;
use super::answer::Search;
use super::http::{USER_AGENT, judge_body, judge_status};
use super::http2::unfit;
use super::limit::Limit;
use crate::health::outcome::Found;
use crate::health::settings::HttpCheck;

pub(super) async fn ask<S>(
    stream: S,
    check: &HttpCheck,
    host: &str,
    limit: &Limit,
) -> Result<Found, Found>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let request = Request::builder()
        .method(check.method.as_str())
        .uri(&check.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| unfit(&error))?;
    let handshake = Builder::new()
        .max_buf_size(MAX_ANSWER)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| bad(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await;
        judge(check, response.map_err(|error| bad(&error))?).await
    };
    limit.wait("answer", drive(connection, exchange)).await
}

async fn judge(check: &HttpCheck, response: Response<Incoming>) -> Result<Found, Found> {
    let status = response.status().as_u16();
    if let Some(found) = judge_status(check, status) {
        return Ok(found);
    }
    let mut body = response.into_body();
    let mut search = Search::new(check.body.as_deref().unwrap_or_default().as_bytes());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| bad(&error))?;
        if frame.data_ref().is_some_and(|data| !search.feed(data)) {
            break;
        }
    }
    Ok(judge_body(check, status, search.found()))
}

/// Moves a connection's bytes while something is asked over it.
pub(super) async fn drive<T>(
    connection: impl Future,
    exchange: impl Future<Output = Result<T, Found>>,
) -> Result<T, Found> {
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        // Its error, if it is one, reaches the exchange, and so does what came before.
        _ = connection => exchange.await,
    }
}

fn bad(error: &hyper::Error) -> Found {
    use std::error::Error as _;
    let source = error.source().map(ToString::to_string);
    match source {
        Some(source) => Found::Bad(format!("{error}: {source}")),
        None => Found::Bad(error.to_string()),
    }
}
