//! Datagrams: one question, one answer.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::requests::in_workers;
use super::{FetchOptions, Outcome, Report, within};
use crate::pattern::{Fnv64, chunks};
use crate::serve::HASHED;

/// What a datagram carries, and what should come back. What is longer than the MTU is sent in
/// fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Datagram {
    /// A few bytes each way.
    #[default]
    Short,
    /// This many bytes each way, at most 65,000: all of them come back.
    Echoed(usize),
    /// This many bytes, at most 65,000, for a short answer: their length and hash.
    Hashed(usize),
}

impl Datagram {
    /// The payload of the question with this number.
    fn question(self, number: usize) -> Vec<u8> {
        let (verb, length) = match self {
            Self::Short => ("request ", 0),
            Self::Echoed(length) => ("request ", length),
            Self::Hashed(length) => (str::from_utf8(HASHED).unwrap_or_default(), length),
        };
        let mut question = format!("{verb}{number}").into_bytes();
        if length > question.len() {
            question.push(b' ');
            question.extend(chunks(length as u64).flatten());
            question.truncate(length);
        }
        question
    }

    /// The server's name, if this is the answer to the question.
    fn answered_by(self, question: &[u8], answer: &[u8]) -> Option<String> {
        let name = if let Self::Hashed(_) = self {
            let mut hash = Fnv64::default();
            hash.write(question);
            let rest = format!(" {} {}", question.len(), hash.hex());
            answer.strip_suffix(rest.as_bytes())
        } else {
            let rest = answer.strip_suffix(question);
            rest.and_then(|rest| rest.strip_suffix(b" "))
        };
        name.and_then(|name| String::from_utf8(name.to_vec()).ok())
    }
}

/// A socket that asks one server, again and again.
pub(super) struct Flow {
    socket: UdpSocket,
    source: SocketAddr,
    buffer: Vec<u8>,
}

impl Flow {
    /// A socket, from a given address and port when there is one.
    pub(super) async fn open(to: SocketAddr, from: Option<SocketAddr>) -> Result<Self> {
        let any = match to.ip() {
            IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(from.unwrap_or(any)).await?;
        // An answer from elsewhere than the address asked never arrives.
        socket.connect(to).await?;
        let source = socket.local_addr()?;
        Ok(Self {
            socket,
            source,
            buffer: Vec::new(),
        })
    }

    /// Where it asks from.
    pub(super) fn source(&self) -> SocketAddr {
        self.source
    }

    /// One question and its answer: the server's name.
    pub(super) async fn ask(&mut self, kind: Datagram, number: usize) -> Result<String> {
        let question = kind.question(number);
        self.socket.send(&question).await?;
        self.buffer.resize(usize::from(u16::MAX), 0);
        let length = self.socket.recv(&mut self.buffer).await?;
        let answer = self.buffer.get(..length).unwrap_or_default();
        kind.answered_by(&question, answer)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "an answer to something else"))
    }
}

/// Sends `requests` datagrams to the target's address and waits for each answer. With
/// `keep_alive` each of the `concurrency` workers uses one socket, otherwise every request
/// has its own.
pub fn udp(options: &FetchOptions) -> crate::error::Result<Report> {
    in_workers(options, async |kept, outcome| {
        within(options.timeout, "udp", exchange(options, kept, outcome)).await
    })
}

async fn exchange(
    options: &FetchOptions,
    kept: &mut Option<Flow>,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut flow = match kept.take() {
        Some(flow) => flow,
        None => Flow::open(options.target.address, options.source(outcome.index)).await?,
    };
    outcome.source = Some(flow.source());
    outcome.server = Some(flow.ask(options.datagram, outcome.index).await?);
    if options.keep_alive {
        *kept = Some(flow);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_as_long_as_asked_for_and_no_two_are_alike() {
        for (kind, length) in [
            (Datagram::Echoed(4_000), 4_000),
            (Datagram::Hashed(20_000), 20_000),
        ] {
            assert_eq!(kind.question(7).len(), length);
            assert_ne!(kind.question(7), kind.question(8));
        }
        assert_eq!(Datagram::Short.question(7), b"request 7");
    }

    #[test]
    fn only_the_right_answer_names_its_server() {
        let (short, hashed) = (Datagram::Short, Datagram::Hashed(100));
        assert_eq!(
            short.answered_by(b"request 7", b"h2 request 7").unwrap(),
            "h2"
        );
        assert_eq!(short.answered_by(b"request 7", b"h2 request 8"), None);
        let question = hashed.question(1);
        let mut hash = Fnv64::default();
        hash.write(&question);
        let answer = format!("h2 100 {}", hash.hex());
        assert_eq!(
            hashed.answered_by(&question, answer.as_bytes()).unwrap(),
            "h2"
        );
        assert_eq!(
            hashed.answered_by(&question, b"h2 100 0000000000000000"),
            None
        );
    }
}
