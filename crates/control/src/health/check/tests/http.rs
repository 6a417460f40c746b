//! HTTP/1.1.

use super::*;
use crate::health::settings::{HttpCheck, StatusRanges};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nall ok";

fn plain() -> HttpCheck {
    HttpCheck::default()
}

fn with_body(body: &str) -> HttpCheck {
    HttpCheck {
        body: Some(body.to_owned()),
        ..plain()
    }
}

/// What a check makes of this answer.
async fn judge(check: HttpCheck, text: &'static [u8]) -> Outcome {
    let to = serve(move |mut stream| async move { answer(&mut stream, text).await }).await;
    ask(CheckKind::Http(check), to).await
}

#[tokio::test]
async fn status_and_body_decide() {
    good(&judge(plain(), OK).await, "status 200");
    good(
        &judge(with_body("ll o"), OK).await,
        "status 200, body as expected",
    );
    bad(
        &judge(with_body("OK"), OK).await,
        "status 200, but no \"OK\" in the body",
    );
    let unavailable = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    bad(
        &judge(plain(), unavailable).await,
        "status 503, expected 200-299",
    );
    let moved = HttpCheck {
        status: StatusRanges(vec![(204, 204), (301, 302)]),
        ..plain()
    };
    bad(
        &judge(moved.clone(), OK).await,
        "status 200, expected 204,301-302",
    );
    let text = b"HTTP/1.0 302 Found\r\nLocation: /login\r\n\r\n";
    good(&judge(moved, text).await, "status 302");
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nal\r\n4\r\nl ok\r\n0\r\n\r\n";
    good(
        &judge(with_body("all ok"), chunked).await,
        "status 200, body as expected",
    );
    let informed = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    good(&judge(plain(), informed).await, "status 200");
}

#[tokio::test]
async fn whatever_is_not_http_is_bad() {
    for text in [
        &b"SSH-2.0-OpenSSH_9.2p1\r\n"[..],
        b"\x16\x03\x01\0\0\0\0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"220 smtp.example ESMTP\r\n",
    ] {
        let to = serve(move |mut stream| async move {
            let _ = stream.write_all(text).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        bad(&ask(CheckKind::Http(plain()), to).await, "");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_bad() {
    let to = serve(|stream| async move { drop(stream) }).await;
    bad(&ask(CheckKind::Http(plain()), to).await, "");
    bad(
        &ask(CheckKind::Http(plain()), nobody().await).await,
        "connection refused",
    );
}

#[tokio::test]
async fn silence_and_trickles_end_with_the_timeout() {
    let silent = serve(|mut stream| async move { answer(&mut stream, b"").await }).await;
    let outcome = ask_within(CheckKind::Http(plain()), silent, IMPATIENT).await;
    bad(&outcome, "no answer within 150ms");
    for text in ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n"] {
        let to = serve(move |mut stream| async move {
            let _ = stream.write_all(text.as_bytes()).await;
            while stream.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let outcome = ask_within(CheckKind::Http(with_body("ok")), to, IMPATIENT).await;
        bad(&outcome, "no answer within 150ms");
    }
}

#[tokio::test]
async fn no_more_than_64_kib_are_read() {
    for (text, expected) in [
        (
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            "status 200, but no \"ok\" in the body",
        ),
        (b"HTTP/1.1 200 OK\r\nX: ", ""),
    ] {
        let to = serve(move |mut stream| async move {
            let _ = stream.write_all(text).await;
            while stream.write_all(&[b'x'; 4_096]).await.is_ok() {}
        })
        .await;
        bad(&ask(CheckKind::Http(with_body("ok")), to).await, expected);
    }
}

#[tokio::test]
async fn the_request_is_what_was_configured() {
    let (sender, mut requests) = mpsc::unbounded_channel();
    let to = serve(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut head = vec![0; 1_000];
            let length = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            sender.send(head).unwrap();
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    good(&ask(CheckKind::Http(plain()), to).await, "status 200");
    assert_eq!(
        requests.recv().await.unwrap(),
        format!(
            "GET / HTTP/1.1\r\nhost: {to}\r\nuser-agent: evenkeel-health\r\nconnection: close\r\n\r\n"
        )
    );
    let check = HttpCheck {
        method: "HEAD".into(),
        path: "/healthz?full=1".into(),
        host: Some("a.example:81".into()),
        ..plain()
    };
    good(&ask(CheckKind::Http(check), to).await, "status 200");
    let head = requests.recv().await.unwrap();
    assert!(head.starts_with("HEAD /healthz?full=1 HTTP/1.1\r\nhost: a.example:81\r\n"));
}
