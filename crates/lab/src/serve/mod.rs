//! The server that runs in backends and says who it is: HTTP/1.1 over TCP, and datagrams, on
//! the same addresses.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the server's name and a newline |
//! | `GET /bytes/N` | N bytes that the client can compute too |
//! | `POST /upload` | length of the body and its FNV-1a hash (64 bits, hexadecimal) |
//! | a datagram that starts with `hash ` | the server's name, the datagram's length and hash |
//! | another datagram | the server's name, a space, the datagram |
//!
//! Every HTTP answer carries `x-served-by: NAME`, and as the server sees them
//! `x-client: ADDRESS:PORT` and `x-server: ADDRESS:PORT`. A datagram is answered from the
//! address that it was sent to.

mod http;
mod socket;
mod udp;

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::select_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use socket::{Datagrams, listen};

pub(crate) use http::SERVED_BY;
pub(crate) use udp::HASHED;

/// What to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Who the server says it is.
    pub name: String,
    /// Where it listens, TCP and UDP. Port 0 takes a free one. `[::]` is IPv6 only: see
    /// [`everywhere`](crate::topology::everywhere).
    pub listen: Vec<SocketAddr>,
}

/// Serves until `interrupt` is set. Writes one line, `ready NAME ADDRESS...`, once it listens.
pub fn serve(options: &ServeOptions, interrupt: &Interrupt, out: &mut dyn Write) -> Result<()> {
    allow_many_sockets();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the server"))?;
    let name = &options.name;
    runtime.block_on(async {
        let mut servers: Vec<Pin<Box<dyn Future<Output = Result<()>>>>> =
            vec![Box::pin(asked_to_stop(interrupt))];
        let mut ready = format!("ready {name}");
        for wanted in &options.listen {
            let failed = |protocol| Error::io(format!("listen on {protocol} {wanted}"));
            let listener = listen(*wanted).map_err(failed("tcp"))?;
            let address = listener.local_addr().map_err(failed("tcp"))?;
            let datagrams = Datagrams::listen(address).map_err(failed("udp"))?;
            servers.push(Box::pin(http::serve(listener, name)));
            servers.push(Box::pin(udp::answer(datagrams, name)));
            ready.push_str(&format!(" {address}"));
        }
        writeln!(out, "{ready}")
            .and_then(|()| out.flush())
            .map_err(Error::io("write the ready line"))?;
        select_all(servers).await.0
    })
}

/// Waits for it.
pub(crate) async fn asked_to_stop(interrupt: &Interrupt) -> Result<()> {
    while !interrupt.is_set() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Thousands of connections need more descriptors than the usual 1,024.
pub(crate) fn allow_many_sockets() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it the tools still work, for fewer connections at a time.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
