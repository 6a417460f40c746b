use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::limits::{Endless, MAX_ENDLESS};
use super::{Failure, Listener, Told, description, routes, serve_routes, strict};
use crate::event::Events;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    #[serde(default)]
    number: u64,
}

async fn endless() -> Response {
    let chunk = || Ok::<_, std::convert::Infallible>("x".repeat(1 << 16));
    let body = Body::from_stream(stream::repeat_with(chunk));
    let mut response = body.into_response();
    response.extensions_mut().insert(Endless);
    response
}

/// A server at a socket of its own.
struct Server {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Server {
    fn start(test: &str) -> Self {
        let name = format!("evenkeel-api-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = Listener {
            listener: UnixListener::bind(&path).unwrap(),
            path: path.clone(),
        };
        let events = Router::new()
            .route("/events", get(routes::events::events))
            .with_state(Told::new(Events::default()));
        let router = Router::new()
            .route("/number", get(number))
            .route("/body", post(body))
            .route("/endless", get(endless))
            .merge(events);
        let task = tokio::spawn(async move {
            serve_routes(listener, router).await.unwrap();
        });
        Self { path, task }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// Status and body of the answer to a request.
    async fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        (status.unwrap_or(0), body.to_owned())
    }

    async fn failure(&self, request: &str) -> (u16, Failure) {
        let (status, body) = self.ask(request).await;
        let failure = serde_json::from_str(&body);
        (
            status,
            failure.unwrap_or_else(|error| panic!("{error}: {body:?}")),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn number(strict::Parameters(it): strict::Parameters<Numbers>) -> String {
    it.number.to_string()
}

async fn body(strict::Body(it): strict::Body<Numbers>) -> String {
    it.number.to_string()
}

fn posted(body: &str, kind: &str) -> String {
    let length = body.len();
    format!(
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

const GET_NUMBER: &str = "GET /number?number=7 HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn whatever_is_wrong_is_told_in_one_shape() {
    let server = Server::start("shape");
    let json = "application/json";
    assert_eq!(server.ask(GET_NUMBER).await, (200, "7".into()));
    assert_eq!(
        server.ask(&posted("{\"number\":3}", json)).await,
        (200, "3".into())
    );
    let get = |uri: &str| format!("GET {uri} HTTP/1.1\r\nHost: x\r\n\r\n");
    for (request, status, error) in [
        (get("/number?nuber=7"), 400, "unknown field `nuber`"),
        (get("/number?number=x"), 400, "invalid digit"),
        (get("/nothing"), 404, "there is no /nothing"),
        (get("/body"), 405, "GET is nothing for /body"),
        (posted("{\"nuber\":3}", json), 400, "unknown field `nuber`"),
        (posted("{\"number\":", json), 400, "EOF"),
        (posted("[3]", json), 400, "the body is a list"),
        (posted("", json), 400, "EOF"),
        (posted("{}", "text/plain"), 415, "expected Content-Type"),
    ] {
        let (found, failure) = server.failure(&request).await;
        assert_eq!(found, status, "{request}: {failure}");
        assert!(failure.error.contains(error), "{request}: {failure}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let server = Server::start("large");
    let mut stream = server.connect().await;
    let length = strict::MAX_BODY + 1;
    let head = format!(
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_body_that_does_not_say_how_large_it_is_is_read_as_far_as_it_may_be() {
    let server = Server::start("chunked");
    let mut stream = server.connect().await;
    let head = "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let length = 1 << 20;
    let chunk = format!("{length:x}\r\n{}\r\n", " ".repeat(length));
    for _ in 0..=strict::MAX_BODY / length {
        // It may stop to read before all is there.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_who_trickle_hold_nobody_up_for_long() {
    let server = Server::start("trickle");
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = server.connect().await;
        slow.push(tokio::spawn(async move {
            // A byte a second, until the other side has had enough.
            for byte in b"GET /number HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter()
            {
                if stream.write_all(&[*byte]).await.is_err() {
                    return true;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            false
        }));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    let began = tokio::time::Instant::now();
    assert_eq!(server.ask(GET_NUMBER).await, (200, "7".into()));
    // Two rounds of connections that are given three seconds for their head.
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    for stream in slow {
        assert!(stream.await.unwrap(), "it was not cut off");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_trickles_a_body_is_told_so() {
    let server = Server::start("body");
    let mut stream = server.connect().await;
    let request = posted("{\"number\":3}", "application/json");
    stream
        .write_all(&request.as_bytes()[..request.len() - 1])
        .await
        .unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_nothing_of_a_stream_is_cut_off() {
    let server = Server::start("reader");
    let mut stream = server.connect().await;
    let request = b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut some = vec![0; 1 << 20];
    stream.read_exact(&mut some).await.unwrap();
    // Longer than a reader is waited for; a stream that is read goes on for as long.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let began = Instant::now();
    let end = loop {
        match stream.read(&mut some).await {
            Ok(0) => break true,
            Err(_) => break true,
            Ok(_) if began.elapsed() > Duration::from_secs(60) => break false,
            Ok(_) => {}
        }
    };
    assert!(end, "it goes on");
}

#[tokio::test]
async fn whoever_follows_leaves_room_for_everybody_else() {
    const FOLLOW: &str = "GET /events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n";
    let server = Server::start("follow");
    let mut following = Vec::new();
    for _ in 0..MAX_ENDLESS {
        let mut stream = server.connect().await;
        stream.write_all(FOLLOW.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 200");
        following.push(stream);
    }
    let (status, failure) = server.failure(FOLLOW).await;
    assert_eq!(status, 503, "{failure}");
    assert!(failure.error.contains("`since`"), "{failure}");
    assert_eq!(server.ask(GET_NUMBER).await, (200, "7".into()));
    let latest = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(server.ask(latest).await, (200, String::new()));
    // One who goes makes room, though nothing happens.
    following.pop();
    let began = Instant::now();
    loop {
        let mut stream = server.connect().await;
        stream.write_all(FOLLOW.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        if answer == b"HTTP/1.1 200" {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "there is no room"
        );
    }
}

#[tokio::test]
async fn the_shipped_description_is_that_of_the_server() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/api/openapi.json");
    let now = description().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let shipped = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        shipped == now,
        "{path} is not what the server says: run this test with UPDATE_EXPECT=1 and read the diff"
    );
}

#[tokio::test]
async fn a_failure_without_a_plan_says_nothing_of_one() {
    let response = super::failure::Refusal::bad("x", "expected y").into_response();
    assert_eq!(response.status(), 400);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"error":"x","expected":"expected y"}"#);
}
