//! Measures how long a change takes among many services, in memory, and the memory itself.
//!
//! `cargo run --release -p evenkeel-engine --example apply_time [SLOTS [SERVICES [BACKENDS]]]`
//!
//! SLOTS is the length of each ring (64; 0: the default for so many backends), SERVICES how many
//! there are (10,000), BACKENDS how many each has (10). Half the services are `nat`, half `ipip`.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use evenkeel_engine::desired::{
    Backend, BackendState, Desired, ForwardingMode, Mac, NextHop, Protocol, Service, ServiceId,
    ServicePort,
};
use evenkeel_engine::image::Image;
use evenkeel_engine::live::Live;
use evenkeel_engine::maps::Maps as _;
use evenkeel_engine::settings;

/// How many times each change is made to be timed.
const ROUNDS: usize = 21;

/// The backend that comes and leaves.
const ANOTHER: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = [64, 10_000, 10];
    for (number, argument) in numbers.iter_mut().zip(std::env::args().skip(1)) {
        *number = argument.parse()?;
    }
    let [slots, services, backends] = numbers;
    let desired = many(slots, services, backends);
    let hops = Hops::of(&desired);
    let (start, before) = (Instant::now(), resident()?);
    let mut maps = Image::build(&Desired::default(), |_, _| None)?;
    let tick = Duration::from_millis(1);
    let mut live = Live::new(settings(&desired, false), maps.room(), tick);
    live.apply(&mut maps, &desired, &|_, backend| hops.to(backend))?;
    let load = start.elapsed().as_millis();
    let slots = maps.slots.len() / services as usize;
    let arena = size_of_val(maps.slots.as_slice()) >> 20;
    println!("{services} services of {backends} backends, {slots} slots each");
    println!("load {load} ms, memory {} MB", (resident()? - before) >> 10);
    println!("    ({arena} MB of that stand for the kernel's slots)");
    println!(
        "one change, {ROUNDS} rounds{:>20} {:>9}",
        "min ms", "median ms"
    );
    for change in Change::ALL {
        let mut times = measure((&mut live, &mut maps), &desired, &hops, change)?;
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (min, median) = (ms(times[0]), ms(times[ROUNDS / 2]));
        println!("    {:32} {min:>9.2} {median:>9.2}", change.name());
    }
    Ok(())
}

/// Something that differs between one apply and the next.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    Weight(ForwardingMode),
    State(ForwardingMode, BackendState),
    BackendAdded(ForwardingMode),
    ServiceAdded(ForwardingMode),
    NextHop,
}

use ForwardingMode::{Ipip, Nat};

impl Change {
    const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Weight(Nat),
        Self::Weight(Ipip),
        Self::State(Nat, BackendState::Drain),
        Self::State(Nat, BackendState::Down),
        Self::State(Ipip, BackendState::Down),
        Self::BackendAdded(Nat),
        Self::BackendAdded(Ipip),
        Self::ServiceAdded(Nat),
        Self::ServiceAdded(Ipip),
        Self::NextHop,
    ];

    fn name(self) -> String {
        match self {
            Self::Nothing => "nothing".into(),
            Self::Weight(mode) => format!("a weight, {mode}"),
            Self::State(mode, state) => format!("a state up or {state}, {mode}"),
            Self::BackendAdded(mode) => format!("a backend comes or leaves, {mode}"),
            Self::ServiceAdded(mode) => format!("a service comes or goes, {mode}"),
            Self::NextHop => "a neighbour's MAC".into(),
        }
    }

    fn make(self, desired: &mut Desired) {
        let in_mode = |mode| move |service: &&mut Service| service.mode == mode;
        let middle = desired.services.len() / 2;
        let mut services = desired.services.iter_mut().skip(middle);
        match self {
            Self::Nothing | Self::NextHop => {}
            Self::Weight(mode) => {
                if let Some(service) = services.find(in_mode(mode)) {
                    service.backends[0].weight += 1;
                }
            }
            Self::State(mode, state) => {
                if let Some(service) = services.find(in_mode(mode)) {
                    service.backends[0].state = state;
                }
            }
            Self::BackendAdded(mode) => {
                if let Some(service) = services.find(in_mode(mode)) {
                    let backend = Backend::new(ANOTHER);
                    service.backends.push(backend);
                }
            }
            Self::ServiceAdded(mode) => {
                let (id, backend) = (id(1 << 20), Backend::new(ANOTHER));
                let mut service = Service::new(id, vec![backend]);
                service.mode = mode;
                desired.services.push(service);
            }
        }
    }
}

/// How long a change takes, forth and back in turns.
fn measure(
    (live, maps): (&mut Live, &mut Image),
    desired: &Desired,
    hops: &Hops,
    change: Change,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let (mut other, mut other_hops) = (desired.clone(), hops.clone());
    change.make(&mut other);
    if let (Change::NextHop, Some(mut hop)) = (change, other_hops.0.first_entry()) {
        hop.get_mut().destination_mac = Mac([2; 6]);
    }
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS + 1 {
        let (desired, hops) = match round % 2 {
            0 => (&other, &other_hops),
            _ => (desired, hops),
        };
        let start = Instant::now();
        let next_hop = |_: &Service, backend: &Backend| hops.to(backend);
        match change {
            Change::NextHop => live.apply_next_hops(maps, &next_hop)?,
            _ => live.apply(maps, desired, &next_hop)?,
        };
        times.push(start.elapsed());
    }
    times.truncate(ROUNDS);
    Ok(times)
}

fn many(slots: u32, services: u32, backends: u32) -> Desired {
    let service = |number: u32| {
        let own = (0..backends).map(|backend| Backend::new(address(number * backends + backend)));
        let mut service = Service::new(id(number), own.collect());
        service.mode = if number.is_multiple_of(2) { Nat } else { Ipip };
        service.ring_log2 = slots.checked_ilog2().map(|log2| log2 as u8);
        service
    };
    Desired {
        services: (0..services).map(service).collect(),
        ..Desired::default()
    }
}

/// Four services on each address.
fn id(number: u32) -> ServiceId {
    ServiceId {
        protocol: Protocol::Tcp,
        address: IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 + number / 4)).into(),
        port: ServicePort::Exact(8000 + (number % 4) as u16),
    }
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + number)
}

/// How the backends are reached; looked up as an instance does.
#[derive(Clone)]
struct Hops(BTreeMap<IpAddr, NextHop>);

impl Hops {
    fn of(desired: &Desired) -> Self {
        let addresses = desired.backends().map(|backend| backend.address);
        let addresses = addresses.chain([ANOTHER.into()]);
        Self(
            addresses
                .map(|address| (address, next_hop(address)))
                .collect(),
        )
    }

    fn to(&self, backend: &Backend) -> Option<NextHop> {
        self.0.get(&backend.address).copied()
    }
}

fn next_hop(address: IpAddr) -> NextHop {
    let last = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let [a, b, c, d] = last;
    NextHop {
        interface_index: 1,
        source_mac: Mac([2, 0, 0, 0, 0, 1]),
        destination_mac: Mac([2, 0, a, b, c, d]),
        source_address: Ipv4Addr::new(10, 0, 0, 1).into(),
        mtu: 1500,
    }
}

/// Kilobytes of memory that this process has.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kilobytes.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}
