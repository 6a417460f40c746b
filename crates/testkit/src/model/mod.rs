//! What a balancer should do with a frame, written from the RFCs and the design: clear, slow, and
//! sharing nothing with the code that is compared with it. Only reasons have their names from there.
//!
//! Where the design leaves a choice (which source port a `nat` flow or GUE gets), the model looks
//! at what was chosen, checks that it may be, and holds the balancer to it from then on.
//!
//! Tables are taken to have room, and paces not to be reached.

mod answer;
mod bytes;
mod icmp;
mod instance;
mod nat;
mod packet;
mod rewrite;
mod select;
mod stateless;

use std::collections::HashMap;
use std::net::IpAddr;

use abi::NO_INDEX;
use abi::reason::Reason;

pub use instance::{Affinity, Backend, FlowHash, Instance, Link, Mode, Quic, Service, Slot};
pub use packet::Flow;
use packet::{ICMP, ICMP_V6, Packet, Part};
use select::Entries;

use crate::outcome::Outcome;

/// What should become of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    reason: Reason,
    service: Option<usize>,
    backend: Option<usize>,
    interface: u32,
    frame: Vec<u8>,
}

/// A frame that came in, and what was done with it, for where there is a choice.
struct Arrival<'f> {
    frame: &'f [u8],
    interface: u32,
    observed: &'f Outcome,
}

/// What identifies the fragments of one packet.
type FragmentKey = (IpAddr, IpAddr, u8, u32);

/// A balancer, and what it remembers.
#[derive(Debug)]
pub struct Model {
    instance: Instance,
    entries: Entries,
    nat: nat::Flows,
    first_fragments: HashMap<FragmentKey, (u16, u16)>,
    /// What flows have in their outer headers, by backend: source address and GUE's source port.
    outer: HashMap<(Flow, usize), (IpAddr, Option<u16>)>,
}

impl Model {
    /// A balancer that has seen nothing yet.
    #[must_use]
    pub fn new(instance: Instance) -> Self {
        Self {
            instance,
            entries: Entries::new(),
            nat: nat::Flows::default(),
            first_fragments: HashMap::new(),
            outer: HashMap::new(),
        }
    }

    /// What is balanced, to be changed.
    pub fn instance(&mut self) -> &mut Instance {
        &mut self.instance
    }

    /// Whether `observed` is what should become of a frame that comes in by `interface`; describes
    /// the difference if not.
    pub fn judge(
        &mut self,
        frame: &[u8],
        interface: u32,
        observed: &Outcome,
    ) -> Result<(), String> {
        let arrival = Arrival {
            frame,
            interface,
            observed,
        };
        let expected = self.expect(&arrival)?;
        let index = |index: Option<usize>| index.map_or(NO_INDEX, |index| index as u32);
        let is_expected = expected.reason == observed.reason
            && index(expected.service) == observed.service
            && index(expected.backend) == observed.backend
            && expected.interface == observed.interface
            && expected.frame == observed.frame;
        match is_expected {
            true => Ok(()),
            false => Err(difference(&expected, observed)),
        }
    }

    fn expect(&mut self, arrival: &Arrival<'_>) -> Result<Expected, String> {
        let frame = arrival.frame;
        let packet = match packet::of_frame(frame) {
            Ok(packet) => packet,
            Err(reason) => return Ok(arrival.unchanged(reason)),
        };
        if matches!(packet.protocol, ICMP | ICMP_V6) {
            return self.icmp(arrival, &packet);
        }
        let ports = match packet.part {
            Part::Later(identification) => match self.ports(&packet, identification) {
                Some(ports) => ports,
                None => return Ok(arrival.unchanged(self.reason_of_lone_fragment(&packet))),
            },
            _ => ports(frame, packet.transport),
        };
        let flow = packet.flow(ports);
        let ours = Ours {
            arrival,
            packet: &packet,
            flow,
        };
        let service = self.instance.service(&flow);
        if let Some(service) = service {
            self.remember(&packet, ports);
            return self.forward(&ours, service);
        }
        if self
            .instance
            .is_nat_source(flow.destination.ip(), Some(flow.protocol))
        {
            self.remember(&packet, ports);
            return self.nat(&ours, None);
        }
        if let Some(service) = self.instance.prefix_service(&flow) {
            self.remember(&packet, ports);
            return self.forward(&ours, service);
        }
        if let Some(service) = self.instance.dnat_service(&flow) {
            self.remember(&packet, ports);
            return Ok(self.dnat_reply(&ours, service));
        }
        Ok(arrival.unchanged(Reason::NotForService))
    }

    fn forward(&mut self, ours: &Ours<'_>, service: usize) -> Result<Expected, String> {
        match self.instance.services[service].mode {
            Mode::Nat => self.nat(ours, Some(service)),
            _ => self.stateless(ours, service),
        }
    }

    fn remember(&mut self, packet: &Packet, ports: (u16, u16)) {
        if let Part::First(identification) = packet.part {
            let key = fragment_key(packet, identification);
            self.first_fragments.insert(key, ports);
        }
    }

    fn ports(&self, packet: &Packet, identification: u32) -> Option<(u16, u16)> {
        let key = fragment_key(packet, identification);
        self.first_fragments.get(&key).copied()
    }

    /// Of a later fragment whose first one has not been seen: it may be ours only by its address.
    fn reason_of_lone_fragment(&self, packet: &Packet) -> Reason {
        let address = packet.destination;
        let is_to_service = self.instance.services.iter().any(|service| {
            service.protocol == packet.protocol
                && service.is_one_address()
                && service.address == address
        });
        match is_to_service || self.instance.is_nat_source(address, Some(packet.protocol)) {
            true => Reason::LaterFragment,
            false => Reason::NotForService,
        }
    }
}

/// A packet of a flow.
struct Ours<'f> {
    arrival: &'f Arrival<'f>,
    packet: &'f Packet,
    flow: Flow,
}

impl Arrival<'_> {
    fn unchanged(&self, reason: Reason) -> Expected {
        Expected {
            reason,
            service: None,
            backend: None,
            interface: 0,
            frame: self.frame.to_vec(),
        }
    }

    /// Nothing is said about the bytes of what is dropped but that they are the same.
    fn dropped(&self, reason: Reason, service: usize, backend: Option<usize>) -> Expected {
        Expected {
            service: Some(service),
            backend,
            ..self.unchanged(reason)
        }
    }

    fn forwarded(
        &self,
        reason: Reason,
        service: Option<usize>,
        backend: Option<usize>,
        interface: u32,
        frame: Vec<u8>,
    ) -> Expected {
        Expected {
            reason,
            service,
            backend,
            interface,
            frame,
        }
    }

    /// The answer to a packet that is larger than `mtu`, if it may have one.
    fn too_big(
        &self,
        packet: &Packet,
        mtu: usize,
        service: usize,
        backend: Option<usize>,
    ) -> Expected {
        match answer::too_big(self.frame, packet, mtu) {
            Some(frame) => self.forwarded(
                Reason::TooBig,
                Some(service),
                backend,
                self.interface,
                frame,
            ),
            None => self.dropped(Reason::TooBigUnanswered, service, backend),
        }
    }
}

impl Model {
    /// A packet to a service that has nobody who takes it.
    fn without_backend(&self, ours: &Ours<'_>, service: usize, backend: Option<usize>) -> Expected {
        let arrival = ours.arrival;
        let refusal = match self.instance.services[service].rejects {
            true => answer::refusal(arrival.frame, ours.packet),
            false => None,
        };
        match refusal {
            Some(frame) => {
                let reason = Reason::Rejected;
                arrival.forwarded(reason, Some(service), backend, arrival.interface, frame)
            }
            None => arrival.dropped(Reason::NoBackend, service, backend),
        }
    }
}

fn fragment_key(packet: &Packet, identification: u32) -> FragmentKey {
    (
        packet.source,
        packet.destination,
        packet.protocol,
        identification,
    )
}

fn ports(frame: &[u8], transport: usize) -> (u16, u16) {
    let port = |at: usize| bytes::word(frame, transport + at).unwrap_or(0);
    (port(0), port(2))
}

fn difference(expected: &Expected, observed: &Outcome) -> String {
    let changed = (expected.frame.iter().zip(&observed.frame)).position(|(a, b)| a != b);
    format!(
        "expected {:?}, service {:?}, backend {:?}, interface {}\n  {}\n\
         found    {:?}, service {}, backend {}, interface {}\n  {}\n\
         the first other byte: {changed:?}",
        expected.reason,
        expected.service,
        expected.backend,
        expected.interface,
        hex(&expected.frame),
        observed.reason,
        observed.service.cast_signed(),
        observed.backend.cast_signed(),
        observed.interface,
        hex(&observed.frame),
    )
}

/// A frame's bytes, to be read and to be pasted into a fixture.
#[must_use]
pub fn hex(frame: &[u8]) -> String {
    let byte = |(index, byte): (usize, &u8)| match index {
        6 | 12 | 14 => format!(" {byte:02x}"),
        index if index > 14 && index % 4 == 2 => format!(" {byte:02x}"),
        _ => format!("{byte:02x}"),
    };
    frame.iter().enumerate().map(byte).collect()
}
