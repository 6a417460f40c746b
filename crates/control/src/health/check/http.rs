//! A request and what is expected of its answer, whatever the version.

use std::net::SocketAddr;

use super::connect::connect;
use super::limit::Limit;
use super::tls::{Alpn, Trusted};
use super::{http1, http2};
use crate::health::outcome::Found;
use crate::health::settings::{HttpCheck, HttpVersion};

/// What the requests call themselves.
pub(super) const USER_AGENT: &str = "evenkeel-health";

pub(super) async fn run(
    check: &HttpCheck,
    to: SocketAddr,
    trusted: &Trusted,
    limit: &Limit,
) -> Result<Found, Found> {
    let stream = connect(to, limit).await?;
    let host = check.host.clone().unwrap_or_else(|| to.to_string());
    let Some(tls) = &check.tls else {
        return match check.version {
            HttpVersion::Http1 => http1::ask(stream, check, &host, limit).await,
            HttpVersion::Http2 => http2::ask(stream, check, ("http", &host), limit).await,
        };
    };
    let alpn = match check.version {
        HttpVersion::Http1 => Alpn::Http1,
        HttpVersion::Http2 => Alpn::Http2,
    };
    let name = tls
        .sni
        .as_deref()
        .or(check.host.as_deref().map(without_port));
    let stream = trusted
        .handshake(stream, (name, to.ip()), &tls.trust, alpn, limit)
        .await?;
    match check.version {
        HttpVersion::Http1 => http1::ask(stream, check, &host, limit).await,
        HttpVersion::Http2 => http2::ask(stream, check, ("https", &host), limit).await,
    }
}

/// What is left to say once the status is known; `None`: look at the body.
pub(super) fn judge_status(check: &HttpCheck, status: u16) -> Option<Found> {
    if !check.status.contains(status) {
        let expected = &check.status;
        return Some(Found::Bad(format!("status {status}, expected {expected}")));
    }
    match check.body {
        None => Some(Found::Good(format!("status {status}"))),
        Some(_) => None,
    }
}

/// What the body says.
pub(super) fn judge_body(check: &HttpCheck, status: u16, found: bool) -> Found {
    let body = check.body.as_deref().unwrap_or_default();
    match found {
        true => Found::Good(format!("status {status}, body as expected")),
        false => Found::Bad(format!("status {status}, but no {body:?} in the body")),
    }
}

/// A host's name without the port that may follow; IPv6 without its brackets.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.split_once(':') {
        Some((name, rest)) if !rest.contains(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_host_is_known_without_its_port() {
        for (host, name) in [
            ("a.example", "a.example"),
            ("a.example:443", "a.example"),
            ("10.0.0.1:443", "10.0.0.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(super::without_port(host), name);
        }
    }
}
