//! Half-open flows give way when their table is full; established ones never do.

use std::net::SocketAddrV4;

use abi::family::V4;
use abi::flow::{FORWARD, FlowKeyV4, REVERSE};
use abi::reason::Reason;
use evenkeel_datapath::{FamilyTables, FlowTable};
use testkit::builder::PacketBuilder;
use testkit::endpoints::Endpoints;
use testkit::outcome::Outcome;
use testkit::tables::{Capacities, MemoryTables};
use testkit::world;
use wire::tcp::{ACK, SYN};

use crate::conversation::{
    BALANCER, CLIENT_MAC, PORT, UDP_BACKEND, UDP_SERVICE, answer, client, segment, send, tables,
};

/// Pushes one half of the only half-open flow out.
fn evict(tables: &MemoryTables, direction: u8) {
    let keys: Vec<FlowKeyV4> = tables
        .flows(FlowTable::HalfOpen)
        .into_iter()
        .filter(|(_, flow)| flow.state.direction == direction)
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys.len(), 1);
    FamilyTables::<V4>::remove_flow(tables, FlowTable::HalfOpen, &keys[0]);
}

#[test]
fn a_flood_of_syns_pushes_out_half_open_flows_only() {
    let tables = tables(32);
    send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    send(&tables, answer(), CLIENT_MAC);
    send(&tables, segment(client(0), ACK, 5001), CLIENT_MAC);
    let established = tables.flows(FlowTable::Established);
    assert_eq!(established.len(), 2);
    for host in 1..10_000 {
        let port = 30_000 + host;
        let from = SocketAddrV4::new(*client(host).ip(), port);
        let outcome = send(&tables, segment(from, SYN, 0), CLIENT_MAC);
        assert_eq!(outcome.reason, Reason::NewFlow, "host {host}");
    }
    assert_eq!(tables.flows(FlowTable::HalfOpen).len(), 32);
    assert_eq!(tables.flows(FlowTable::Established), established);
    let outcome = send(&tables, segment(client(0), ACK, 5001), CLIENT_MAC);
    assert_eq!(outcome.reason, Reason::Forwarded);
    let outcome = send(&tables, answer(), CLIENT_MAC);
    assert_eq!(outcome.reason, Reason::Replied);
}

#[test]
fn a_syn_sent_again_takes_its_claim_up_when_the_forward_half_was_pushed_out() {
    let tables = tables(32);
    let first = send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    evict(&tables, FORWARD);
    let again = send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    assert_eq!(again, first);
    assert_eq!(tables.flows(FlowTable::HalfOpen).len(), 2);
}

#[test]
fn a_claim_taken_up_again_leads_to_where_the_client_is_now() {
    let tables = tables(32);
    send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    evict(&tables, FORWARD);
    let moved = [2, 2, 2, 2, 2, 2];
    send(&tables, segment(client(0), SYN, 0), moved);
    let reply = send(&tables, answer(), CLIENT_MAC);
    assert_eq!(reply.reason, Reason::Replied);
    assert_eq!(reply.frame[..6], moved);
}

#[test]
fn a_flow_whose_claim_was_pushed_out_starts_anew() {
    let tables = tables(32);
    let first = send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    evict(&tables, REVERSE);
    let again = send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    assert_eq!(again, first);
    evict(&tables, REVERSE);
    let outcome = send(&tables, segment(client(0), ACK, 5001), CLIENT_MAC);
    assert_eq!(outcome.reason, Reason::NoFlow);
    assert!(tables.flows(FlowTable::HalfOpen).is_empty());

    let question = PacketBuilder::udp(client(0), UDP_SERVICE);
    send(&tables, question.clone(), CLIENT_MAC);
    evict(&tables, REVERSE);
    assert_eq!(send(&tables, question, CLIENT_MAC).reason, Reason::NewFlow);
}

#[test]
fn a_claim_that_went_to_another_client_is_not_used_by_the_first() {
    let tables = tables(32);
    send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    evict(&tables, REVERSE);
    let second = send(&tables, segment(client(1), SYN, 0), CLIENT_MAC);
    send(&tables, answer(), CLIENT_MAC);
    let first = send(&tables, segment(client(0), ACK, 5001), CLIENT_MAC);
    assert_eq!(first.reason, Reason::NoFlow);
    let anew = send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    assert_eq!(anew.reason, Reason::NewFlow);
    assert_ne!(anew.frame, second.frame);
}

/// Source port of the packet to the backend.
fn claimed_port(outcome: &Outcome) -> u16 {
    assert_eq!(outcome.reason, Reason::NewFlow);
    Endpoints::of(&outcome.frame)
        .expect("a TCP frame")
        .source
        .port()
}

#[test]
fn a_claim_is_nobody_elses_while_it_lasts() {
    let tables = tables(32);
    send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    let second = send(&tables, segment(client(1), SYN, 0), CLIENT_MAC);
    assert_ne!(claimed_port(&second), PORT);
    // The one port of `nat`'s own range is taken, too.
    let third = send(&tables, segment(client(2), SYN, 0), CLIENT_MAC);
    assert_eq!(third.reason, Reason::PortsExhausted);
}

#[test]
fn the_backends_answer_keeps_both_halves_among_the_recent_ones() {
    let tables = tables(4);
    send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    let other = SocketAddrV4::new(*client(1).ip(), PORT + 1);
    send(&tables, segment(other, SYN, 0), CLIENT_MAC);
    send(&tables, answer(), CLIENT_MAC);
    let third = SocketAddrV4::new(*client(2).ip(), PORT + 2);
    send(&tables, segment(third, SYN, 0), CLIENT_MAC);
    let last = send(&tables, segment(client(0), ACK, 5001), CLIENT_MAC);
    assert_eq!(last.reason, Reason::Forwarded);
    assert_eq!(tables.flows(FlowTable::Established).len(), 2);
}

#[test]
fn a_udp_flow_that_found_no_room_is_established_when_there_is_some() {
    let capacities = Capacities {
        established: 2,
        half_open: 32,
        exceptions: 64,
    };
    let tables = MemoryTables::new(world::content(), capacities);
    let question = |port| {
        let from = SocketAddrV4::new(*client(0).ip(), port);
        send(&tables, PacketBuilder::udp(from, UDP_SERVICE), CLIENT_MAC).reason
    };
    for port in [40_000, 40_001] {
        assert_eq!(question(port), Reason::NewFlow);
        let to = SocketAddrV4::new(BALANCER, port);
        send(&tables, PacketBuilder::udp(UDP_BACKEND, to), CLIENT_MAC);
    }
    assert_eq!(question(40_001), Reason::ForwardedTableFull);
    for key in tables.flows(FlowTable::Established).keys() {
        FamilyTables::<V4>::remove_flow(&tables, FlowTable::Established, key);
    }
    assert_eq!(question(40_001), Reason::Forwarded);
    assert_eq!(tables.flows(FlowTable::Established).len(), 2);
    assert!(tables.flows(FlowTable::HalfOpen).is_empty());
}
