//! Running checks: one file a kind. Whatever a backend answers, or does not, a run costs no more
//! than its timeout and [`MAX_ANSWER`] bytes.

mod agent;
mod answer;
mod bounded;
mod command;
mod connect;
mod grpc;
mod http;
mod http1;
mod http2;
mod limit;
mod ports;
mod tcp;
mod through;
mod tls;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::outcome::{Found, Outcome};
use super::settings::CheckKind;
use limit::Limit;
use ports::OwnPorts;
pub(crate) use through::{Through, Wire};
pub(crate) use tls::Trusted;

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// What is asked of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Probe {
    pub(crate) kind: Arc<CheckKind>,
    pub(crate) address: IpAddr,
    /// `None` only for commands.
    pub(crate) port: Option<u16>,
    /// By way of a service, whose address is then asked; `None`: as any connection.
    pub(crate) through: Option<Through>,
}

/// What all checks share.
#[derive(Default)]
pub(crate) struct Tools {
    pub(crate) trusted: Trusted,
    pub(crate) wire: Wire,
    pub(crate) ports: OwnPorts,
}

impl Probe {
    /// Runs it once.
    pub(crate) async fn run(&self, tools: &Tools, timeout: Duration) -> Outcome {
        let begun = Instant::now();
        let limit = Limit::new(begun, timeout, tools.ports.next());
        let (Ok(found) | Err(found)) = self.ask(tools, &limit).await;
        found.took(begun.elapsed())
    }

    async fn ask(&self, tools: &Tools, limit: &Limit) -> Result<Found, Found> {
        let to = SocketAddr::new(self.address, self.port.unwrap_or(0));
        let trusted = &tools.trusted;
        if let Some(through) = &self.through {
            return through::run(&self.kind, to, through, &tools.wire, limit).await;
        }
        match &*self.kind {
            CheckKind::Tcp => tcp::run(to, limit).await,
            CheckKind::Http(check) => http::run(check, to, trusted, limit).await,
            CheckKind::Udp { send, expect } => udp::run(to, send, expect.as_deref(), limit).await,
            CheckKind::Grpc { service, tls } => {
                grpc::run(to, service, tls.as_ref(), trusted, limit).await
            }
            CheckKind::Command { command } => {
                command::run(command, self.address, self.port, limit).await
            }
            CheckKind::Agent { send } => agent::run(to, send, limit).await,
        }
    }
}

#[cfg(test)]
mod tests;
