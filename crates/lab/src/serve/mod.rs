//! The server that runs in backends and says who it is: HTTP/1.1 over TCP, and a UDP echo
//! on the same port.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the server's name and a newline |
//! | `GET /bytes/N` | N bytes that the client can compute too |
//! | `POST /upload` | length of the body and its FNV-1a hash (64 bits, hexadecimal) |
//! | a datagram | the server's name, a space, the datagram |
//!
//! Every HTTP answer carries `x-served-by: NAME` and `x-client: ADDRESS:PORT`, the peer as
//! the server sees it.

mod http;
mod udp;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;

pub(crate) use http::SERVED_BY;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// What to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Who the server says it is.
    pub name: String,
    /// Where it listens, TCP and UDP. Port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Serves until `interrupt` is set. Writes one line, `ready NAME ADDRESS`, once it listens.
pub fn serve(options: &ServeOptions, interrupt: &Interrupt, out: &mut dyn Write) -> Result<()> {
    allow_many_sockets();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the server"))?;
    runtime.block_on(async {
        let listener = listen(options.listen)?;
        let address = listener
            .local_addr()
            .map_err(Error::io("read the server's address"))?;
        let datagrams = UdpSocket::bind(address)
            .await
            .map_err(Error::io(format!("listen on udp {address}")))?;
        writeln!(out, "ready {} {address}", options.name)
            .and_then(|()| out.flush())
            .map_err(Error::io("write the ready line"))?;
        tokio::select! {
            outcome = http::serve(listener, &options.name) => outcome,
            outcome = udp::echo(datagrams, &options.name) => outcome,
            () = asked_to_stop(interrupt) => Ok(()),
        }
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(Error::io(format!("listen on tcp {address}")))
}

async fn asked_to_stop(interrupt: &Interrupt) {
    while !interrupt.is_set() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Thousands of connections need more descriptors than the usual 1,024.
pub(crate) fn allow_many_sockets() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it the tools still work, for fewer connections at a time.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
