//! The HTTP half of the server.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use futures_util::{StreamExt, stream};
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, Result};
use crate::pattern::{self, Fnv64};

/// The header that names the server.
pub(crate) const SERVED_BY: &str = "x-served-by";
/// The header with the peer's address as the server sees it.
const CLIENT: HeaderName = HeaderName::from_static("x-client");
/// The header with the address that the peer connected to, as the server sees it.
const SERVER: HeaderName = HeaderName::from_static("x-server");

/// Both ends of a connection.
#[derive(Debug, Clone)]
struct Ends {
    client: Option<HeaderValue>,
    server: Option<HeaderValue>,
}

/// A listener whose connections know both their ends.
struct Connections(TcpListener);

impl Listener for Connections {
    type Io = TcpStream;
    type Addr = Ends;

    async fn accept(&mut self) -> (TcpStream, Ends) {
        let (stream, client) = Listener::accept(&mut self.0).await;
        // A socket that has just been closed by its peer refuses; it is gone anyway.
        let _ = stream.set_nodelay(true);
        let server = stream.local_addr().ok();
        (stream, Ends::of(Some(client), server))
    }

    fn local_addr(&self) -> std::io::Result<Ends> {
        let own = self.0.local_addr()?;
        Ok(Ends::of(None, Some(own)))
    }
}

impl Ends {
    fn of(client: Option<SocketAddr>, server: Option<SocketAddr>) -> Self {
        let header = |address: SocketAddr| address.to_string().parse().ok();
        Self {
            client: client.and_then(header),
            server: server.and_then(header),
        }
    }
}

impl Connected<IncomingStream<'_, Connections>> for Ends {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Answers HTTP requests until the listener fails.
pub(super) async fn serve(listener: TcpListener, name: &str) -> Result<()> {
    let router = Router::new()
        .route("/", get(who))
        .route("/bytes/{length}", get(bytes))
        .route("/upload", post(upload))
        .layer(axum::middleware::map_response_with_state(
            name.to_owned(),
            sign,
        ))
        .layer(axum::middleware::from_fn(name_ends))
        .with_state(name.to_owned());
    axum::serve(
        Connections(listener),
        router.into_make_service_with_connect_info::<Ends>(),
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

/// Adds who is at which end.
async fn name_ends(ConnectInfo(ends): ConnectInfo<Ends>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [(CLIENT, ends.client), (SERVER, ends.server)] {
        if let Some(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn who(State(name): State<String>) -> String {
    format!("{name}\n")
}

async fn bytes(Path(length): Path<u64>) -> Response {
    let headers = [
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
    ];
    let chunks = pattern::chunks(length).map(Ok::<_, Infallible>);
    (headers, Body::from_stream(stream::iter(chunks))).into_response()
}

async fn upload(request: Request) -> Response {
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
    format!("{length} {}\n", hash.hex()).into_response()
}
