//! The API of an instance, and of `evenkeel decap`: HTTP/JSON on a Unix socket that only root can
//! reach.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::event::Events;
use crate::instance::{
    Instance, MAX_NAME, ReloadError, Request, SOCKET_DIRECTORY, decap_socket_path, is_valid, lock,
    running, socket_path,
};
use crate::status::{Reloaded, Status};

/// Largest answer that a client reads.
const MAX_ANSWER: usize = 64 << 20;

/// What an answer says that is about the request, not the instance.
const REFUSED: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// What can go wrong on the socket.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The socket cannot be called that.
    #[error(
        "instance {0:?}: expected 1 to {MAX_NAME} letters, digits, '-', '_' and '.', the first no '.': choose another name with --instance"
    )]
    Name(String),
    /// Another process serves the instance.
    #[error("instance {name} is running already (it answers at {path}): stop it, or choose another name with --instance", path = path.display())]
    Running {
        /// The instance.
        name: String,
        /// Its socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("{path}: {source}{hint}", path = path.display(), hint = hint(source))]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody answers.
    #[error("no instance {name} is running (nobody answers at {path}): start one with `{command}`{others}", path = path.display(), command = role.command(), others = others(*role, name))]
    NotRunning {
        /// What was to answer.
        role: Role,
        /// The instance.
        name: String,
        /// Its socket.
        path: PathBuf,
    },
    /// It was asked for something it will not do.
    #[error("{0}")]
    Refused(String),
    /// The answer was not one.
    #[error("instance {name} gave no proper answer: {problem}")]
    Answer {
        /// The instance.
        name: String,
        /// What was wrong.
        problem: String,
    },
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "; expected: root, or whom that folder belongs to; run it with sudo"
    } else {
        ""
    }
}

/// What answers on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `evenkeel run`.
    Balancer,
    /// `evenkeel decap`.
    Decap,
}

impl Role {
    const fn command(self) -> &'static str {
        match self {
            Self::Balancer => "evenkeel run",
            Self::Decap => "evenkeel decap",
        }
    }

    fn path(self, name: &str) -> PathBuf {
        match self {
            Self::Balancer => socket_path(name),
            Self::Decap => decap_socket_path(name),
        }
    }
}

/// A hint at instances of other names.
fn others(role: Role, name: &str) -> String {
    if role == Role::Decap {
        return String::new();
    }
    let others: Vec<String> = running()
        .into_iter()
        .filter(|other| other != name)
        .collect();
    if others.is_empty() {
        String::new()
    } else {
        format!(
            "; there may be others (--instance NAME): {}",
            others.join(", ")
        )
    }
}

/// A bound socket, which is removed when dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds the socket of an instance, unless it is running. One that a killed process left behind
/// is taken over.
///
/// # Errors
/// The instance is running, or the socket cannot be made.
pub fn listen(role: Role, name: &str) -> Result<Listener, ApiError> {
    let path = valid_path(role, name)?;
    let failed = |source| ApiError::Socket {
        path: path.clone(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(SOCKET_DIRECTORY)
        .map_err(failed)?;
    match StdUnixStream::connect(&path) {
        Ok(_) => {
            let name = name.into();
            return Err(ApiError::Running { name, path });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(&path).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    Ok(Listener { listener, path })
}

fn valid_path(role: Role, name: &str) -> Result<PathBuf, ApiError> {
    if is_valid(name) {
        Ok(role.path(name))
    } else {
        Err(ApiError::Name(name.into()))
    }
}

/// What requests are answered with.
#[derive(Clone)]
pub(crate) struct Served {
    /// What is running.
    pub(crate) instance: Arc<Mutex<Instance>>,
    /// What is to be done.
    pub(crate) requests: mpsc::Sender<Request>,
    /// What happens.
    pub(crate) events: Events,
}

/// Answers requests until the socket fails.
///
/// # Errors
/// The socket failed.
pub(crate) async fn serve(listener: Listener, served: Served) -> Result<(), ApiError> {
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/reload", post(reload))
        .route("/v1/stop", post(stop))
        .with_state(served);
    serve_routes(listener, router).await
}

/// Answers requests until the socket fails.
///
/// # Errors
/// The socket failed.
pub(crate) async fn serve_routes(listener: Listener, router: Router) -> Result<(), ApiError> {
    let path = listener.path.clone();
    axum::serve(listener, router)
        .await
        .map_err(|source| ApiError::Socket { path, source })
}

impl axum::serve::Listener for Listener {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        axum::serve::Listener::accept(&mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn status(State(served): State<Served>) -> Response {
    match lock(&served.instance).status() {
        Ok(status) => Json(status).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// How to end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    keep: bool,
}

async fn stop(State(served): State<Served>, Json(Stop { keep }): Json<Stop>) -> Response {
    let (answer, answered) = oneshot::channel();
    // The instance may be stopping already.
    let _ = served.requests.send(Request::Stop { keep, answer }).await;
    let _ = answered.await;
    StatusCode::NO_CONTENT.into_response()
}

async fn reload(State(served): State<Served>) -> Response {
    let (request, answer) = oneshot::channel();
    // The instance may be stopping; then nobody will answer.
    let _ = served.requests.send(Request::Reload(request)).await;
    match answer.await {
        Ok(Ok(reloaded)) => Json(reloaded).into_response(),
        Ok(Err(problem)) => {
            let status = match problem {
                ReloadError::Engine(_) | ReloadError::HalfChanged(_) => {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
                ReloadError::NoFile
                | ReloadError::Config(_)
                | ReloadError::Restart(_)
                | ReloadError::Interface(_) => REFUSED,
            };
            (status, problem.to_string()).into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response(),
    }
}

/// Has a running instance's process end, and waits until it has. With `keep`, packets are balanced on.
///
/// # Errors
/// It is not running, or goes on.
pub async fn request_stop(name: &str, keep: bool) -> Result<(), ApiError> {
    let body = serde_json::to_vec(&Stop { keep }).unwrap_or_default();
    match send(Role::Balancer, name, Method::POST, "/v1/stop", body).await {
        // It may be gone before its answer is.
        Ok(_) | Err(ApiError::Answer { .. }) => {}
        Err(error) => return Err(error),
    }
    for _ in 0..STOP_PATIENCE.as_millis() / STOP_POLL.as_millis() {
        if !socket_path(name).exists() {
            return Ok(());
        }
        tokio::time::sleep(STOP_POLL).await;
    }
    Err(ApiError::Answer {
        name: name.into(),
        problem: format!("it still runs after {} s", STOP_PATIENCE.as_secs()),
    })
}

/// How long a process may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
const STOP_POLL: Duration = Duration::from_millis(20);

/// Asks a running instance for its status.
///
/// # Errors
/// It is not running, or does not answer properly.
pub async fn fetch_status(name: &str) -> Result<Status, ApiError> {
    ask(Role::Balancer, name, Method::GET, "/v1/status").await
}

/// Has a running instance read its configuration again.
///
/// # Errors
/// It is not running, does not answer properly, or keeps the configuration it has.
pub async fn request_reload(name: &str) -> Result<Reloaded, ApiError> {
    ask(Role::Balancer, name, Method::POST, "/v1/reload").await
}

pub(crate) async fn ask<T: DeserializeOwned>(
    role: Role,
    name: &str,
    method: Method,
    uri: &str,
) -> Result<T, ApiError> {
    let body = send(role, name, method, uri, Vec::new()).await?;
    serde_json::from_slice(&body).map_err(|error| ApiError::Answer {
        name: name.into(),
        problem: error.to_string(),
    })
}

/// Sends a request with a JSON body, or, if that is empty, without one.
async fn send(
    role: Role,
    name: &str,
    method: Method,
    uri: &str,
    body: Vec<u8>,
) -> Result<Bytes, ApiError> {
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
    let request = hyper::Request::builder()
        .method(method)
        .uri(uri)
        .header(hyper::header::HOST, "evenkeel")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| answer(error.to_string()))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| answer(error.to_string()))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| answer(error.to_string()))?
        .to_bytes();
    connection.abort();
    let text = || String::from_utf8_lossy(&body);
    if status == REFUSED {
        return Err(ApiError::Refused(text().into()));
    }
    if !status.is_success() {
        return Err(answer(format!("{status}: {}", text())));
    }
    Ok(body)
}
