//! Checks that travel as clients' packets do: to the VIP, with the backend's MAC or in its tunnel.
//!
//! The host's own packets do not meet the XDP program, so these are made by hand: `frame` builds
//! what the data plane would send, `wire` sends it and hears the answer, which comes straight
//! back. Address and port are ours, held by a socket, so that nobody else has them meanwhile.

mod frame;
mod own;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

use engine::desired::{ForwardingMode, NextHop};
use socket2::{Domain, Protocol, Socket, Type};

use super::answer::contains;
use super::connect::ours;
use super::limit::Limit;
use crate::health::outcome::Found;
use crate::health::settings::CheckKind;
use frame::{Heard, Segment};
pub(crate) use wire::Wire;

/// How a service's packets get to one of its backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Through {
    pub(crate) mode: ForwardingMode,
    pub(crate) backend: IpAddr,
    /// Destination port of the outer header, in mode `gue`.
    pub(crate) gue_port: u16,
    /// Configured source of the outer header; `None`: what the route prefers.
    pub(crate) source: Option<IpAddr>,
    /// TTL or hop limit of the outer header.
    pub(crate) ttl: u8,
}

pub(super) async fn run(
    kind: &CheckKind,
    to: SocketAddr,
    through: &Through,
    wire: &Wire,
    limit: &Limit,
) -> Result<Found, Found> {
    let hop = wire.next_hop(through.backend)?;
    let is_tcp = matches!(kind, CheckKind::Tcp);
    let own = wire.own_address(to.ip(), &hop)?;
    let (_held, from) = hold(own, is_tcp).map_err(|error| ours(&error))?;
    let way = Way {
        wire,
        through,
        hop,
        from,
        to,
    };
    match kind {
        CheckKind::Udp {
            send,
            expect: Some(expect),
        } => way.datagram(send, expect, limit).await,
        CheckKind::Tcp => way.connection(limit).await,
        _ => Err(Found::Inconclusive(
            "such a check cannot go by way of the service".to_owned(),
        )),
    }
}

/// A port of ours, while the socket lives. Nobody listens on it, so the host's stack answers what
/// comes there with a RST.
fn hold(own: IpAddr, is_tcp: bool) -> std::io::Result<(Socket, SocketAddr)> {
    let any_port = SocketAddr::new(own, 0);
    let (kind, protocol) = match is_tcp {
        true => (Type::STREAM, Protocol::TCP),
        false => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(any_port), kind, Some(protocol))?;
    socket.bind(&any_port.into())?;
    let from = socket.local_addr()?.as_socket();
    Ok((socket, from.unwrap_or(any_port)))
}

/// One check's way.
struct Way<'a> {
    wire: &'a Wire,
    through: &'a Through,
    hop: NextHop,
    from: SocketAddr,
    to: SocketAddr,
}

impl Way<'_> {
    async fn connection(&self, limit: &Limit) -> Result<Found, Found> {
        let mut answers = self.wire.listen(self.from, self.to, true)?;
        let sequence = sequence();
        let syn = Segment::Syn { sequence };
        self.send(&frame::segment(self.from, self.to, syn)?)?;
        let ours = sequence.wrapping_add(1);
        let answer = async {
            loop {
                match answers.next().await? {
                    Heard::Segment {
                        is_syn: true,
                        acknowledged,
                    } if acknowledged == ours => return Ok(true),
                    Heard::Segment {
                        is_syn: false,
                        acknowledged,
                    } if acknowledged == ours => return Ok(false),
                    // Of somebody else, or of another time.
                    _ => {}
                }
            }
        };
        match limit
            .wait("answer from the service's address", answer)
            .await?
        {
            true => {
                // The host's stack would do the same, but not where it has the VIP itself.
                let rst = Segment::Rst { sequence: ours };
                self.send(&frame::segment(self.from, self.to, rst)?)?;
                Ok(Found::Good("connected to the service's address".to_owned()))
            }
            false => Err(Found::Bad("connection refused".to_owned())),
        }
    }

    async fn datagram(&self, send: &[u8], expect: &[u8], limit: &Limit) -> Result<Found, Found> {
        let mut answers = self.wire.listen(self.from, self.to, false)?;
        self.send(&frame::datagram(self.from, self.to, send)?)?;
        let answer = async {
            loop {
                if let Heard::Datagram(payload) = answers.next().await? {
                    return Ok(payload);
                }
            }
        };
        let what = "answer from the service's address";
        let payload = limit.wait(what, answer).await?;
        let length = payload.len();
        match contains(&payload, expect) {
            true => Ok(Found::Good(format!("an answer of {length} bytes"))),
            false => Err(Found::Bad(format!(
                "an answer of {length} bytes without what is expected"
            ))),
        }
    }

    /// Sends an IP packet the way of the service.
    fn send(&self, packet: &[u8]) -> Result<(), Found> {
        let frame = frame::wrapped(packet, self.through, &self.hop, self.from.port())?;
        self.wire.send(&frame, self.hop.interface_index)
    }
}

/// Initial sequence numbers that differ from run to run: an answer to an earlier one is not ours.
fn sequence() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // The golden ratio's fraction: far apart, and all of them in turn.
    NEXT.fetch_add(0x9e37_79b9, Ordering::Relaxed)
}
