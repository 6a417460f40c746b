//! Instances for the histories of `testkit`: the engine fills and sweeps the maps of the native data
//! path or of the program in the kernel, and real packets go through them.

mod kernel;
mod native;

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use abi::control::Settings;
use abi::flow::FlowKey as _;
use abi::flow::FlowKeyV4;
use abi::reason::{Action, Reason};
use abi::slot::STEADY;
use engine::dataplane::Found;
use engine::desired::{
    Backend, BackendState, Desired, ForwardingMode, Limits, Mac, NextHop, NoBackend, Protocol,
    Service, ServiceId, ServicePort, Timeouts, Track,
};
use engine::live::{Live, ServiceView};
use engine::maps::Maps;
use engine::sweep::Ages;
use testkit::builder::PacketBuilder;
use testkit::history::{Answer, Fleet, Kind, State, Subject, Terms};
use testkit::outcome::Outcome;
use testkit::world::INTERFACE;
use wire::tcp::{ACK, FIN, SYN};
use wire::{Be16, Be32, ipv4};

pub use kernel::{Pool, kernel};
pub use native::native;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PORT: u16 = 443;

/// Maps and the packet's way over them.
pub trait World: Maps {
    /// What the program was loaded with.
    fn settings(&self) -> Settings;
    /// What the maps hold.
    fn found(&self) -> Found;
    /// Jiffies in a tick of the history.
    fn jiffies_per_tick(&self) -> u32;
    /// Jiffies that a window has more than its ticks: none, unless time passes by itself.
    fn allowance(&self) -> u32;
    /// Sets the clock to a tick.
    fn set_time(&mut self, tick: u32);
    /// Sends a frame through.
    fn process(&mut self, frame: &[u8]) -> Outcome;
}

/// One instance.
#[derive(Debug)]
pub struct Instance<W> {
    world: W,
    live: Live,
    ages: Ages,
    terms: Terms,
    frames: Frames,
    changes: u32,
}

impl<W: World> Instance<W> {
    fn new(world: W, terms: &Terms) -> Self {
        Self {
            live: Live::new(world.settings(), world.room(), engine::tick()),
            world,
            ages: Ages::of(&Timeouts::default()),
            terms: *terms,
            frames: Frames::new(),
            changes: 0,
        }
    }

    /// Forgets everything, as a process that is killed does, and finds it again in the maps.
    fn restart(&mut self) {
        let (settings, found) = (self.world.settings(), self.world.found());
        self.live = Live::adopt(settings, &mut self.world, &found, engine::tick())
            .expect("maps that agree with themselves");
    }

    fn service(&self, kind: Kind) -> Option<ServiceView<'_>> {
        let wanted = protocol(kind);
        self.live
            .services()
            .find(|service| service.desired().id.protocol == wanted)
    }

    /// The server behind a backend's index, dead or alive.
    fn server(&self, kind: Kind, index: u32) -> Option<u8> {
        let mut backends = self.service(kind)?.backends();
        let backend = backends.find(|backend| backend.index == index)?;
        name(backend.desired.address)
    }
}

impl<W: World> Subject for Instance<W> {
    fn set_time(&mut self, now: u32) {
        self.world.set_time(now);
    }

    fn apply(&mut self, fleet: &Fleet) {
        let jiffies = self.terms.window * self.world.jiffies_per_tick() + self.world.allowance();
        let desired = desired(fleet, &self.terms, engine::tick() * jiffies);
        // Before every other change, and between the two halves of what a restart does.
        self.changes += 1;
        if self.changes.is_multiple_of(2) {
            self.restart();
        }
        self.live
            .apply(&mut self.world, &desired, &|_, _| Some(next_hop()))
            .expect("the change can be made");
    }

    fn packet(&mut self, flow: u32, kind: Kind) -> Answer {
        let before = self.world.refusals().expect("a pace");
        let outcome = self.world.process(self.frames.of(flow, kind));
        let refused = self.world.refusals().expect("a pace") != before;
        let forwarded = outcome.reason.action() == Action::Forward;
        assert!(
            forwarded || outcome.reason == Reason::NoBackend,
            "{:?} for {kind:?} of flow {flow}",
            outcome.reason
        );
        let server = forwarded.then(|| {
            let server = outer_destination(&outcome.frame);
            assert_eq!(self.server(kind, outcome.backend), server, "{outcome:?}");
            server
        });
        Answer {
            server: server.flatten(),
            refused,
        }
    }

    fn sweep(&mut self) {
        let swept = self.live.sweep(&mut self.world, &self.ages);
        swept.expect("the maps can be swept");
    }

    fn steady(&mut self, flow: u32, kind: Kind) -> Option<u8> {
        let hash = key(flow, kind).hash(self.world.settings().flow_seed);
        let slot = self.world.slot(self.service(kind)?.slot(hash)?);
        if slot.state() != STEADY {
            return None;
        }
        self.server(kind, slot.current())
    }
}

/// What a program is loaded with for histories on these terms.
fn loaded(terms: &Terms) -> Desired {
    let fleet = Fleet {
        servers: Vec::new(),
        ring_log2: 8,
    };
    let mut desired = desired(&fleet, terms, Duration::from_secs(1));
    for service in &mut desired.services {
        service.backends.push(Backend::new(address(0)));
    }
    desired
}

fn desired(fleet: &Fleet, terms: &Terms, window: Duration) -> Desired {
    let backends: Vec<Backend> = fleet
        .servers
        .iter()
        .map(|server| Backend {
            weight: server.weight,
            state: match server.state {
                State::Up => BackendState::Up,
                State::Draining => BackendState::Drain,
                State::Down => BackendState::Down,
            },
            ..Backend::new(address(server.name))
        })
        .collect();
    let service = |protocol| {
        let id = ServiceId {
            protocol,
            address: VIP.into(),
            port: ServicePort::Exact(PORT),
        };
        Service {
            mode: ForwardingMode::Ipip,
            track: if terms.track_always {
                Track::Always
            } else {
                Track::Auto
            },
            transition_window: window,
            ring_log2: Some(fleet.ring_log2),
            // A packet that is answered would look like one that is forwarded.
            no_backend: NoBackend::Drop,
            ..Service::new(id, backends.clone())
        }
    };
    Desired {
        services: vec![service(Protocol::Tcp), service(Protocol::Udp)],
        limits: Limits {
            exceptions: terms.table,
            exceptions_per_second: per_second(terms.pace),
            ..Limits::default()
        },
        seed: terms.seed,
        ..Desired::default()
    }
}

/// The rate that gives this pace in each window.
fn per_second(pace: u32) -> u32 {
    let window = engine::tick().as_nanos() << abi::pace::WINDOW_LOG2;
    u32::try_from(u128::from(pace) * 1_000_000_000 / window).unwrap_or(u32::MAX)
}

fn protocol(kind: Kind) -> Protocol {
    match kind {
        Kind::Syn | Kind::Ack | Kind::Fin => Protocol::Tcp,
        Kind::Datagram => Protocol::Udp,
    }
}

fn address(name: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 100 + name)
}

fn name(address: IpAddr) -> Option<u8> {
    let IpAddr::V4(address) = address else {
        return None;
    };
    address.octets()[3].checked_sub(100)
}

/// The server that an encapsulated packet goes to.
fn outer_destination(frame: &[u8]) -> Option<u8> {
    let address: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
    name(Ipv4Addr::from(address).into())
}

fn next_hop() -> NextHop {
    NextHop {
        interface_index: INTERFACE,
        source_mac: Mac([2, 0, 0, 0, 0, 1]),
        destination_mac: Mac([2, 0, 0, 0, 0, 2]),
        source_address: Ipv4Addr::new(10, 0, 0, 1).into(),
        mtu: 1500,
    }
}

fn client(flow: u32) -> SocketAddrV4 {
    let address = 0x6440_0000 + (flow & 0xffff);
    let port = 10_000 + (flow >> 16) as u16;
    SocketAddrV4::new(Ipv4Addr::from_bits(address), port)
}

fn key(flow: u32, kind: Kind) -> FlowKeyV4 {
    let client = client(flow);
    let protocol = match protocol(kind) {
        Protocol::Tcp => ipv4::TCP,
        Protocol::Udp => ipv4::UDP,
    };
    FlowKeyV4::new(
        Be32::new(client.ip().to_bits()),
        Be32::new(VIP.to_bits()),
        Be16::new(client.port()),
        Be16::new(PORT),
        protocol,
    )
}

/// One frame of each kind. Those of other flows differ in the client only; their checksums are
/// wrong, which nobody on the way looks at.
#[derive(Debug)]
struct Frames {
    frames: [(Kind, Vec<u8>); 4],
}

impl Frames {
    fn new() -> Self {
        let (client, service) = (client(0), SocketAddrV4::new(VIP, PORT));
        let segment = |flags| PacketBuilder::tcp(client, service).flags(flags).build();
        let datagram = PacketBuilder::udp(client, service).build();
        Self {
            frames: [
                (Kind::Syn, segment(SYN)),
                (Kind::Ack, segment(ACK)),
                (Kind::Fin, segment(FIN | ACK)),
                (Kind::Datagram, datagram),
            ],
        }
    }

    fn of(&mut self, flow: u32, kind: Kind) -> &[u8] {
        /// Offsets of the client's address and port behind Ethernet and an IPv4 header without options.
        const ADDRESS: usize = 14 + 12;
        const TRANSPORT: usize = 14 + 20;
        let client = client(flow);
        let at = self.frames.iter().position(|(its, _)| *its == kind);
        let (_, frame) = &mut self.frames[at.expect("there is one of each kind")];
        frame[ADDRESS..ADDRESS + 4].copy_from_slice(&client.ip().octets());
        frame[TRANSPORT..TRANSPORT + 2].copy_from_slice(&client.port().to_be_bytes());
        frame
    }
}
