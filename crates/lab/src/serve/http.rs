//! The HTTP half of the server.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;

use crate::error::{Error, Result};
use crate::pattern::{self, Fnv64};

/// The header that names the server.
pub(crate) const SERVED_BY: &str = "x-served-by";
/// The header with the peer's address as the server sees it.
const CLIENT: &str = "x-client";

/// Answers HTTP requests until the listener fails.
pub(super) async fn serve(listener: TcpListener, name: &str) -> Result<()> {
    let listener = listener.tap_io(|stream| {
        // A socket that has just been closed by its peer refuses; it is gone anyway.
        let _ = stream.set_nodelay(true);
    });
    let router = Router::new()
        .route("/", get(who))
        .route("/bytes/{length}", get(bytes))
        .route("/upload", post(upload))
        .with_state(name.to_owned())
        .layer(axum::middleware::map_response_with_state(
            name.to_owned(),
            sign,
        ));
    axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await
    .map_err(Error::io("serve HTTP"))
}

/// Adds who answered.
async fn sign(State(name): State<String>, mut response: Response) -> Response {
    if let Ok(value) = name.parse() {
        response
            .headers_mut()
            .insert(HeaderName::from_static(SERVED_BY), value);
    }
    response
}

async fn who(State(name): State<String>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    ([(CLIENT, peer.to_string())], format!("{name}\n")).into_response()
}

async fn bytes(Path(length): Path<u64>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    let headers = [
        (header::CONTENT_LENGTH.as_str(), length.to_string()),
        (
            header::CONTENT_TYPE.as_str(),
            "application/octet-stream".to_owned(),
        ),
        (CLIENT, peer.to_string()),
    ];
    let chunks = pattern::chunks(length).map(Ok::<_, Infallible>);
    (headers, Body::from_stream(stream::iter(chunks))).into_response()
}

async fn upload(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    let mut hash = Fnv64::default();
    let mut length = 0;
    let mut body = request.into_body().into_data_stream();
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => {
                length += piece.len();
                hash.write(&piece);
            }
            Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        }
    }
    (
        [(CLIENT, peer.to_string())],
        format!("{length} {}\n", hash.hex()),
    )
        .into_response()
}
