//! Mode `nat` (RFC 3022, RFC 5508): what flows there are, and what becomes of their packets.

use std::collections::HashMap;

use abi::reason::Reason;

use super::bytes::word;
use super::instance::{Instance, Link};
use super::packet::{Flow, Part, TCP};
use super::select::{self, ById};
use super::{Expected, Model, Ours, rewrite};

/// TCP's flag.
const FIN: u8 = 1;

/// A flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) service: usize,
    pub(super) backend: usize,
    /// As the client sends it.
    pub(super) outside: Flow,
    /// As the backend gets it.
    pub(super) inside: Flow,
    /// The way to the client: back to where its last packet came from.
    pub(super) client: Link,
    /// The client has sent a FIN since its last SYN.
    is_closed: bool,
}

/// All flows.
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_client: HashMap<Flow, Held>,
    /// The client's flow, by the flow as the backend answers it.
    by_answer: HashMap<Flow, Flow>,
}

impl Flows {
    pub(super) fn of_client(&self, flow: &Flow) -> Option<Held> {
        self.by_client.get(flow).copied()
    }

    pub(super) fn of_answer(&self, flow: &Flow) -> Option<Held> {
        self.of_client(self.by_answer.get(flow)?)
    }

    fn enter(&mut self, held: Held) {
        self.by_answer.insert(held.inside.reversed(), held.outside);
        self.by_client.insert(held.outside, held);
    }

    fn forget(&mut self, held: &Held) {
        self.by_answer.remove(&held.inside.reversed());
        self.by_client.remove(&held.outside);
    }
}

impl Model {
    /// A packet to a service of mode `nat`, or to one of our source addresses.
    pub(super) fn nat(
        &mut self,
        ours: &Ours<'_>,
        service: Option<usize>,
    ) -> Result<Expected, String> {
        let mut lost_its_backend = false;
        if let Some(held) = self.nat.of_client(&ours.flow) {
            let backend = &self.instance.backends[held.backend];
            // A SYN behind the end of a connection is a new one, which is for others to take.
            let is_opening = select::is_opening(ours.arrival.frame, ours.packet);
            let moves_on = held.is_closed && is_opening && !backend.takes_new;
            if ours.packet.hops <= 1 || backend.is_alive && !moves_on {
                return Ok(self.nat_forward(ours, held));
            }
            self.nat.forget(&held);
            lost_its_backend = true;
        } else if let Some(held) = self.nat.of_answer(&ours.flow) {
            return Ok(nat_reply(ours, &held));
        }
        match service {
            Some(service) => self.nat_start(ours, service, lost_its_backend),
            None => Ok(ours.arrival.unchanged(Reason::NotForService)),
        }
    }

    fn nat_forward(&mut self, ours: &Ours<'_>, mut held: Held) -> Expected {
        let arrival = ours.arrival;
        held.client = rewrite::back(arrival.frame, arrival.interface);
        held.is_closed |= select::tcp_flags(arrival.frame, ours.packet) & FIN != 0;
        self.nat.enter(held);
        let (service, backend) = (held.service, Some(held.backend));
        let chosen = &self.instance.backends[held.backend];
        if ours.packet.hops <= 1 {
            return arrival.dropped(Reason::TtlExceeded, service, backend);
        }
        let Some(link) = chosen.link else {
            return arrival.dropped(Reason::NextHopUnknown, service, backend);
        };
        if ours.packet.length() > chosen.mtu {
            return arrival.too_big(ours.packet, chosen.mtu, service, backend);
        }
        if select::is_opening(arrival.frame, ours.packet) {
            held.is_closed = false;
            self.nat.enter(held);
        }
        rewritten(ours, &held, &link, Reason::Forwarded, &held.inside)
    }

    fn nat_start(
        &mut self,
        ours: &Ours<'_>,
        service: usize,
        lost_its_backend: bool,
    ) -> Result<Expected, String> {
        let Ours {
            arrival,
            packet,
            flow,
        } = ours;
        let dropped = |reason| Ok(arrival.dropped(reason, service, None));
        if matches!(packet.part, Part::Later(_)) {
            return dropped(Reason::LaterFragment);
        }
        let is_opening = select::is_opening(arrival.frame, packet);
        if flow.protocol == TCP && !is_opening && !lost_its_backend {
            return dropped(Reason::NoFlow);
        }
        if packet.hops <= 1 {
            return dropped(Reason::TtlExceeded);
        }
        let by_id = self.by_id(ours, service);
        let backend = match by_id {
            ById::Backend(backend) => backend,
            _ => match self.instance.slot_of(service, flow) {
                Some(slot) => current(slot),
                None => return Ok(self.without_backend(ours, service, None)),
            },
        };
        let chosen = &self.instance.backends[backend];
        if !chosen.is_alive {
            return Ok(self.without_backend(ours, service, None));
        }
        let Some(link) = chosen.link else {
            return dropped(Reason::NextHopUnknown);
        };
        if packet.length() > chosen.mtu {
            return Ok(arrival.too_big(packet, chosen.mtu, service, Some(backend)));
        }
        let mut inside = *flow;
        inside.source.set_ip(chosen.source);
        inside.destination.set_ip(chosen.address);
        if let Some(port) = chosen.port {
            inside.destination.set_port(port);
        }
        let Some(port) = self.chosen_port(ours, inside)? else {
            return dropped(Reason::PortsExhausted);
        };
        inside.source.set_port(port);
        let held = Held {
            service,
            backend,
            outside: *flow,
            inside,
            client: rewrite::back(arrival.frame, arrival.interface),
            is_closed: false,
        };
        self.nat.enter(held);
        let reason = by_id.reason_or(Reason::NewFlow);
        Ok(rewritten(ours, &held, &link, reason, &inside))
    }

    /// The port that a new flow got. The client's own comes first; then any of ours that is free;
    /// and if several tries find none that is, none.
    fn chosen_port(&self, ours: &Ours<'_>, inside: Flow) -> Result<Option<u16>, String> {
        let own = ours.flow.source.port();
        let instance = &self.instance;
        if is_free(instance, &self.nat, inside, own) {
            return Ok(Some(own));
        }
        let observed = ours.arrival.observed;
        if observed.reason == Reason::PortsExhausted {
            return Ok(None);
        }
        let port = word(&observed.frame, ours.packet.transport).unwrap_or(0);
        if !instance.nat_ports.contains(&port) || !is_free(instance, &self.nat, inside, port) {
            return Err(format!(
                "{:?} may not have port {port} towards {:?} ({:?})",
                ours.flow, inside.destination, observed.reason
            ));
        }
        Ok(Some(port))
    }
}

/// Whether a flow may have this source port: no other has it, and answers to it are not taken for
/// requests to a service.
fn is_free(instance: &Instance, flows: &Flows, mut inside: Flow, port: u16) -> bool {
    inside.source.set_port(port);
    port != 0
        && !flows.by_answer.contains_key(&inside.reversed())
        && !instance.has_port(inside.source.ip(), port, inside.protocol)
}

fn current(slot: super::Slot) -> usize {
    match slot {
        super::Slot::Steady(current)
        | super::Slot::Transition(current, _)
        | super::Slot::Settling(current) => current,
    }
}

fn nat_reply(ours: &Ours<'_>, held: &Held) -> Expected {
    if ours.packet.hops <= 1 {
        let backend = Some(held.backend);
        return ours
            .arrival
            .dropped(Reason::TtlExceeded, held.service, backend);
    }
    let becomes = held.outside.reversed();
    rewritten(ours, held, &held.client, Reason::Replied, &becomes)
}

fn rewritten(
    ours: &Ours<'_>,
    held: &Held,
    link: &Link,
    reason: Reason,
    becomes: &Flow,
) -> Expected {
    let mut frame = rewrite::linked(ours.arrival.frame, link);
    rewrite::readdress(&mut frame, ours.packet, becomes, ours.packet.hops - 1);
    let (service, backend) = (Some(held.service), Some(held.backend));
    ours.arrival
        .forwarded(reason, service, backend, link.interface, frame)
}
