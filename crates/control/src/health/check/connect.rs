//! Connections of checks.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use tokio::net::TcpSocket;

use super::bounded::Bounded;
use super::limit::Limit;
use crate::health::outcome::Found;

/// Connects. Such a connection is closed with a RST, so that neither side keeps it in TIME_WAIT.
pub(super) async fn connect(to: SocketAddr, limit: &Limit) -> Result<Bounded, Found> {
    let socket = socket(to, limit).map_err(|error| ours(&error))?;
    limit
        .wait("connection", async {
            let connected = socket.connect(to).await;
            connected.map(Bounded::new).map_err(|error| failed(&error))
        })
        .await
}

fn socket(to: SocketAddr, limit: &Limit) -> io::Result<TcpSocket> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_zero_linger()?;
    socket.set_nodelay(true)?;
    // Several may come from one port, to different backends.
    socket.set_reuseaddr(true)?;
    let any = any(to);
    limit.ports.bind(|port| match port {
        0 => Ok(()),
        port => socket.bind(SocketAddr::new(any, port)),
    })?;
    Ok(socket)
}

/// Any address of this host of the same family.
pub(super) fn any(to: SocketAddr) -> IpAddr {
    match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A failure that says nothing about the backend.
pub(super) fn ours(error: &io::Error) -> Found {
    Found::Inconclusive(format!("cannot check: {}", describe(error)))
}

/// A failure of a connection, which is the backend's, unless this host had no room for it.
pub(super) fn failed(error: &io::Error) -> Found {
    let errno = error.raw_os_error().map(Errno::from_raw);
    match errno {
        Some(
            Errno::EMFILE
            | Errno::ENFILE
            | Errno::ENOBUFS
            | Errno::ENOMEM
            | Errno::EADDRNOTAVAIL
            | Errno::EPERM
            | Errno::EACCES,
        ) => ours(error),
        _ => Found::Bad(describe(error)),
    }
}

/// In words, without the number that the standard library adds.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "connection closed".to_owned(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            let mut letters = text[..end].chars();
            let first = letters.next().map(|first| first.to_ascii_lowercase());
            first.into_iter().chain(letters).collect()
        }
    }
}
