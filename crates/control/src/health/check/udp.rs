//! A datagram, and what comes back.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
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
    let socket = socket(to, limit).map_err(|error| ours(&error))?;
    // Connected, so that the kernel tells of refusals, and of nobody else's datagrams.
    socket.connect(to).await.map_err(|error| failed(&error))?;
    socket.send(send).await.map_err(|error| failed(&error))?;
    let received = timeout_at(limit.deadline, receive(&socket)).await;
    let answer = match (received, expect) {
        (Ok(Ok(answer)), _) => answer,
        (Ok(Err(error)), _) if error.kind() == ErrorKind::ConnectionRefused => {
            return Err(Found::Bad("port unreachable".to_owned()));
        }
        (Ok(Err(error)), _) => return Err(failed(&error)),
        (Err(_), None) => return Ok(Found::Good("not refused".to_owned())),
        (Err(_), Some(_)) => {
            return Err(Found::Bad(format!("no answer within {:?}", limit.timeout)));
        }
    };
    let length = answer.len();
    match expect {
        Some(expect) if !contains(&answer, expect) => Err(Found::Bad(format!(
            "an answer of {length} bytes without what is expected"
        ))),
        _ => Ok(Found::Good(format!("an answer of {length} bytes"))),
    }
}

/// From a port of its own while there is one, then from one that other checks have, too: the kernel
/// tells the answers to connected sockets apart by whom they come from.
fn socket(to: SocketAddr, limit: &Limit) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    let bind = |port| socket.bind(&SocketAddr::new(any(to), port).into());
    let bound = limit.ports.bind(bind);
    // What this allows counts when others bind, so it does no harm once there is a port.
    socket.set_reuse_address(true)?;
    match bound {
        Err(error) if error.kind() == ErrorKind::AddrInUse => limit.ports.bind(bind),
        bound => bound,
    }?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Has no room for an answer until there is one: most of the time a check waits.
async fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    socket.ready(Interest::READABLE | Interest::ERROR).await?;
    let mut answer = Vec::with_capacity(MAX_ANSWER);
    socket.recv_buf(&mut answer).await?;
    Ok(answer)
}
