//! One HTTP/1.1 connection, just large enough for the lab's server.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::Target;
use crate::serve::SERVED_BY;

/// Longest answer that is kept whole; `/bytes` is read in pieces instead.
const MAX_BODY: u64 = 64 * 1024;

/// An open connection.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    source: SocketAddr,
}

/// The head of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) server: Option<String>,
    pub(super) length: u64,
}

impl Connection {
    /// Connects, from a given address and port when there is one. Several connections may
    /// use the same port as long as their targets differ.
    pub(super) async fn open(to: SocketAddr, from: Option<SocketAddr>) -> Result<Self> {
        let socket = if to.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(from) = from {
            socket.set_reuseaddr(true)?;
            socket.bind(from)?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let source = stream.local_addr()?;
        Ok(Self {
            stream: BufReader::new(stream),
            source,
        })
    }

    /// Where the connection comes from.
    pub(super) fn source(&self) -> SocketAddr {
        self.source
    }

    /// One `GET`; `last` asks the server to close afterwards, and waits until it has, so
    /// that the server keeps the TIME_WAIT and the client's port is free at once.
    pub(super) async fn get(&mut self, target: &Target, last: bool) -> Result<Head> {
        self.request("GET", target, last, None).await?;
        let head = self.head().await?;
        let _body = self.body(&head).await?;
        if last {
            self.end().await?;
        }
        Ok(head)
    }

    /// Sends the head of a request.
    pub(super) async fn request(
        &mut self,
        method: &str,
        target: &Target,
        last: bool,
        length: Option<u64>,
    ) -> Result<()> {
        let Target { address, path } = target;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
        if let Some(length) = length {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        head.push_str(if last {
            "connection: close\r\n\r\n"
        } else {
            "\r\n"
        });
        self.stream.write_all(head.as_bytes()).await
    }

    /// Sends a piece of a request's body.
    pub(super) async fn send(&mut self, piece: &[u8]) -> Result<()> {
        self.stream.write_all(piece).await
    }

    /// Reads the head of an answer.
    pub(super) async fn head(&mut self) -> Result<Head> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(closed_early());
            }
            if line.trim_end().is_empty() {
                return parse_head(&lines);
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    /// Reads a short body.
    pub(super) async fn body(&mut self, head: &Head) -> Result<Vec<u8>> {
        if head.length > MAX_BODY {
            let found = format!("body of {} bytes, at most {MAX_BODY} expected", head.length);
            return Err(Error::new(ErrorKind::InvalidData, found));
        }
        let mut body = Vec::new();
        (&mut self.stream)
            .take(head.length)
            .read_to_end(&mut body)
            .await?;
        if body.len() as u64 == head.length {
            Ok(body)
        } else {
            Err(closed_early())
        }
    }

    /// Reads a piece of a long body; an empty piece is the connection's end.
    pub(super) async fn piece(&mut self, buffer: &mut Vec<u8>, most: u64) -> Result<usize> {
        buffer.clear();
        (&mut self.stream).take(most).read_buf(buffer).await
    }

    /// Waits until the server has closed.
    async fn end(&mut self) -> Result<()> {
        let mut rest = [0; 1];
        match self.stream.read(&mut rest).await? {
            0 => Ok(()),
            _ => Err(Error::new(
                ErrorKind::InvalidData,
                "bytes after the end of the answer",
            )),
        }
    }
}

fn closed_early() -> Error {
    Error::new(
        ErrorKind::UnexpectedEof,
        "closed before the answer was complete",
    )
}

fn parse_head(lines: &[String]) -> Result<Head> {
    let bad = |what: &str| Error::new(ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"));
    let (first, headers) = lines.split_first().ok_or_else(|| bad("empty head"))?;
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| bad(first))?;
    let mut head = Head {
        status,
        ..Head::default()
    };
    let mut length = None;
    for line in headers {
        let (name, value) = line.split_once(':').ok_or_else(|| bad(line))?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok(),
            SERVED_BY => head.server = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    head.length = length.ok_or_else(|| bad("an answer without content-length"))?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_strangers_refused() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let head = parse_head(&lines(
            "HTTP/1.1 200 OK\nX-Served-By: h2\nContent-Length: 3",
        ));
        let expected = Head {
            status: 200,
            server: Some("h2".to_owned()),
            length: 3,
        };
        assert_eq!(head.unwrap(), expected);
        for bad in [
            "",
            "SSH-2.0-x",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 200 OK\nContent-Length: x",
        ] {
            assert!(parse_head(&lines(bad)).is_err(), "{bad}");
        }
    }
}
