//! The modes that keep no flows: `dnat`, `l2-dsr`, `ipip` (RFC 2003, RFC 2473, RFC 4213) and `gue`.

use std::net::IpAddr;

use abi::reason::Reason;

use super::instance::Mode;
use super::rewrite::Tunnel;
use super::select::{self, ById};
use super::{Expected, Model, Ours, bytes, rewrite};
use crate::frame::Routes;

impl Model {
    /// Modes that keep no flows.
    pub(super) fn stateless(
        &mut self,
        ours: &Ours<'_>,
        service: usize,
    ) -> Result<Expected, String> {
        let Ours {
            arrival,
            packet,
            flow,
        } = ours;
        let kind = (
            select::is_opening(arrival.frame, packet),
            select::tcp_flags(arrival.frame, packet),
        );
        let by_id = self.by_id(ours, service);
        let chosen = match by_id {
            ById::Backend(backend) => Ok((backend, Reason::Forwarded)),
            _ => select::choose(&self.instance, &mut self.entries, service, flow, kind),
        };
        let (backend, reason) = match chosen {
            Ok((backend, reason)) => (backend, by_id.reason_or(reason)),
            Err(_) => return Ok(self.without_backend(ours, service, None)),
        };
        let chosen = self.instance.backends[backend];
        if !chosen.is_alive {
            return Ok(self.without_backend(ours, service, Some(backend)));
        }
        let mode = self.instance.services[service].mode;
        if chosen.link.is_none() {
            return Ok(arrival.dropped(Reason::NextHopUnknown, service, Some(backend)));
        }
        let overhead = match mode {
            Mode::Ipip => Tunnel::overhead(&chosen, false),
            Mode::Gue => Tunnel::overhead(&chosen, true),
            _ => 0,
        };
        let room = chosen.mtu.saturating_sub(overhead);
        if packet.length() > room {
            return Ok(arrival.too_big(packet, room, service, Some(backend)));
        }
        self.send(ours, service, backend, reason)
    }

    /// Sends a packet, or an ICMP error, to a backend in its service's mode.
    pub(super) fn send(
        &mut self,
        ours: &Ours<'_>,
        service: usize,
        backend: usize,
        reason: Reason,
    ) -> Result<Expected, String> {
        let Ours {
            arrival,
            packet,
            flow,
        } = ours;
        let chosen = self.instance.backends[backend];
        let mode = self.instance.services[service].mode;
        let Some(link) = chosen.link else {
            return Ok(arrival.dropped(Reason::NextHopUnknown, service, Some(backend)));
        };
        let mut frame = rewrite::linked(arrival.frame, &link);
        match mode {
            Mode::L2Dsr => {}
            Mode::Ipip => {
                let tunnel = self.tunnel(ours, backend, false)?;
                frame = tunnel.encapsulate(&frame, packet);
            }
            Mode::Gue => {
                let tunnel = self.tunnel(ours, backend, true)?;
                frame = tunnel.encapsulate(&frame, packet);
            }
            Mode::Dnat | Mode::Nat => {
                if packet.hops <= 1 {
                    return Ok(arrival.dropped(Reason::TtlExceeded, service, Some(backend)));
                }
                let mut becomes = *flow;
                becomes.destination.set_ip(chosen.address);
                if let Some(port) = chosen.port {
                    becomes.destination.set_port(port);
                }
                rewrite::readdress(&mut frame, packet, &becomes, packet.hops - 1);
            }
        }
        Ok(arrival.forwarded(reason, Some(service), Some(backend), link.interface, frame))
    }

    /// The outer headers of a flow, with what was chosen for them.
    fn tunnel(
        &mut self,
        ours: &Ours<'_>,
        backend: usize,
        is_gue: bool,
    ) -> Result<Tunnel<'_>, String> {
        let key = (ours.flow, backend);
        let backend = &self.instance.backends[backend];
        let is_v4 = backend.address.is_ipv4();
        let ip = ours.packet.ip;
        let header = ours.arrival.observed.frame.get(ip..);
        let header = header.unwrap_or_default();
        let source_port = bytes::word(header, if is_v4 { 20 } else { 40 });
        let seen = (
            outer_source(header, backend.source, self.instance.outer_entropy),
            source_port.filter(|_| is_gue),
        );
        if let (_, Some(port)) = seen
            && port < 49_152
        {
            return Err(format!("GUE's source port {port} is not a dynamic port"));
        }
        let first = *self.outer.entry(key).or_insert(seen);
        if first != seen {
            return Err(format!(
                "{:?} had {first:?} in its outer header and has {seen:?}",
                ours.flow
            ));
        }
        Ok(Tunnel {
            backend,
            source: seen.0,
            ttl: self.instance.outer_ttl,
            gue: is_gue.then_some(seen.1.unwrap_or(0)),
        })
    }

    pub(super) fn by_id(&self, ours: &Ours<'_>, service: usize) -> ById {
        match &self.instance.services[service].quic {
            Some(quic) => select::by_id(&self.instance, quic, ours.arrival.frame, ours.packet),
            None => ById::Silent,
        }
    }

    /// From a backend of mode `dnat` to a client.
    pub(super) fn dnat_reply(&self, ours: &Ours<'_>, index: usize) -> Expected {
        let Ours {
            arrival,
            packet,
            flow,
        } = ours;
        let service = &self.instance.services[index];
        let routes = self.instance.routes.to(packet.destination);
        if routes == Routes::Nowhere {
            return arrival.unchanged(Reason::NotForService);
        }
        if packet.hops <= 1 {
            return arrival.dropped(Reason::TtlExceeded, index, None);
        }
        let mut becomes = *flow;
        becomes.source.set_ip(service.address);
        if let Some(port) = service.port {
            becomes.source.set_port(port);
        }
        match routes {
            Routes::Narrow(mtu) if packet.length() > mtu as usize => {
                arrival.too_big(packet, mtu as usize, index, None)
            }
            Routes::Back | Routes::Narrow(_) => {
                let link = rewrite::back(arrival.frame, arrival.interface);
                let mut frame = rewrite::linked(arrival.frame, &link);
                rewrite::readdress(&mut frame, packet, &becomes, packet.hops - 1);
                arrival.forwarded(Reason::Replied, Some(index), None, link.interface, frame)
            }
            Routes::Host | Routes::Nowhere => {
                let mut frame = arrival.frame.to_vec();
                rewrite::readdress(&mut frame, packet, &becomes, packet.hops);
                arrival.forwarded(Reason::RepliedByHost, Some(index), None, 0, frame)
            }
        }
    }
}

/// The source address in an outer header, of which the lowest bits may tell flows apart.
fn outer_source(header: &[u8], source: IpAddr, with_entropy: bool) -> IpAddr {
    match source {
        _ if !with_entropy => source,
        IpAddr::V4(source) => {
            let low = bytes::word(header, 14).unwrap_or(0);
            IpAddr::V4((source.to_bits() & 0xffff_0000 | u32::from(low)).into())
        }
        IpAddr::V6(source) => {
            let [high, low] = [20, 22].map(|at| bytes::word(header, at).unwrap_or(0));
            let low = u128::from(high) << 16 | u128::from(low);
            IpAddr::V6((source.to_bits() & !0xffff_ffff | low).into())
        }
    }
}
