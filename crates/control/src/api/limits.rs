//! Connections that cannot hold anything up: few, one request each, and every wait has an end.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tracing::warn;

use super::ApiError;
use super::socket::Listener;

/// Connections at one time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// Answers without an end at one time. All other connections end soon: there is always one for
/// `evenkeel stop`.
pub(super) const MAX_ENDLESS: usize = 32;
/// Time for a request's head to arrive.
const HEAD_PATIENCE: Duration = Duration::from_secs(3);
/// Time for all of a request and its answer, unless the answer is a stream.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(30);
/// Time for a reader to take something of what lies ready.
const READER_PATIENCE: Duration = Duration::from_secs(10);
/// Largest head of a request.
const MAX_HEAD: usize = 16 << 10;
/// Pause after a connection that could not be taken, for lack of file descriptors for one.
const BREATH: Duration = Duration::from_millis(100);

/// Marks an answer that goes on for as long as its reader likes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// Answers requests until dropped.
pub(super) async fn serve(listener: Listener, router: Router) -> Result<(), ApiError> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(answer(stream, router.clone()));
                    }
                    Err(error) => {
                        warn!("a request could not be taken: {error}; trying again");
                        sleep(BREATH).await;
                    }
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request and its answer. Whoever goes, dawdles or does not speak HTTP gets none, and nobody
/// misses one.
async fn answer(stream: UnixStream, router: Router) {
    let endless = Arc::new(Notify::new());
    let told = Arc::clone(&endless);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, told) = (router.clone(), Arc::clone(&told));
        async move {
            use hyper::service::Service as _;
            let response: Result<Response<Body>, Infallible> = router.call(request).await;
            if let Ok(response) = &response
                && response.extensions().get::<Endless>().is_some()
            {
                told.notify_one();
            }
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Impatient::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = timeout(CONNECTION_PATIENCE, connection.as_mut()) => {}
        () = endless.notified() => {
            let _ = connection.await;
        }
    }
}

/// A stream that gives up on a reader who takes nothing.
struct Impatient {
    stream: UnixStream,
    /// When it does; set while somebody is waited for.
    until: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn new(stream: UnixStream) -> Self {
        let until = None;
        Self { stream, until }
    }

    fn wait<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut UnixStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = write(Pin::new(&mut self.stream), context) {
            self.until = None;
            return Poll::Ready(result);
        }
        let deadline = Instant::now() + READER_PATIENCE;
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wait(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
