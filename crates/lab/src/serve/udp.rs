//! The UDP half of the server.

use tokio::net::UdpSocket;

use crate::error::Result;

/// Answers each datagram with the server's name, a space and the datagram.
///
/// The answer leaves from the address that routing chooses: listen on the one that clients
/// use when the host has several.
pub(super) async fn echo(socket: UdpSocket, name: &str) -> Result<()> {
    let mut datagram = vec![0; usize::from(u16::MAX)];
    loop {
        // An ICMP error for an earlier answer is reported here; it concerns a client
        // that has gone.
        let Ok((length, peer)) = socket.recv_from(&mut datagram).await else {
            continue;
        };
        let payload = datagram.get(..length).unwrap_or_default();
        let answer = [name.as_bytes(), b" ", payload].concat();
        // With no route back, or an answer that has become too long, the client waits in vain.
        let _ = socket.send_to(&answer, peer).await;
    }
}
