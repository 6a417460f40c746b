//! Random packets of many flows, some of them damaged.

use std::net::{Ipv4Addr, SocketAddrV4};

use wire::tcp;

use crate::builder::PacketBuilder;
use crate::endpoints::Endpoints;
use crate::outcome::Outcome;
use crate::random::Random;

/// Frames remembered, to be answered or sent again.
const MEMORY: usize = 512;
/// First sequence number of every client and of every backend, so that handshakes complete.
const CLIENT_SEQUENCE: u32 = 1000;
const BACKEND_SEQUENCE: u32 = 5000;
/// Some are services' own, some in `nat`'s range, and all clients share them.
const CLIENT_PORTS: &[u16] = &[40_000, 40_001, 40_002, 53, 80, 8000, 20_000, 0];

/// What to send, and how much of what.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Protocol and address of the services.
    pub services: Vec<(u8, SocketAddrV4)>,
    /// Number of clients.
    pub clients: u32,
    /// One packet in this many is damaged.
    pub damaged_one_in: usize,
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
        }
    }

    /// The next frame, with 14 bytes at least.
    pub fn frame(&mut self) -> Vec<u8> {
        let mut frame = match self.random.below(20) {
            0..9 => self.client_frame(),
            9..17 => self.backend_frame(),
            17 => self.repeated_frame(),
            _ => self.stranger_frame(),
        };
        if self.random.one_in(self.mix.damaged_one_in) {
            self.damage(&mut frame);
        }
        frame
    }

    /// Remembers what a packet became, so that it can be answered.
    pub fn learn(&mut self, frame: Vec<u8>, outcome: &Outcome) {
        use abi::reason::Reason::{Forwarded, ForwardedTableFull, NewFlow};
        if matches!(outcome.reason, Forwarded | ForwardedTableFull | NewFlow) {
            remember(&mut self.inside, &mut self.random, outcome.frame.clone());
            remember(&mut self.outside, &mut self.random, frame);
        }
    }

    /// A packet to a service.
    fn client_frame(&mut self) -> Vec<u8> {
        let client = self.random.below(self.mix.clients as usize) as u8;
        let (protocol, service) = *self.random.pick(&self.mix.services);
        let port = *self.random.pick(CLIENT_PORTS);
        let endpoints = Endpoints {
            protocol,
            source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 100 + client), port),
            destination: service,
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
        let numbers = (CLIENT_SEQUENCE, acknowledgment);
        self.finish(endpoints, mac, flags, numbers)
    }

    /// An answer to a packet that went to a backend, or the start of one.
    fn backend_frame(&mut self) -> Vec<u8> {
        if self.inside.is_empty() {
            return self.stranger_frame();
        }
        let asked = self.random.pick(&self.inside);
        let Some(endpoints) = Endpoints::of(asked) else {
            return self.stranger_frame();
        };
        let flags = match self.random.below(10) {
            0..5 => tcp::SYN | tcp::ACK,
            5..7 => tcp::ACK,
            7 => tcp::ACK | tcp::FIN,
            8 => tcp::RST,
            _ => self.random.number() as u16 & 0x3f,
        };
        let numbers = (BACKEND_SEQUENCE, CLIENT_SEQUENCE + 1);
        self.finish(endpoints.swapped(), [2, 9, 9, 9, 9, 9], flags, numbers)
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
        let address = |random: &mut Random| match random.below(3) {
            0 => *random.pick(&self.mix.services).1.ip(),
            _ => Ipv4Addr::new(10, 0, 0, random.number() as u8),
        };
        let (from, to) = (address(&mut self.random), address(&mut self.random));
        let ports = self.random.number() as u32;
        let endpoints = Endpoints {
            protocol: *self.random.pick(&[wire::ipv4::TCP, wire::ipv4::UDP]),
            source: SocketAddrV4::new(from, (ports >> 16) as u16),
            destination: SocketAddrV4::new(to, ports as u16),
        };
        let flags = self.random.number() as u16 & 0xff;
        self.finish(endpoints, [2, 8, 8, 8, 8, 8], flags, (1, 1))
    }

    /// Everything about a packet that does not decide where it goes.
    fn finish(
        &mut self,
        endpoints: Endpoints,
        mac: [u8; 6],
        flags: u16,
        numbers: (u32, u32),
    ) -> Vec<u8> {
        let random = &mut self.random;
        let (from, to) = (endpoints.source, endpoints.destination);
        let mut builder = match endpoints.protocol {
            wire::ipv4::TCP => PacketBuilder::tcp(from, to),
            _ => PacketBuilder::udp(from, to),
        };
        for _ in 0..*random.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3]) {
            builder = builder.tag(*random.pick(&[0x8100, 0x88a8]), random.number() as u16);
        }
        let options = vec![1; 4 * random.below(11)];
        if random.one_in(4) {
            builder = builder.ipv4_options(&options);
        }
        if random.one_in(2) {
            builder = builder.tcp_options(&options);
        }
        if random.one_in(8) {
            builder = builder.without_checksum();
        }
        if random.one_in(8) {
            builder = builder.wrong_by(random.number() as u16, random.number() as u16);
        }
        if random.one_in(16) {
            builder = builder.ttl(random.below(3) as u8);
        }
        if random.one_in(32) {
            builder = builder.fragment(7, *random.pick(&[0x2000, 0x2001, 0x0002]));
        }
        let payload: Vec<u8> = (0..random.below(64))
            .map(|_| random.number() as u8)
            .collect();
        builder
            .macs([2, 0, 0, 0, 0, 0x10], mac)
            .flags(flags)
            .numbers(numbers.0, numbers.1)
            .payload(&payload)
            .padding(*random.pick(&[0, 0, 0, 1, 6, 46]))
            .build()
    }

    /// Flips bits, overwrites, cuts or extends.
    fn damage(&mut self, frame: &mut Vec<u8>) {
        let random = &mut self.random;
        // Mostly in the headers.
        let place = |random: &mut Random, length: usize| match random.one_in(4) {
            true => random.below(length),
            false => random.below(length.min(64)),
        };
        match random.below(4) {
            0 => {
                for _ in 0..1 + random.below(4) {
                    let at = place(random, frame.len());
                    frame[at] ^= 1 << random.below(8);
                }
            }
            1 => {
                let at = place(random, frame.len());
                frame[at] = *random.pick(&[0, 1, 0x45, 0x4f, 0x7f, 0x80, 0xff]);
            }
            2 => frame.truncate(14.max(place(random, frame.len()))),
            _ => frame.resize(frame.len() + 1 + random.below(200), 0xee),
        }
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
