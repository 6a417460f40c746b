//! Who answers scrapes: HTTP on a TCP socket, read-only. Nobody who connects can hold anything up:
//! connections are few, short and closed after one answer, and however often somebody asks, the
//! instance is looked at once a second at most for each format.

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{Exporter, Format, MetricsSettings};
use crate::status::Status;

/// Connections at one time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16;
/// Time for a request's head to arrive.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Time for everything else, reading the answer included: three times a scrape's usual limit.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(30);
/// Largest head of a request.
const MAX_HEAD: usize = 16 << 10;
/// An answer that is younger is given again.
const FRESH: Duration = Duration::from_secs(1);
/// Pause after a connection that could not be taken, for lack of file descriptors for one.
const BREATH: Duration = Duration::from_millis(100);

const INDEX: &str = "<!doctype html>\n<title>evenkeel</title>\n<h1>evenkeel</h1>\n\
     <p><a href=\"/metrics\">Metrics</a> for Prometheus; <a href=\"/healthz\">whether the instance \
     answers</a>.\n";

/// The socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics at {listen}: {source}{hint}", hint = hint(source))]
pub struct MetricsError {
    /// Where.
    pub listen: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; expected a port that nobody listens on: choose another as `listen` in [metrics]"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; expected an address of this host: choose one as `listen` in [metrics]"
        }
        io::ErrorKind::PermissionDenied => {
            "; expected a port from 1024 on, or root: choose another as `listen` in [metrics]"
        }
        _ => "",
    }
}

/// Where the status of the instance comes from; `None`: it cannot be read now.
pub type Source = Arc<dyn Fn() -> Option<Status> + Send + Sync>;

/// Makes the socket, if one is configured.
///
/// # Errors
/// It cannot be made.
pub async fn bind(settings: &MetricsSettings) -> Result<Option<TcpListener>, MetricsError> {
    let Some(listen) = settings.listen else {
        return Ok(None);
    };
    match TcpListener::bind(listen).await {
        Ok(listener) => Ok(Some(listener)),
        Err(source) => Err(MetricsError { listen, source }),
    }
}

/// Answers scrapes until dropped, in the tokio runtime of the caller; the status is read on a
/// thread of its own.
pub async fn serve_metrics(listener: TcpListener, exporter: Exporter, source: Source) {
    let desk = Arc::new(Desk::new(source, exporter));
    let router = Router::new()
        .route("/", get(|| async { Html(INDEX) }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .with_state(desk);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(answer(stream, router.clone()));
                }
                Err(error) => {
                    warn!("a connection for metrics could not be taken: {error}; trying again");
                    sleep(BREATH).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request and its answer.
async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Whoever goes, dawdles or does not speak HTTP gets no answer, and nobody misses one.
    let _ = timeout(CONNECTION_PATIENCE, connection).await;
}

/// What answers are made of.
struct Desk {
    source: Source,
    kept: Mutex<Kept>,
}

struct Kept {
    exporter: Exporter,
    /// The last one in each format, and when it was made.
    answers: [Option<(Instant, Bytes)>; 2],
}

impl Desk {
    fn new(source: Source, exporter: Exporter) -> Self {
        Self {
            source,
            kept: Mutex::new(Kept {
                exporter,
                answers: [const { None }; 2],
            }),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic in here spoils one answer at most.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The metrics, not older than [`FRESH`].
    fn metrics(&self, format: Format) -> Option<Bytes> {
        let mut kept = self.kept();
        let place = format as usize;
        if let Some((made, answer)) = &kept.answers[place]
            && made.elapsed() < FRESH
        {
            return Some(answer.clone());
        }
        let status = (self.source)()?;
        let answer = Bytes::from(kept.exporter.render(status, format));
        kept.answers[place] = Some((Instant::now(), answer.clone()));
        Some(answer)
    }

    /// Lets go of answers that will not be given again: one may have a hundred megabytes.
    fn forget(&self) {
        for answer in &mut self.kept().answers {
            answer.take_if(|(made, _)| made.elapsed() >= FRESH);
        }
    }
}

/// The metrics in a format; they are made on a thread of their own.
async fn answer_of(desk: Arc<Desk>, format: Format) -> Option<Bytes> {
    let answer = spawn_blocking(move || {
        let answer = desk.metrics(format);
        // In here, because by now whoever asked may have gone.
        tokio::spawn(forget_later(desk));
        answer
    });
    // A panic is told on standard error.
    answer.await.ok().flatten()
}

/// Forgets when an answer of now is no longer given; on a thread of its own, too, since another one
/// may be in the making.
async fn forget_later(desk: Arc<Desk>) {
    sleep(FRESH).await;
    // Nobody waits for it, and a panic is told on standard error.
    let _ = spawn_blocking(move || desk.forget()).await;
}

async fn metrics(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    let format = accepted(&headers);
    match answer_of(desk, format).await {
        Some(text) => ([(CONTENT_TYPE, format.content_type())], text).into_response(),
        None => no_status(),
    }
}

async fn healthz(State(desk): State<Arc<Desk>>) -> Response {
    match answer_of(desk, Format::OpenMetrics).await {
        Some(_) => "ok\n".into_response(),
        None => no_status(),
    }
}

fn no_status() -> Response {
    let problem = "the instance's status cannot be read; its log says why\n";
    (StatusCode::SERVICE_UNAVAILABLE, problem).into_response()
}

/// Prometheus asks for `OpenMetrics`; a person with curl sees the plainer text.
fn accepted(headers: &HeaderMap) -> Format {
    let mut accepted = headers.get_all(ACCEPT).iter();
    let wants = |value: &[u8]| {
        let wanted = Format::OpenMetrics.content_type().split(';').next();
        let wanted = wanted.unwrap_or_default().as_bytes();
        value.windows(wanted.len()).any(|part| part == wanted)
    };
    if accepted.any(|value| wants(value.as_bytes())) {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}
