//! A QUIC client that changes its address.

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint};
use tokio::time::timeout;

use super::server::{LONGEST, SERVER_NAME};

/// Bytes of a question: many packets each way.
const QUESTION: usize = 100_000;
/// Questions between two moves.
const QUESTIONS: usize = 3;

/// A connection and the addresses that its client has, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Journey {
    pub(crate) service: SocketAddr,
    pub(crate) stops: Vec<SocketAddr>,
    pub(crate) config: ClientConfig,
    /// For the handshake, and for each answer.
    pub(crate) patience: Duration,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) server: String,
    /// The client as the server sees it.
    pub(crate) client: SocketAddr,
}

/// How far a journey came.
#[derive(Debug)]
pub(crate) struct Travelled {
    /// Where it was to go.
    pub(crate) stops: Vec<SocketAddr>,
    /// The last at each stop.
    pub(crate) answers: Vec<Answer>,
    /// Why there is none from the next stop.
    pub(crate) lost: Option<String>,
}

impl Journey {
    /// Connects at the first stop, asks some questions at each, and ends early when an answer does
    /// not come. Sockets belong to the namespace of the calling thread.
    pub(crate) fn travel(&self) -> Travelled {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let mut answers = Vec::new();
        let travelled = runtime
            .expect("a runtime")
            .block_on(self.visit(&mut answers));
        Travelled {
            stops: self.stops.clone(),
            answers,
            lost: travelled.err().map(|error| error.to_string()),
        }
    }

    async fn visit(&self, answers: &mut Vec<Answer>) -> Result<(), Box<dyn Error>> {
        let (first, others) = self.stops.split_first().ok_or("expected a stop")?;
        let endpoint = Endpoint::client(*first)?;
        let config = self.config.clone();
        let connecting = endpoint.connect_with(config, self.service, SERVER_NAME)?;
        let connection = timeout(self.patience, connecting).await??;
        answers.push(self.converse(&connection).await?);
        for stop in others {
            endpoint.rebind(UdpSocket::bind(stop)?)?;
            answers.push(self.converse(&connection).await?);
        }
        connection.close(0_u8.into(), b"");
        timeout(self.patience, endpoint.wait_idle()).await?;
        Ok(())
    }

    async fn converse(&self, connection: &Connection) -> Result<Answer, Box<dyn Error>> {
        let mut last = timeout(self.patience, ask(connection)).await??;
        for _ in 1..QUESTIONS {
            let answer = timeout(self.patience, ask(connection)).await??;
            if answer.server != last.server {
                return Err(format!("{answer:?} after {last:?}").into());
            }
            last = answer;
        }
        Ok(last)
    }
}

async fn ask(connection: &Connection) -> Result<Answer, Box<dyn Error>> {
    let question: Vec<u8> = (0..QUESTION).map(|byte| byte as u8).collect();
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&question).await?;
    send.finish()?;
    let bytes = receive.read_to_end(2 * LONGEST).await?;
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, echo) = bytes.split_at(end.ok_or("expected a line")?);
    if echo[1..] != question {
        return Err("the question came back changed".into());
    }
    let line = str::from_utf8(line)?;
    let (server, client) = line.split_once(' ').ok_or("expected name and address")?;
    Ok(Answer {
        server: server.to_owned(),
        client: client.parse()?,
    })
}
