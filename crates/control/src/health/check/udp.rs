//! A datagram, and what comes back.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket as StdSocket};

use tokio::net::UdpSocket;
use tokio::time::timeout_at;

use super::MAX_ANSWER;
use super::answer::contains;
use super::connect::{any, failed, ours};
use super::limit::Limit;
use crate::health::outcome::Found;

/// Sends a datagram. Without `expect`, silence is good: only a refusal is not.
pub(super) async fn run(
    to: SocketAddr,
    send: &[u8],
    expect: Option<&[u8]>,
    limit: &Limit,
) -> Result<Found, Found> {
    let bound = limit.ports.bind(|port| StdSocket::bind((any(to), port)));
    let socket = bound.and_then(|socket| {
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    });
    let socket = socket.map_err(|error| ours(&error))?;
    // Connected, so that the kernel tells of refusals, and of nobody else's datagrams.
    socket.connect(to).await.map_err(|error| failed(&error))?;
    socket.send(send).await.map_err(|error| failed(&error))?;
    let mut answer = vec![0; MAX_ANSWER];
    let received = timeout_at(limit.deadline, socket.recv(&mut answer)).await;
    let length = match (received, expect) {
        (Ok(Ok(length)), _) => length,
        (Ok(Err(error)), _) if error.kind() == ErrorKind::ConnectionRefused => {
            return Err(Found::Bad("port unreachable".to_owned()));
        }
        (Ok(Err(error)), _) => return Err(failed(&error)),
        (Err(_), None) => return Ok(Found::Good("not refused".to_owned())),
        (Err(_), Some(_)) => {
            return Err(Found::Bad(format!("no answer within {:?}", limit.timeout)));
        }
    };
    match expect {
        Some(expect) if !contains(&answer[..length], expect) => Err(Found::Bad(format!(
            "an answer of {length} bytes without what is expected"
        ))),
        _ => Ok(Found::Good(format!("an answer of {length} bytes"))),
    }
}
