//! A client that asks one question after the other on a connection of its own, and is told which
//! address and port the server sees. Everything blocks, in the caller's network namespace.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

use super::wait::PATIENCE;

/// An open connection.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its name.
    pub server: String,
    /// The peer of its connection.
    pub client: SocketAddr,
}

impl Connection {
    /// Connects from a given address and port.
    ///
    /// # Errors
    /// The connection is refused, or nobody answers in time.
    pub fn open(from: impl Into<SocketAddr>, to: impl Into<SocketAddr>) -> Result<Self> {
        let (from, to) = (from.into(), to.into());
        let family = match from {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
        connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks who is there.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn ask(&mut self) -> Result<Answer> {
        self.0
            .get_mut()
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")?;
        let mut length = 0;
        let mut client = None;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().map_err(Error::other)?;
            }
            if let Some(value) = line.strip_prefix("x-client: ") {
                client = Some(value.parse().map_err(Error::other)?);
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Answer {
            server: String::from_utf8_lossy(&body).trim_end().to_owned(),
            client: client.ok_or_else(|| Error::other("an answer without x-client"))?,
        })
    }
}
