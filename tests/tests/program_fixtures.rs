//! The fixtures of `testkit` through the real program: the same packets, byte for byte, as
//! `crates/datapath/tests/fixtures.rs` wants natively.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use abi::family::V4;
use abi::reason::Reason;
use datapath::FlowTable;
use evenkeel_tests::bare_program::BareProgram;
use testkit::builder::PacketBuilder;
use testkit::fixture::{self, Limits, Subject};
use testkit::outcome;
use testkit::tables::{Capacities, MemoryTables};
use testkit::world::{self, INTERFACE};
use wire::tcp::{ACK, SYN};

const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 10), 8000);
const BACKEND: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 8000);
const HALF_OPEN_FLOWS: u32 = 4096;
const LIMITS: Limits = Limits {
    flows: 64,
    exceptions: 64,
    rejections: u32::MAX,
};

fn program(limits: Limits, half_open_flows: u32) -> BareProgram {
    let capacities = Capacities {
        established: 2 * limits.flows as usize,
        half_open: 2 * half_open_flows as usize,
        exceptions: limits.exceptions as usize,
    };
    let mut content = world::content();
    content.settings.rejections_per_window = limits.rejections;
    BareProgram::load(&content, &capacities)
}

#[test]
fn every_fixture_gives_its_golden_packets_in_the_kernel() {
    let mut failures = Vec::new();
    // By the tables' sizes: loading takes longer than all fixtures.
    let mut programs = BTreeMap::new();
    for fixture in fixture::all() {
        let program = programs
            .entry(fixture.limits)
            .or_insert_with(|| program(fixture.limits, HALF_OPEN_FLOWS));
        program.forget();
        failures.extend(fixture::run(&fixture, program).err());
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn from_client(client: SocketAddrV4, flags: u16, acknowledgment: u32) -> PacketBuilder {
    PacketBuilder::tcp(client, SERVICE)
        .flags(flags)
        .numbers(1, acknowledgment)
}

#[test]
fn a_flood_of_syns_leaves_established_flows_as_they_are() {
    let mut program = program(LIMITS, 512);
    let clients: Vec<SocketAddrV4> = (1..=20)
        .map(|n| SocketAddrV4::new(Ipv4Addr::new(10, 1, 1, n), 1000 + u16::from(n)))
        .collect();
    for client in &clients {
        let source = SocketAddrV4::new(*SERVICE.ip(), client.port());
        let answer = PacketBuilder::tcp(BACKEND, source)
            .flags(SYN | ACK)
            .numbers(5000, 2);
        for packet in [
            from_client(*client, SYN, 0),
            answer,
            from_client(*client, ACK, 5001),
        ] {
            program.process(&packet.build());
        }
    }
    let established = program.flows::<V4>(FlowTable::Established);
    assert_eq!(established.len(), 2 * clients.len());
    for n in 0..20_000_u32 {
        let spoofed = Ipv4Addr::from_bits(0x0b00_0000 + n);
        let port = 21_000 + (n % 40_000) as u16;
        let syn = from_client(SocketAddrV4::new(spoofed, port), SYN, 0).build();
        assert_eq!(program.process(&syn).reason, Reason::NewFlow, "SYN {n}");
    }
    assert!(program.flow_counts().half_open <= 2 * 512);
    assert_eq!(program.flows::<V4>(FlowTable::Established), established);
    for client in &clients {
        let segment = from_client(*client, ACK, 5001)
            .payload(b"still here")
            .build();
        assert_eq!(program.process(&segment).reason, Reason::Forwarded);
    }
}

#[test]
fn a_frame_of_several_buffers_is_rewritten_as_natively() {
    let capacities = Capacities {
        established: 64,
        half_open: 64,
        exceptions: 64,
    };
    let tables = MemoryTables::new(world::content(), capacities);
    let mut program = program(LIMITS, HALF_OPEN_FLOWS);
    let client = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 40_000);
    for length in [1460, 3400, 4096, 8961] {
        let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let whole = from_client(client, SYN, 0).payload(&payload).build();
        // The second lacks the last byte of what its header promises.
        for frame in [&whole[..], &whole[..whole.len() - 1]] {
            let native = outcome::process(&tables, frame, INTERFACE);
            let in_kernel = program.process(frame);
            assert!(
                in_kernel == native,
                "{length} bytes: {:?}",
                in_kernel.reason
            );
        }
    }
}
