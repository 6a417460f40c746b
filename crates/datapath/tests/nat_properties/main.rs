//! What holds of `nat` whatever packets come in which order.

#![forbid(unsafe_code)]

mod model;

use std::net::{Ipv4Addr, SocketAddrV4};

use abi::reason::{Action, Reason};
use evenkeel_datapath::FlowTable;
use model::{Model, NAT_SOURCE, SERVICES};
use proptest::prelude::*;
use testkit::builder::PacketBuilder;
use testkit::content_of::content_of;
use testkit::endpoints::{self, Endpoints};
use testkit::model::Instance;
use testkit::random::Random;
use testkit::tables::{Capacities, MemoryTables};
use testkit::traffic::{Mix, Traffic};
use testkit::{checksums, outcome, world};
use wire::tcp::{ACK, FIN, RST, SYN};

/// Room for every flow that the tests can think of.
const AMPLE: Capacities = Capacities {
    established: 4096,
    half_open: 4096,
    exceptions: 64,
};
/// Decides which backend a client has; any number will do.
const SEED: u64 = 1;
/// Few: clients share them.
const CLIENT_PORTS: [u16; 5] = [40_000, 40_001, 8000, 20_001, 0];
/// Every combination, with the mark of an acknowledgment that completes the handshake.
const FLAGS: [u16; 8] = [SYN, SYN, ACK, ACK, ACK | FIN, RST, SYN | ACK, 0];

/// One packet of a history.
#[derive(Clone, Debug)]
enum Event {
    /// From a client to a service.
    Client {
        host: u8,
        port: u16,
        service: usize,
        flags: u16,
        moved: bool,
    },
    /// From the backend of some flow.
    Backend { flow: usize, flags: u16 },
}

/// Of `hosts` clients to the first `services` services.
fn event(hosts: u8, services: usize) -> impl Strategy<Value = Event> {
    let port = prop::sample::select(&CLIENT_PORTS[..]);
    let flags = || prop::sample::select(&FLAGS[..]);
    let client = (0..hosts, port, 0..services, flags(), any::<bool>());
    let backend = (any::<u8>(), flags());
    prop_oneof![
        3 => client.prop_map(|(host, port, service, flags, moved)| Event::Client {
            host, port, service, flags, moved
        }),
        2 => backend.prop_map(|(flow, flags)| Event::Backend { flow: flow.into(), flags }),
    ]
}

/// The frame of an event; `None` for the reply of a flow when there is none.
fn frame(event: &Event, model: &Model) -> Option<Vec<u8>> {
    let (endpoints, mac, flags, numbers) = match event {
        Event::Client {
            host,
            port,
            service,
            flags,
            moved,
        } => {
            let (protocol, destination) = SERVICES[*service];
            let endpoints = Endpoints {
                protocol,
                source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 100 + host), *port),
                destination,
            };
            (
                endpoints,
                [2, 0, 0, 0, u8::from(*moved), *host],
                *flags,
                (1000, 5001),
            )
        }
        Event::Backend { flow, flags } => {
            let asked = model.nth_inside(*flow)?;
            (asked.swapped(), [2, 9, 9, 9, 9, 9], *flags, (5000, 1001))
        }
    };
    let builder = match endpoints.protocol {
        wire::ipv4::TCP => PacketBuilder::tcp(endpoints.source, endpoints.destination),
        _ => PacketBuilder::udp(endpoints.source, endpoints.destination),
    };
    Some(
        builder
            .macs([2, 0, 0, 0, 0, 0x10], mac)
            .flags(flags)
            .numbers(numbers.0, numbers.1)
            .payload(b"odd")
            .build(),
    )
}

fn replay(events: &[Event], capacities: Capacities) -> Result<Model, TestCaseError> {
    let mut model = Model::new(capacities);
    for event in events {
        if let Some(frame) = frame(event, &model) {
            model.process(&frame)?;
        }
    }
    Ok(model)
}

/// Sets everything that a rewrite may change to zero.
fn without_what_changes(frame: &[u8]) -> Option<Vec<u8>> {
    let ip = endpoints::ip_offset(frame)?;
    let transport = endpoints::transport_offset(frame)?;
    let checksum = match frame.get(ip + 9)? {
        6 => 16,
        _ => 6,
    };
    let mut rest = frame.to_vec();
    rest[..12].fill(0);
    rest[ip + 8] = 0;
    rest[ip + 10..ip + 20].fill(0);
    rest[transport..transport + 4].fill(0);
    rest[transport + checksum..transport + checksum + 2].fill(0);
    Some(rest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The rules are in [`Model::process`].
    #[test]
    fn flows_keep_backend_and_tuple_and_replies_map_back(
        events in prop::collection::vec(event(8, SERVICES.len()), 1..120),
    ) {
        let model = replay(&events, AMPLE)?;
        model.check_tables()?;
    }

    /// The same rules hold when half-open flows are pushed out at any moment.
    #[test]
    fn flows_that_are_pushed_out_leave_nothing_that_misleads(
        events in prop::collection::vec(event(3, 1), 1..120),
        half_open in 1..8_usize,
    ) {
        replay(&events, Capacities { half_open, ..AMPLE })?;
    }

    /// The same rules hold when there is hardly any room for established flows.
    #[test]
    fn flows_that_find_no_room_are_carried_on(
        events in prop::collection::vec(event(8, SERVICES.len()), 1..120),
        established in 0..6_usize,
    ) {
        replay(&events, Capacities { established, ..AMPLE })?;
    }

    #[test]
    fn what_leaves_has_the_checksums_it_came_with_and_what_stays_is_unchanged(seed in any::<u64>()) {
        let mix = Mix::plain(SERVICES, 12, 3);
        let mut traffic = Traffic::new(mix, seed);
        let model = Model::new(AMPLE);
        for _ in 0..60 {
            let before = traffic.frame();
            let outcome = model.run(&before);
            let after = &outcome.frame;
            if outcome.reason.action() == Action::Forward {
                prop_assert_eq!(checksums::check(&before), checksums::check(after));
                prop_assert_eq!(without_what_changes(&before), without_what_changes(after));
            } else {
                prop_assert_eq!(&before, after);
            }
            traffic.learn(before, &outcome);
        }
    }

    #[test]
    fn what_is_not_for_a_service_always_passes(seed in any::<u64>(), flags in any::<u8>()) {
        let mut random = Random::new(seed);
        let mut address = || SocketAddrV4::new(
            Ipv4Addr::from_bits(random.number() as u32), random.number() as u16);
        let (from, to) = (address(), address());
        prop_assume!(SERVICES.iter().all(|(_, vip)| vip.ip() != to.ip()) && *to.ip() != NAT_SOURCE);
        let model = Model::new(AMPLE);
        for builder in [PacketBuilder::tcp(from, to), PacketBuilder::udp(from, to)] {
            let before = builder.flags(flags.into()).ttl(flags).build();
            let outcome = model.run(&before);
            prop_assert_eq!(outcome.reason, Reason::NotForService);
            prop_assert_eq!(outcome.frame, before);
        }
    }

    #[test]
    fn arbitrary_bytes_pass_or_keep_their_length(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let outcome = Model::new(AMPLE).run(&bytes);
        prop_assert_eq!(outcome.reason.action(), Action::Pass);
        prop_assert_eq!(outcome.frame, bytes);
    }

    #[test]
    fn with_affinity_a_client_has_one_backend(
        host in any::<u32>(),
        ports in prop::collection::vec(1..u16::MAX, 2..20),
    ) {
        // Ports for all, also where the client's own one is a service's.
        let instance = Instance { nat_ports: 20_000..=20_063, ..world::instance() };
        let tables = MemoryTables::new(content_of(&instance, SEED), AMPLE);
        let sticky = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 10), 81);
        let mut backends: Vec<u32> = ports
            .into_iter()
            .map(|port| {
                let from = SocketAddrV4::new(Ipv4Addr::from_bits(host), port);
                let syn = PacketBuilder::tcp(from, sticky).flags(SYN).build();
                outcome::process(&tables, &syn, 1).backend
            })
            .collect();
        backends.dedup();
        prop_assert_eq!(backends.len(), 1);
    }
}

#[test]
fn established_flows_are_among_what_the_properties_see() {
    let events = [(SYN, None), (SYN | ACK, Some(0)), (ACK, None)].map(|(flags, flow)| match flow {
        None => Event::Client {
            host: 1,
            port: 40_000,
            service: 0,
            flags,
            moved: false,
        },
        Some(flow) => Event::Backend { flow, flags },
    });
    let model = replay(&events, AMPLE).expect("the rules hold");
    assert_eq!(model.tables.flows(FlowTable::Established).len(), 2);
}
