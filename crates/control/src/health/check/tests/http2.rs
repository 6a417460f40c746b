//! HTTP/2 and gRPC.

use h2::server;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Request, Response};

use super::*;
use crate::health::settings::{HttpCheck, HttpVersion};

/// An answer: status, body, trailers.
pub(super) type Reply = (u16, &'static [u8], &'static [(&'static str, &'static str)]);

pub(super) fn http2() -> HttpCheck {
    HttpCheck {
        version: HttpVersion::Http2,
        ..HttpCheck::default()
    }
}

/// Answers every request of a connection.
pub(super) async fn reply<S>(stream: S, to: impl Fn(&str, &[u8]) -> Reply)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(mut connection) = server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        // The message is small enough to have come with the head, or soon after.
        let message = message_of(request, &mut connection).await;
        let (status, body, trailers) = to(&path, &message);
        let response = Response::builder().status(status);
        let head = match (body, trailers) {
            // Without a message the trailers are all there is.
            ([], trailers) => {
                let all = trailers.iter();
                let response = all.fold(response, |response, (k, v)| response.header(*k, *v));
                let _ = respond.send_response(response.body(()).unwrap(), true);
                continue;
            }
            _ => response.body(()).unwrap(),
        };
        let mut stream = respond.send_response(head, false).unwrap();
        stream
            .send_data(Bytes::from_static(body), trailers.is_empty())
            .unwrap();
        if !trailers.is_empty() {
            let all = trailers.iter();
            let map: HeaderMap = all
                .map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap()))
                .collect();
            stream.send_trailers(map).unwrap();
        }
    }
}

async fn message_of<S>(
    request: Request<h2::RecvStream>,
    connection: &mut server::Connection<S, Bytes>,
) -> Vec<u8>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut body = request.into_body();
    let mut message = Vec::new();
    loop {
        tokio::select! {
            piece = body.data() => match piece {
                Some(Ok(piece)) => message.extend_from_slice(&piece),
                _ => return message,
            },
            _ = std::future::poll_fn(|context| connection.poll_closed(context)) => return message,
        }
    }
}

async fn judge(kind: CheckKind, reply_: Reply) -> Outcome {
    let to = serve(move |stream| reply(stream, move |_, _| reply_)).await;
    ask(kind, to).await
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    let check = |body: Option<&str>| {
        CheckKind::Http(HttpCheck {
            body: body.map(str::to_owned),
            ..http2()
        })
    };
    good(&judge(check(None), (204, b"", &[])).await, "status 204");
    bad(&judge(check(None), (500, b"", &[])).await, "status 500");
    let said = judge(check(Some("ok")), (200, b"all ok", &[])).await;
    good(&said, "status 200, body as expected");
    let said = judge(check(Some("OK")), (200, b"all ok", &[])).await;
    bad(&said, "no \"OK\" in the body");
    let long: &'static [u8] = Box::leak(vec![b'x'; 1 << 20].into_boxed_slice());
    bad(
        &judge(check(Some("ok")), (200, long, &[])).await,
        "no \"ok\" in the body",
    );
}

#[tokio::test]
async fn whatever_is_not_http2_is_bad() {
    let old = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let to = serve(move |mut stream| async move { answer(&mut stream, old).await }).await;
    bad(&ask(CheckKind::Http(http2()), to).await, "HTTP/2");
    let silent = serve(|stream| async move {
        sleep(PATIENT).await;
        drop(stream);
    })
    .await;
    let outcome = ask_within(CheckKind::Http(http2()), silent, IMPATIENT).await;
    bad(&outcome, "no answer within 150ms");
}

#[tokio::test]
async fn grpc_health_is_asked_for_a_service() {
    let grpc = |service: &str| CheckKind::Grpc {
        service: service.into(),
        tls: None,
    };
    let to = serve(|stream| {
        reply(stream, |path, message| {
            assert_eq!(path, "/grpc.health.v1.Health/Check");
            match message {
                b"\0\0\0\0\0" | b"\0\0\0\0\x04\x0a\x02up" => {
                    (200, b"\0\0\0\0\x02\x08\x01", &[("grpc-status", "0")])
                }
                b"\0\0\0\0\x06\x0a\x04down" => {
                    (200, b"\0\0\0\0\x02\x08\x02", &[("grpc-status", "0")])
                }
                b"\0\0\0\0\x07\x0a\x05empty" => (200, b"\0\0\0\0\0", &[("grpc-status", "0")]),
                b"\0\0\0\0\x05\x0a\x03cut" => (200, b"\0\0\0\0\x02", &[("grpc-status", "0")]),
                b"\0\0\0\0\x05\x0a\x03bad" => {
                    (200, b"\0\0\0\0\x02\x08\x01", &[("grpc-status", "13")])
                }
                b"\0\0\0\0\x05\x0a\x03web" => (404, b"not here", &[]),
                _ => (200, b"", &[("grpc-status", "5")]),
            }
        })
    })
    .await;
    good(&ask(grpc(""), to).await, "SERVING");
    good(&ask(grpc("up"), to).await, "SERVING");
    bad(&ask(grpc("down"), to).await, "NOT_SERVING");
    bad(&ask(grpc("empty"), to).await, "UNKNOWN");
    bad(&ask(grpc("cut"), to).await, "not a gRPC message");
    bad(&ask(grpc("bad"), to).await, "gRPC status 13");
    bad(&ask(grpc("web"), to).await, "HTTP status 404");
    bad(
        &ask(grpc("other"), to).await,
        "it knows no service \"other\"",
    );
}

#[tokio::test]
async fn a_flood_of_frames_ends_before_the_timeout() {
    let to = serve(|mut stream| async move {
        // Settings, then as many pings as are taken.
        let _ = stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await;
        let ping = b"\0\0\x08\x06\0\0\0\0\0........".repeat(1_000);
        while stream.write_all(&ping).await.is_ok() {}
    })
    .await;
    let outcome = ask(CheckKind::Http(http2()), to).await;
    assert_eq!(outcome.answer, Answer::Bad);
    assert!(outcome.took < PATIENT / 2, "{outcome:?}");
}
