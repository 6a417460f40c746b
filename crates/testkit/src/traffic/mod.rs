//! Random packets of many flows, some of them damaged.

mod damage;
mod errors;
mod finish;
mod quic;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::reason::Reason;
use wire::tcp;

use crate::builder::PacketBuilder;
use crate::model::{Flow, Instance};
use crate::outcome::Outcome;
use crate::random::Random;

/// Frames remembered, to be answered or sent again.
const MEMORY: usize = 512;
/// First sequence number of every client and of every backend, so that handshakes complete.
const CLIENT_SEQUENCE: u32 = 1000;
const BACKEND_SEQUENCE: u32 = 5000;
/// Some are services' own, some in `nat`'s range, and all clients share them.
const CLIENT_PORTS: &[u16] = &[40_000, 40_001, 40_002, 53, 80, 8000, 20_000, 0];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What kinds of packets there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variety {
    /// TCP and UDP, whole or as single fragments, of ordinary size.
    Plain,
    /// Everything: also ICMP, packets in fragments, extension headers, packets that are too big,
    /// tunnels, QUIC, and what is not IP at all.
    Everything,
}

/// Where packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// IP protocol number.
    pub protocol: u8,
    /// Address and port.
    pub destination: SocketAddr,
    /// Config rotation and server ids of connection ids.
    pub quic: Option<(u8, Vec<Vec<u8>>)>,
}

/// What to send, and how much of what.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Services.
    pub targets: Vec<Target>,
    /// Number of clients.
    pub clients: u32,
    /// One packet in this many is damaged.
    pub damaged_one_in: usize,
    /// Kinds of packets.
    pub variety: Variety,
}

impl Mix {
    /// Plain packets to these services.
    #[must_use]
    pub fn plain<A: Into<SocketAddr>>(
        services: impl IntoIterator<Item = (u8, A)>,
        clients: u32,
        damaged_one_in: usize,
    ) -> Self {
        let target = |(protocol, destination): (u8, A)| Target {
            protocol,
            destination: destination.into(),
            quic: None,
        };
        Self {
            targets: services.into_iter().map(target).collect(),
            clients,
            damaged_one_in,
            variety: Variety::Plain,
        }
    }

    /// Everything, to the services of an instance.
    #[must_use]
    pub fn everything(instance: &Instance, clients: u32, damaged_one_in: usize) -> Self {
        let target = |service: &crate::model::Service| Target {
            protocol: service.protocol,
            // Any address of a prefix will do, also the first one.
            destination: SocketAddr::new(service.address, service.port.unwrap_or(2222)),
            quic: service.quic.as_ref().map(|quic| {
                let mut ids: Vec<_> = quic.servers.keys().cloned().collect();
                ids.sort();
                (quic.config, ids)
            }),
        };
        Self {
            targets: instance.services.iter().map(target).collect(),
            clients,
            damaged_one_in,
            variety: Variety::Everything,
        }
    }
}

/// An endless stream of frames that come in to a balancer.
#[derive(Debug)]
pub struct Traffic {
    mix: Mix,
    random: Random,
    /// Frames that went to backends.
    inside: Vec<Vec<u8>>,
    /// Frames that came from clients.
    outside: Vec<Vec<u8>>,
    /// Fragments still to come.
    pending: VecDeque<Vec<u8>>,
}

/// Who sends a packet to whom, and what a handshake needs.
struct Draft {
    flow: Flow,
    mac: [u8; 6],
    flags: u16,
    numbers: (u32, u32),
    payload: Option<Vec<u8>>,
}

impl Traffic {
    /// The same seed gives the same frames, if the balancer does the same with them.
    #[must_use]
    pub fn new(mix: Mix, seed: u64) -> Self {
        Self {
            mix,
            random: Random::new(seed),
            inside: Vec::new(),
            outside: Vec::new(),
            pending: VecDeque::new(),
        }
    }

    /// The next frame, with 14 bytes at least.
    pub fn frame(&mut self) -> Vec<u8> {
        let mut frame = self.undamaged();
        if self.random.one_in(self.mix.damaged_one_in) {
            damage::damage(&mut self.random, &mut frame);
        }
        frame
    }

    fn undamaged(&mut self) -> Vec<u8> {
        if !self.pending.is_empty() && self.random.one_in(2) {
            return self.pending.pop_front().unwrap_or_default();
        }
        if self.mix.variety == Variety::Everything && self.random.one_in(6) {
            return self.rare_frame();
        }
        match self.random.below(20) {
            0..9 => self.client_frame(),
            9..17 => self.backend_frame(),
            17 => self.repeated_frame(),
            _ => self.stranger_frame(),
        }
    }

    fn rare_frame(&mut self) -> Vec<u8> {
        match self.random.below(8) {
            0 => self.echo_frame(),
            1 => self.other_frame(),
            2..5 => self.error_to_vip(),
            _ => self.error_from_inside(),
        }
    }

    /// Remembers what a packet became, so that it can be answered.
    pub fn learn(&mut self, frame: Vec<u8>, outcome: &Outcome) {
        let is_to_backend = matches!(
            outcome.reason,
            Reason::Forwarded
                | Reason::ForwardedTableFull
                | Reason::NewFlow
                | Reason::KeptByPrevious
                | Reason::ForwardedByConnectionId
                | Reason::UnknownConnectionId
        );
        if is_to_backend {
            remember(&mut self.inside, &mut self.random, outcome.frame.clone());
            remember(&mut self.outside, &mut self.random, frame);
        }
    }

    /// A packet to a service.
    fn client_frame(&mut self) -> Vec<u8> {
        let client = self.random.below(self.mix.clients as usize) as u8;
        let target = self.random.pick(&self.mix.targets).clone();
        let port = *self.random.pick(CLIENT_PORTS);
        let is_v6 = target.destination.is_ipv6();
        let is_nobody = self.mix.variety == Variety::Everything && self.random.one_in(30);
        let address = match is_nobody {
            true => group(is_v6),
            false => host(100 + u16::from(client), is_v6),
        };
        let flow = Flow {
            protocol: target.protocol,
            source: SocketAddr::new(address, port),
            destination: target.destination,
        };
        // Now and then a client moves.
        let mac = [2, 0, 0, u8::from(self.random.one_in(8)), 0, client];
        let (flags, acknowledgment) = match self.random.below(10) {
            0..4 => (tcp::SYN, 0),
            4..7 => (tcp::ACK, BACKEND_SEQUENCE + 1),
            7 => (tcp::ACK | tcp::PSH, self.random.number() as u32),
            8 => (tcp::ACK | tcp::FIN, BACKEND_SEQUENCE + 1),
            _ => (self.random.number() as u16 & 0x3f, BACKEND_SEQUENCE + 1),
        };
        let quic = target.quic.as_ref();
        let payload = quic.map(|(config, ids)| quic::payload(&mut self.random, *config, ids));
        self.finish(Draft {
            flow,
            mac,
            flags,
            numbers: (CLIENT_SEQUENCE, acknowledgment),
            payload,
        })
    }

    /// An answer to a packet that went to a backend, or the start of one.
    fn backend_frame(&mut self) -> Vec<u8> {
        if self.inside.is_empty() {
            return self.stranger_frame();
        }
        let Some(flow) = Flow::of(self.random.pick::<Vec<u8>>(&self.inside)) else {
            return self.stranger_frame();
        };
        let flags = match self.random.below(10) {
            0..5 => tcp::SYN | tcp::ACK,
            5..7 => tcp::ACK,
            7 => tcp::ACK | tcp::FIN,
            8 => tcp::RST,
            _ => self.random.number() as u16 & 0x3f,
        };
        self.finish(Draft {
            flow: flow.reversed(),
            mac: [2, 9, 9, 9, 9, 9],
            flags,
            numbers: (BACKEND_SEQUENCE, CLIENT_SEQUENCE + 1),
            payload: None,
        })
    }

    /// A packet that was seen before.
    fn repeated_frame(&mut self) -> Vec<u8> {
        if self.outside.is_empty() {
            return self.stranger_frame();
        }
        self.random.pick(&self.outside).clone()
    }

    /// A packet of any host to any other, often to a service's address.
    fn stranger_frame(&mut self) -> Vec<u8> {
        let is_v6 = self.random.pick(&self.mix.targets).destination.is_ipv6();
        let (from, to) = (self.some_address(is_v6), self.some_address(is_v6));
        let ports = self.random.number() as u32;
        let flow = Flow {
            protocol: *self.random.pick(&[TCP, UDP]),
            source: SocketAddr::new(from, (ports >> 16) as u16),
            destination: SocketAddr::new(to, ports as u16),
        };
        let flags = self.random.number() as u16 & 0xff;
        self.finish(Draft {
            flow,
            mac: [2, 8, 8, 8, 8, 8],
            flags,
            numbers: (1, 1),
            payload: None,
        })
    }

    /// A host's address, or one that a service has.
    fn some_address(&mut self, is_v6: bool) -> IpAddr {
        let random = &mut self.random;
        let vip = random.pick(&self.mix.targets).destination.ip();
        match random.below(3) {
            0 if vip.is_ipv6() == is_v6 => vip,
            _ => host(random.number() as u16 & 0xff, is_v6),
        }
    }

    /// Everything about a packet that does not decide where it goes.
    fn finish(&mut self, draft: Draft) -> Vec<u8> {
        let mut builder = match draft.flow.protocol {
            TCP => PacketBuilder::tcp(draft.flow.source, draft.flow.destination),
            _ => PacketBuilder::udp(draft.flow.source, draft.flow.destination),
        };
        builder = builder
            .macs([2, 0, 0, 0, 0, 0x10], draft.mac)
            .flags(draft.flags)
            .numbers(draft.numbers.0, draft.numbers.1);
        let builder = self.vary(builder, draft.payload);
        self.divide(builder.build())
    }
}

/// A host of the network that most tests are in: 10.0.0.N or fd00::N.
fn host(number: u16, is_v6: bool) -> IpAddr {
    match is_v6 {
        false => Ipv4Addr::new(10, 0, 0, number as u8).into(),
        true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into(),
    }
}

/// All hosts of a network: nobody who could be answered.
fn group(is_v6: bool) -> IpAddr {
    match is_v6 {
        false => Ipv4Addr::new(224, 0, 0, 1).into(),
        true => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

fn remember(memory: &mut Vec<Vec<u8>>, random: &mut Random, frame: Vec<u8>) {
    if memory.len() < MEMORY {
        memory.push(frame);
    } else {
        let at = random.below(MEMORY);
        memory[at] = frame;
    }
}
