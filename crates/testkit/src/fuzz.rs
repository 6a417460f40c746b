//! What fuzzers call: bytes become frames, and what the data path does with them is what the model
//! says. The targets in `fuzz/` and a test that replays their corpus share these functions.

use crate::builder::{Extension, Message, PacketBuilder, fragments, quote};
use crate::checksums;
use crate::content::Content;
use crate::decap::{self, MemoryDecap};
use crate::model::{Flow, Model, Service, hex};
use crate::outcome::{self, Outcome};
use crate::tables::{Capacities, MemoryTables};
use crate::world;

/// Frames of one input at most: fragments of fragments would go on and on.
const MOST_FRAMES: usize = 64;
const TCP: u8 = 6;
const CAPACITIES: Capacities = Capacities {
    established: 1024,
    half_open: 1024,
    exceptions: 1024,
};

thread_local! {
    /// Inputs are many, and they all start from the same contents.
    static CONTENT: Content = world::content();
}

/// A balancer of the world, the native data path and the model side by side.
struct Sides {
    tables: MemoryTables,
    model: Model,
    frames: usize,
}

impl Sides {
    fn new() -> Self {
        Self {
            tables: MemoryTables::new(CONTENT.with(Clone::clone), CAPACITIES),
            model: Model::new(world::instance()),
            frames: 0,
        }
    }

    /// Sends a frame through both; the model's word counts.
    fn process(&mut self, frame: &[u8]) -> Option<Outcome> {
        if self.frames == MOST_FRAMES {
            return None;
        }
        self.frames += 1;
        let found = outcome::process_with(&self.tables, frame, world::INTERFACE, world::ROUTES);
        if let Err(difference) = self.model.judge(frame, world::INTERFACE, &found) {
            panic!("{}\n{difference}", hex(frame));
        }
        Some(found)
    }
}

/// The input is a frame.
///
/// # Panics
/// If the data path does not do what the model says.
pub fn frame(data: &[u8]) {
    Sides::new().process(data);
}

/// The input is a frame for `evenkeel decap`. It is tried a second time with the right checksum in
/// what would be an outer IPv4 header, which hardly any change of an input leaves right.
///
/// # Panics
/// If it is not taken, refused or left alone as it should be.
pub fn decapsulation(data: &[u8]) {
    let mut frame = data.to_vec();
    judge_decapsulation(&frame);
    if let Some(header) = frame.get_mut(14..34) {
        header[10..12].fill(0);
        let checksum = (0xffff - checksums::sum(header) % 0xffff) as u16;
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        judge_decapsulation(&frame);
    }
}

fn judge_decapsulation(frame: &[u8]) {
    let found = decap::process(&MemoryDecap::of_the_cases(), frame);
    assert_eq!(found, decap::expected(frame), "{}", hex(frame));
}

/// The input says which packets come one after the other: of clients, of backends that answer, of
/// routers that complain, whole or in fragments, with bytes overwritten.
///
/// # Panics
/// If the data path does not do what the model says.
pub fn sequence(data: &[u8]) {
    let mut sides = Sides::new();
    let mut input = Input(data.iter().copied());
    let services = sides.model.instance().services.clone();
    // Packets that went somewhere, to be answered or complained about.
    let mut sent: Vec<Vec<u8>> = Vec::new();
    while sides.frames < MOST_FRAMES
        && let Some(built) = packet(&mut input, &services, &sent)
    {
        for mut frame in pieces(&mut input, built) {
            overwrite(&mut input, &mut frame);
            let Some(found) = sides.process(&frame) else {
                return;
            };
            sent.push(found.frame);
        }
    }
}

/// The input's bytes, zeros where it has ended.
struct Input<I>(I);

impl<I: Iterator<Item = u8>> Input<I> {
    fn byte(&mut self) -> u8 {
        self.0.next().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn pick<'c, T>(&mut self, choices: &'c [T]) -> Option<&'c T> {
        choices.get(usize::from(self.byte()) % choices.len().max(1))
    }
}

/// The next packet; `None` at the input's end.
fn packet<I: Iterator<Item = u8>>(
    input: &mut Input<I>,
    services: &[Service],
    sent: &[Vec<u8>],
) -> Option<PacketBuilder> {
    let kind = input.0.next()?;
    let flow = match kind & 3 {
        1 | 2 if !sent.is_empty() => Flow::of(input.pick(sent)?),
        _ => None,
    };
    let builder = match (kind & 3, flow) {
        (1, Some(flow)) => transport(input, flow.reversed()),
        (2, Some(flow)) => {
            // About the packet as it was sent on, or about an answer to it.
            let quoted = if kind & 4 == 0 { flow } else { flow.reversed() };
            complaint(input, quoted)
        }
        _ => from_client(input, services)?,
    };
    Some(dress(input, builder))
}

fn from_client<I: Iterator<Item = u8>>(
    input: &mut Input<I>,
    services: &[Service],
) -> Option<PacketBuilder> {
    let service = input.pick(services)?;
    let client = crate::every_mode::host(input.byte() % 8 + 1, service.address.is_ipv6());
    let destination = service.port.unwrap_or(2222);
    let flow = Flow {
        protocol: service.protocol,
        source: (client, 40_000 + u16::from(input.byte() % 4)).into(),
        destination: (service.address, destination).into(),
    };
    if input.byte() == 0xff {
        let message = Message::EchoRequest {
            identifier: 1,
            sequence: 1,
        };
        return Some(PacketBuilder::icmp(client, service.address, message));
    }
    Some(transport(input, flow))
}

fn transport<I: Iterator<Item = u8>>(input: &mut Input<I>, flow: Flow) -> PacketBuilder {
    let payload = vec![input.byte(); usize::from(input.word() % 2048)];
    match flow.protocol {
        TCP => PacketBuilder::tcp(flow.source, flow.destination)
            .flags(u16::from(input.byte()) & 0x3f)
            .numbers(1000, 5001),
        _ => PacketBuilder::udp(flow.source, flow.destination),
    }
    .payload(&payload)
}

fn complaint<I: Iterator<Item = u8>>(input: &mut Input<I>, flow: Flow) -> PacketBuilder {
    let about = transport(input, flow).ip_packet();
    let quoted = quote(&about, usize::from(input.byte()));
    let message = match input.byte() % 4 {
        0 => Message::TooBig(1400),
        1 => Message::Unreachable(1),
        2 => Message::TimeExceeded(0),
        _ => Message::Other(input.byte(), 0, [0; 4]),
    };
    PacketBuilder::icmp_error(flow.destination.ip(), flow.source.ip(), message, &quoted)
}

/// Hops, tags, options, extension headers, padding.
fn dress<I: Iterator<Item = u8>>(input: &mut Input<I>, builder: PacketBuilder) -> PacketBuilder {
    let what = input.byte();
    let mut builder = builder.macs([2, 0, 0, 0, 0, 0x10], [2, 0, 0, 0, 0, input.byte() & 1]);
    if what & 1 != 0 {
        builder = builder.ttl(input.byte());
    }
    if what & 2 != 0 {
        builder = builder.tag(0x8100, input.word());
    }
    if what & 4 != 0 {
        builder = builder.ipv4_options(&[1; 8]);
    }
    if what & 8 != 0 {
        builder = builder.extension(Extension::HopByHop(1));
    }
    if what & 16 != 0 {
        builder = builder.extension(Extension::DestinationOptions(input.byte() % 4));
    }
    if what & 32 != 0 {
        builder = builder.padding(usize::from(input.byte() % 64));
    }
    if what & 64 != 0 {
        builder = builder.traffic_class(input.byte());
    }
    builder
}

/// The frame, or its fragments.
fn pieces<I: Iterator<Item = u8>>(input: &mut Input<I>, builder: PacketBuilder) -> Vec<Vec<u8>> {
    let frame = builder.build();
    match input.byte() {
        mtu @ 1..16 => fragments(&frame, 128 * usize::from(mtu), u32::from(mtu)),
        _ => vec![frame],
    }
}

/// As many bytes as the input says get other values.
fn overwrite<I: Iterator<Item = u8>>(input: &mut Input<I>, frame: &mut Vec<u8>) {
    let count = input.byte();
    for _ in 0..count.saturating_sub(0xf8) {
        let at = usize::from(input.word()) % frame.len();
        frame[at] = input.byte();
    }
    if count == 0xf7 {
        frame.truncate(usize::from(input.word()) % (frame.len() + 1));
    }
}
