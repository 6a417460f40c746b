//! The gRPC health protocol, version 1 (grpc/health/v1/health.proto): one unary call, whose two
//! messages have one field each.

use std::net::SocketAddr;

use h2::RecvStream;
use h2::client::SendRequest;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};

use super::MAX_ANSWER;
use super::connect::connect;
use super::http2::{bad, exchange_over, request, unfit};
use super::limit::Limit;
use super::tls::{Alpn, Trusted};
use crate::health::outcome::Found;
use crate::health::settings::TlsSettings;

const PATH: &str = "/grpc.health.v1.Health/Check";
/// Statuses of a call that say something about the service that was asked for (gRPC's code.proto).
const NOT_FOUND: &str = "5";
const UNIMPLEMENTED: &str = "12";

pub(super) async fn run(
    to: SocketAddr,
    service: &str,
    tls: Option<&TlsSettings>,
    trusted: &Trusted,
    limit: &Limit,
) -> Result<Found, Found> {
    let stream = connect(to, limit).await?;
    let host = to.to_string();
    let Some(tls) = tls else {
        let call = async |sender| call(sender, ("http", &host), service).await;
        return exchange_over(stream, call, limit).await;
    };
    let name = (tls.sni.as_deref(), to.ip());
    let stream = trusted
        .handshake(stream, name, &tls.trust, Alpn::Http2, limit)
        .await?;
    let call = async |sender| call(sender, ("https", &host), service).await;
    exchange_over(stream, call, limit).await
}

async fn call(
    mut sender: SendRequest<Bytes>,
    origin: (&str, &str),
    service: &str,
) -> Result<Found, Found> {
    let request = request("POST", origin, PATH)?
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(())
        .map_err(|error| unfit(&error))?;
    let (response, mut stream) = sender.send_request(request, false).map_err(|e| bad(&e))?;
    let message = Bytes::from(framed(&health_check_request(service)));
    stream.send_data(message, true).map_err(|e| bad(&e))?;
    let response = response.await.map_err(|error| bad(&error))?;
    let status = response.status().as_u16();
    if status != 200 {
        return Err(Found::Bad(format!("HTTP status {status}, not gRPC")));
    }
    // A call that fails at once has its status here, and no trailers.
    call_status(response.headers(), service)?;
    let (message, trailers) = read(response.into_body()).await?;
    call_status(&trailers, service)?;
    let message = unframed(&message).ok_or_else(|| Found::Bad("not a gRPC message".into()))?;
    match serving_status(message) {
        Some(1) => Ok(Found::Good("SERVING".to_owned())),
        Some(0) => Err(Found::Bad("UNKNOWN, expected SERVING".to_owned())),
        Some(2) => Err(Found::Bad("NOT_SERVING".to_owned())),
        Some(3) => Err(Found::Bad("SERVICE_UNKNOWN".to_owned())),
        _ => Err(Found::Bad("no serving status in the answer".to_owned())),
    }
}

async fn read(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), Found> {
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| bad(&error))?;
        if message.len() + piece.len() > MAX_ANSWER {
            return Err(Found::Bad(format!("more than {MAX_ANSWER} bytes")));
        }
        message.extend_from_slice(&piece);
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let trailers = body.trailers().await.map_err(|error| bad(&error))?;
    Ok((message, trailers.unwrap_or_default()))
}

/// Fails if headers or trailers say that the call did.
fn call_status(headers: &HeaderMap, service: &str) -> Result<(), Found> {
    let text = |name: &str| headers.get(name).map(HeaderValue::to_str);
    match text("grpc-status") {
        None | Some(Ok("0")) => Ok(()),
        Some(Ok(NOT_FOUND)) => Err(Found::Bad(format!("it knows no service {service:?}"))),
        Some(Ok(UNIMPLEMENTED)) => Err(Found::Bad("it has no grpc.health.v1.Health".into())),
        Some(status) => {
            let status = status.unwrap_or("?");
            let message = text("grpc-message").and_then(Result::ok).unwrap_or("");
            Err(Found::Bad(format!("gRPC status {status} {message}")))
        }
    }
}

/// `HealthCheckRequest { string service = 1; }`
fn health_check_request(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 4);
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(0x80 | (length & 0x7f) as u8);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    message
}

/// A byte that says "not compressed", four of length, the message.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn unframed(bytes: &[u8]) -> Option<&[u8]> {
    let (head, message) = bytes.split_first_chunk::<5>()?;
    let [0, length @ ..] = *head else { return None };
    message.get(..u32::from_be_bytes(length) as usize)
}

/// `HealthCheckResponse { ServingStatus status = 1; }`; 0 if it is left out, as protobuf has it.
/// Other fields are skipped.
fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut message)?,
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_as_protobuf_encodes_them() {
        assert!(health_check_request("").is_empty());
        assert_eq!(health_check_request("a.B"), b"\x0a\x03a.B");
        let long = health_check_request(&"x".repeat(300));
        assert_eq!((&long[..3], long.len()), (&b"\x0a\xac\x02"[..], 303));
        assert_eq!(framed(b"ab"), b"\0\0\0\0\x02ab");
        for (message, status) in [
            (&b""[..], Some(0)),
            (b"\x08\x01", Some(1)),
            (b"\x08\x02", Some(2)),
            (b"\x12\x01x\x08\x01\x19........", Some(1)),
            (b"\x08", None),
            (b"\x12\x05x", None),
        ] {
            assert_eq!(serving_status(message), status, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_to_its_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = serving_status(&bytes);
            let framed = framed(&bytes);
            prop_assert_eq!(unframed(&framed), Some(&bytes[..]));
            if let Some(message) = unframed(&bytes) {
                prop_assert!(message.len() + 5 <= bytes.len());
            }
        }
    }
}
