//! ICMP (RFC 792, RFC 1122 section 3.2.2, RFC 1191) and ICMPv6 (RFC 4443), in front of services.

use std::net::IpAddr;

use abi::reason::Reason;

use super::answer::{OWN_HOPS, is_one_host};
use super::instance::{Link, Mode};
use super::packet::{self, Flow, Packet, Part, TCP, UDP};
use super::{Arrival, Expected, Model, Ours, ports, rewrite, select};
use crate::frame::Routes;

/// What an error becomes.
struct Changed {
    source: IpAddr,
    destination: IpAddr,
    /// The quoted packet's ends.
    quoted: Flow,
    link: Link,
    hops_taken: u8,
}

impl Model {
    pub(super) fn icmp(
        &mut self,
        arrival: &Arrival<'_>,
        packet: &Packet,
    ) -> Result<Expected, String> {
        let for_host = arrival.unchanged(Reason::IcmpForHost);
        if packet.part != Part::Whole {
            return Ok(for_host);
        }
        let kind = arrival.frame[packet.transport];
        let is_echo = kind == if packet.is_v6() { 128 } else { 8 };
        if is_echo && self.instance.answers_echo(packet.destination) && is_one_host(packet.source) {
            return Ok(echo(arrival, packet));
        }
        let is_error = match packet.is_v6() {
            false => matches!(kind, 3 | 11 | 12),
            true => matches!(kind, 1..=4),
        };
        let for_us = self.instance.is_vip(packet.destination)
            || self.instance.is_nat_source(packet.destination, None)
            || self.instance.looks_at_everything();
        match is_error && for_us {
            true => Ok(self.error(arrival, packet)?.unwrap_or(for_host)),
            false => Ok(for_host),
        }
    }

    /// An error: to the flow whose packet it quotes.
    fn error(&mut self, arrival: &Arrival<'_>, outer: &Packet) -> Result<Option<Expected>, String> {
        let Some((quoted, sent)) = quoted_flow(arrival.frame, outer) else {
            return Ok(None);
        };
        let flow = sent.reversed();
        if outer.destination == sent.source.ip() {
            if let Some(expected) = self.error_in_nat(arrival, outer, &quoted, &flow) {
                return Ok(Some(expected));
            }
            let service = self.instance.service(&flow).or_else(|| {
                let address = flow.destination.ip();
                match self.instance.is_nat_source(address, Some(flow.protocol)) {
                    true => None,
                    false => self.instance.prefix_service(&flow),
                }
            });
            if let Some(service) = service {
                return self
                    .error_to_service(arrival, outer, (&quoted, &sent), service)
                    .map(Some);
            }
        }
        Ok(self.error_from_dnat(arrival, outer, (&quoted, &sent)))
    }

    fn error_in_nat(
        &self,
        arrival: &Arrival<'_>,
        outer: &Packet,
        quoted: &Packet,
        flow: &Flow,
    ) -> Option<Expected> {
        let (held, changed, reason) = if let Some(held) = self.nat.of_client(flow) {
            // The client, or a router on the way to it, complains about the backend's answer.
            let Some(link) = self.instance.backends[held.backend].link else {
                let backend = Some(held.backend);
                let reason = Reason::NextHopUnknown;
                return Some(arrival.dropped(reason, held.service, backend));
            };
            let changed = Changed {
                source: outer.source,
                destination: held.inside.destination.ip(),
                quoted: held.inside.reversed(),
                link,
                hops_taken: 1,
            };
            (held, changed, Reason::IcmpForwarded)
        } else {
            // The backend, or a router on the way to it, complains about the client's packet.
            let held = self.nat.of_answer(flow)?;
            let changed = Changed {
                source: held.outside.destination.ip(),
                destination: held.outside.source.ip(),
                quoted: held.outside,
                link: held.client,
                hops_taken: 1,
            };
            (held, changed, Reason::IcmpReplied)
        };
        let ends = (Some(held.service), Some(held.backend));
        Some(changed.apply(arrival, (outer, quoted), reason, ends))
    }

    fn error_to_service(
        &mut self,
        arrival: &Arrival<'_>,
        outer: &Packet,
        (quoted, sent): (&Packet, &Flow),
        service: usize,
    ) -> Result<Expected, String> {
        let mode = self.instance.services[service].mode;
        if mode == Mode::Nat {
            return Ok(arrival.dropped(Reason::IcmpNoFlow, service, None));
        }
        let flow = sent.reversed();
        let found = select::backend_of(&self.instance, &mut self.entries, service, &flow);
        let Some(backend) = found else {
            return Ok(arrival.dropped(Reason::NoBackend, service, None));
        };
        let chosen = &self.instance.backends[backend];
        let (Some(link), true) = (chosen.link, chosen.is_alive) else {
            return Ok(arrival.dropped(Reason::NextHopUnknown, service, Some(backend)));
        };
        if mode != Mode::Dnat {
            let ours = Ours {
                arrival,
                packet: outer,
                flow,
            };
            return self.send(&ours, service, backend, Reason::IcmpForwarded);
        }
        let mut was = *sent;
        was.source.set_ip(chosen.address);
        if let Some(port) = chosen.port {
            was.source.set_port(port);
        }
        let changed = Changed {
            source: outer.source,
            destination: chosen.address,
            quoted: was,
            link,
            hops_taken: 1,
        };
        let ends = (Some(service), Some(backend));
        Ok(changed.apply(arrival, (outer, quoted), Reason::IcmpForwarded, ends))
    }

    /// An error about a client's packet to a backend of mode `dnat`, on its way to the client.
    fn error_from_dnat(
        &self,
        arrival: &Arrival<'_>,
        outer: &Packet,
        (quoted, sent): (&Packet, &Flow),
    ) -> Option<Expected> {
        let index = self.instance.dnat_service(&sent.reversed())?;
        let service = &self.instance.services[index];
        let back = rewrite::back(arrival.frame, arrival.interface);
        let (link, hops_taken) = match self.instance.routes.to(outer.destination) {
            Routes::Nowhere => return None,
            Routes::Narrow(mtu) if outer.length() > mtu as usize => {
                return Some(arrival.dropped(Reason::NextHopUnknown, index, None));
            }
            Routes::Back | Routes::Narrow(_) => (back, 1),
            // The frame keeps its addresses, and the stack takes the hop.
            Routes::Host => {
                let link = Link {
                    destination: back.source,
                    source: back.destination,
                    interface: 0,
                };
                (link, 0)
            }
        };
        let mut was = *sent;
        was.destination.set_ip(service.address);
        if let Some(port) = service.port {
            was.destination.set_port(port);
        }
        let changed = Changed {
            source: service.address,
            destination: outer.destination,
            quoted: was,
            link,
            hops_taken,
        };
        let reason = match hops_taken {
            0 => Reason::RepliedByHost,
            _ => Reason::IcmpReplied,
        };
        let ends = (Some(index), None);
        Some(changed.apply(arrival, (outer, quoted), reason, ends))
    }
}

impl Changed {
    fn apply(
        &self,
        arrival: &Arrival<'_>,
        (outer, quoted): (&Packet, &Packet),
        reason: Reason,
        (service, backend): (Option<usize>, Option<usize>),
    ) -> Expected {
        if outer.hops <= 1 {
            return Expected {
                service,
                backend,
                ..arrival.unchanged(Reason::TtlExceeded)
            };
        }
        let mut frame = rewrite::linked(arrival.frame, &self.link);
        let message = &mut frame[..outer.end];
        rewrite::change_message(message, outer, |message| {
            rewrite::readdress(message, quoted, &self.quoted, quoted.hops);
        });
        let ends = |ip| std::net::SocketAddr::new(ip, 0);
        let becomes = Flow {
            protocol: outer.protocol,
            source: ends(self.source),
            destination: ends(self.destination),
        };
        rewrite::readdress(message, outer, &becomes, outer.hops - self.hops_taken);
        arrival.forwarded(reason, service, backend, self.link.interface, frame)
    }
}

/// The packet that an error quotes, and who sent it to whom. It is TCP or UDP, with its ports.
fn quoted_flow(frame: &[u8], outer: &Packet) -> Option<(Packet, Flow)> {
    let message = &frame[..outer.end];
    let quoted = packet::quoted(message, outer.transport + 8, outer.is_v6())?;
    let has_ports = message.len() >= quoted.transport + 4;
    if !matches!(quoted.protocol, TCP | UDP) || matches!(quoted.part, Part::Later(_)) || !has_ports
    {
        return None;
    }
    Some((quoted, quoted.flow(ports(message, quoted.transport))))
}

/// The reply to an echo request: ends exchanged, fresh hops, everything else as it came.
fn echo(arrival: &Arrival<'_>, packet: &Packet) -> Expected {
    let back = rewrite::back(arrival.frame, arrival.interface);
    let mut frame = rewrite::linked(arrival.frame, &back);
    rewrite::change_message(&mut frame, packet, |message| {
        message[packet.transport] = if packet.is_v6() { 129 } else { 0 };
    });
    let becomes = packet.flow((0, 0)).reversed();
    rewrite::readdress(&mut frame, packet, &becomes, OWN_HOPS);
    arrival.forwarded(Reason::EchoAnswered, None, None, arrival.interface, frame)
}
