//! Random and damaged packets through the real program and the native data path: whatever comes,
//! both do the same.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use abi::flow::{FlowKeyV4, FlowV4};
use abi::reason::Reason;
use engine::dataplane;
use engine::desired::{
    Affinity, Backend, Desired, Limits, Mac, NatSettings, NextHop, Protocol, Service, ServiceId,
    ServicePort,
};
use engine::image::Image;
use evenkeel_tests::program::{Program, content_of};
use testkit::fixture::Subject;
use testkit::outcome;
use testkit::random::{SEED_VARIABLE, seed};
use testkit::tables::{Capacities, MemoryTables};
use testkit::traffic::{Mix, Traffic};
use testkit::world::INTERFACE;

const PACKETS: usize = 100_000;
const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 20);
/// The kernel's LRU table evicts before it is full; both sides get more room than is needed.
const FLOWS: u32 = 1 << 16;

fn service(
    protocol: Protocol,
    address: Ipv4Addr,
    port: ServicePort,
    backends: &[(u8, Option<u16>, u32)],
) -> Service {
    let backends = backends.iter().map(|(host, port, weight)| Backend {
        port: *port,
        weight: *weight,
        ..Backend::new(Ipv4Addr::new(10, 0, 0, *host))
    });
    let id = ServiceId {
        protocol,
        address: address.into(),
        port,
    };
    Service::new(id, backends.collect())
}

/// Several services on the same backends, and few ports of `nat`'s own.
fn desired(seed: u64) -> Desired {
    use Protocol::{Tcp, Udp};
    use ServicePort::{Any, Exact};
    let mut sticky = service(Tcp, VIP, Exact(80), &[(2, Some(8080), 1), (3, None, 1)]);
    sticky.affinity = Affinity::SourceAddress;
    Desired {
        services: vec![
            service(
                Tcp,
                VIP,
                Exact(8000),
                &[(2, None, 3), (3, None, 2), (4, None, 1)],
            ),
            sticky,
            service(Udp, VIP, Exact(53), &[(2, None, 1), (5, Some(5353), 1)]),
            service(Tcp, OTHER_VIP, Any, &[(3, None, 1), (6, None, 1)]),
        ],
        nat: NatSettings {
            first_port: 20_000,
            last_port: 20_063,
            ..NatSettings::default()
        },
        limits: Limits {
            flows: FLOWS,
            half_open_flows: FLOWS,
            ..Limits::default()
        },
        seed,
        ..Desired::default()
    }
}

/// 10.0.0.4 is behind another interface, 10.0.0.6 cannot be reached.
fn next_hop(backend: &Backend) -> Option<NextHop> {
    let IpAddr::V4(address) = backend.address else {
        return None;
    };
    let host = address.octets()[3];
    let (interface_index, source_address) = match host {
        4 => (7, Ipv4Addr::new(10, 9, 0, 1)),
        6 => return None,
        _ => (INTERFACE, VIP),
    };
    Some(NextHop {
        interface_index,
        source_mac: Mac([2, 0, 0, 0, 0, 0x10]),
        destination_mac: Mac([2, 0, 0, 0, 0, host]),
        source_address: source_address.into(),
        mtu: 1500,
    })
}

fn mix(desired: &Desired) -> Mix {
    let address = |service: &Service| {
        let Some(IpAddr::V4(vip)) = service.id.address.single() else {
            panic!("the services are IPv4")
        };
        match service.id.port {
            ServicePort::Exact(port) => SocketAddrV4::new(vip, port),
            ServicePort::Any => SocketAddrV4::new(vip, 2222),
        }
    };
    let protocol = |service: &Service| match service.id.protocol {
        Protocol::Tcp => wire::ipv4::TCP,
        Protocol::Udp => wire::ipv4::UDP,
    };
    let services = desired.services.iter();
    Mix::plain(services.map(|s| (protocol(s), address(s))), 48, 4)
}

#[test]
fn random_packets_meet_the_same_fate_natively_and_in_the_kernel() {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let desired = desired(seed);
    let image = Image::build(&desired, |_, backend| next_hop(backend)).expect("an image");
    let capacities = Capacities {
        established: 2 * FLOWS as usize,
        half_open: 2 * FLOWS as usize,
        exceptions: 64,
    };
    let tables = MemoryTables::new(content_of(&desired, &image), capacities);
    let mut program = Program::load(&desired, &image);
    let mut traffic = Traffic::new(mix(&desired), seed);
    for index in 0..PACKETS {
        let frame = traffic.frame();
        let native = outcome::process(&tables, &frame, INTERFACE);
        let in_kernel = program.process(&frame);
        assert_eq!(
            in_kernel, native,
            "packet {index} with {SEED_VARIABLE}={seed}: {frame:02x?}"
        );
        traffic.learn(frame, &native);
    }
    assert_flows_and_counters_are_equal(&program, &tables);
    assert_the_mix_is_rich(&tables);
}

fn assert_flows_and_counters_are_equal(program: &Program, tables: &MemoryTables) {
    for (native, in_kernel) in [
        (
            datapath::FlowTable::Established,
            dataplane::FlowTable::Established,
        ),
        (
            datapath::FlowTable::HalfOpen,
            dataplane::FlowTable::HalfOpen,
        ),
    ] {
        let native = without_time(tables.flows(native));
        assert!(native.len() > 100, "{} entries", native.len());
        assert_eq!(without_time(program.flows(in_kernel)), native);
    }
    for index in 0..tables.content.backends.len() as u32 {
        let in_kernel = program.0.backend_counters(index).expect("counters");
        assert_eq!(in_kernel, tables.backend_counters(index), "backend {index}");
    }
    let in_kernel = program.0.reason_counters().expect("counters");
    let native = Reason::ALL
        .iter()
        .map(|reason| tables.reason_count(*reason));
    assert!(in_kernel.into_iter().eq(native));
}

fn without_time(flows: BTreeMap<FlowKeyV4, FlowV4>) -> BTreeMap<FlowKeyV4, FlowV4> {
    let still = |(key, mut flow): (FlowKeyV4, FlowV4)| {
        flow.state.last_seen = 0;
        (key, flow)
    };
    flows.into_iter().map(still).collect()
}

/// Nearly every reason has come up, so that agreement means something.
fn assert_the_mix_is_rich(tables: &MemoryTables) {
    for reason in Reason::ALL {
        let count = tables.reason_count(*reason);
        println!("{count:>8} {}", reason.name());
        let is_for_other_tests = matches!(
            reason,
            Reason::NoBackend
                | Reason::ForwardedTableFull
                | Reason::FlowTableFull
                | Reason::Inconsistent
        );
        assert_eq!(count == 0, is_for_other_tests, "{}", reason.name());
    }
}
