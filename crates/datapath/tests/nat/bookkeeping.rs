//! What the entries of a flow say about it, for user space to sweep and to count by.

use std::slice::from_ref;

use abi::flow::{ANSWERED, FIN_SEEN, FORWARD, Flow as _, FlowV4, RST_SEEN, Rewrite as _};
use abi::reason::Reason;
use evenkeel_datapath::FlowTable;
use testkit::builder::PacketBuilder;
use testkit::tables::MemoryTables;
use wire::tcp::{ACK, FIN, RST, SYN};

use crate::conversation::{
    CLIENT_MAC, PORT, answer, client, establish, from_backend, segment, send, tables,
};

/// The entries of the only flow: from the client, from the backend.
fn halves(tables: &MemoryTables, table: FlowTable) -> (FlowV4, FlowV4) {
    let flows = tables.flows(table).into_values();
    let (forward, reverse): (Vec<_>, Vec<_>) =
        flows.partition(|flow| flow.state.direction == FORWARD);
    assert_eq!((forward.len(), reverse.len()), (1, 1));
    (forward[0], reverse[0])
}

/// What is seen of an established flow after these packets: from the client, from the backend.
fn seen(packets: &[PacketBuilder]) -> (u8, u8) {
    let tables = tables(64);
    establish(&tables, client(0));
    for packet in packets {
        send(&tables, packet.clone(), CLIENT_MAC);
    }
    let (forward, reverse) = halves(&tables, FlowTable::Established);
    (forward.state.seen, reverse.state.seen)
}

#[test]
fn fin_is_noted_in_the_direction_it_took() {
    let from_client = segment(client(0), FIN | ACK, 5001);
    let answer = from_backend(FIN | ACK);
    assert_eq!(seen(&[]), (0, ANSWERED));
    assert_eq!(seen(from_ref(&from_client)), (FIN_SEEN, ANSWERED));
    assert_eq!(seen(from_ref(&answer)), (0, ANSWERED | FIN_SEEN));
    let both = seen(&[from_client, answer]);
    assert_eq!(both, (FIN_SEEN, ANSWERED | FIN_SEEN));
}

#[test]
fn a_backends_rst_is_believed() {
    assert_eq!(seen(&[from_backend(RST)]), (0, ANSWERED | RST_SEEN));
}

#[test]
fn a_clients_rst_is_believed_near_what_the_backend_acknowledged() {
    let reset = |sequence| segment(client(0), RST, 0).numbers(sequence, 0);
    // The backend acknowledged 2.
    for (sequence, is_believed) in [
        (2, true),
        (3, true),
        (2 + (1 << 20) - 1, true),
        (2 + (1 << 20), false),
        (1, false),
        (0x8000_0000, false),
    ] {
        let expected = if is_believed { RST_SEEN } else { 0 };
        let found = seen(&[reset(sequence)]);
        assert_eq!(found, (0, ANSWERED | expected), "sequence {sequence}");
    }
}

#[test]
fn a_syn_opens_a_closed_flow_again() {
    let closed = [segment(client(0), FIN | ACK, 5001), from_backend(FIN | ACK)];
    let mut packets = closed.to_vec();
    packets.push(segment(client(0), SYN, 0));
    assert_eq!(seen(&packets), (0, ANSWERED));
    let mut packets = closed.to_vec();
    packets.push(segment(client(0), SYN | ACK, 0));
    assert_eq!(seen(&packets), (FIN_SEEN, ANSWERED | FIN_SEEN));
}

#[test]
fn each_half_knows_when_its_last_packet_came() {
    let tables = tables(64);
    tables.set_now(10);
    send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    let times = |table| {
        let (forward, reverse) = halves(&tables, table);
        (forward.state.last_seen, reverse.state.last_seen)
    };
    assert_eq!(times(FlowTable::HalfOpen), (10, 10));
    tables.set_now(20);
    send(&tables, answer(), CLIENT_MAC);
    assert_eq!(times(FlowTable::HalfOpen), (10, 20));
    // While it is half-open, a client's packet counts for both: they are pushed out by age.
    tables.set_now(30);
    send(&tables, segment(client(0), ACK, 5001), CLIENT_MAC);
    assert_eq!(times(FlowTable::Established), (30, 30));
    tables.set_now(40);
    send(&tables, segment(client(0), ACK, 5001), CLIENT_MAC);
    assert_eq!(times(FlowTable::Established), (40, 30));
    tables.set_now(u32::MAX);
    send(&tables, from_backend(ACK), CLIENT_MAC);
    assert_eq!(times(FlowTable::Established), (40, u32::MAX));
}

#[test]
fn packets_bytes_and_flows_are_counted_by_backend_and_reason() {
    let tables = tables(64);
    establish(&tables, client(0));
    let data = segment(client(0), ACK, 5001).tag(0x8100, 5).padding(6);
    send(&tables, data.payload(b"12345"), CLIENT_MAC);
    send(&tables, segment(client(1), ACK, 5001), CLIENT_MAC);
    let counters = tables.backend_counters(0);
    assert_eq!((counters.packets, counters.new_flows), (3, 1));
    assert_eq!(counters.bytes, 40 + 40 + 45);
    assert_eq!((counters.reply_packets, counters.reply_bytes), (1, 40));
    let counts = [
        (Reason::NewFlow, 1),
        (Reason::Replied, 1),
        (Reason::Forwarded, 2),
        (Reason::NoFlow, 1),
        (Reason::NotForService, 0),
    ];
    for (reason, count) in counts {
        assert_eq!(tables.reason_count(reason), count, "{}", reason.name());
    }
}

#[test]
fn a_clients_own_port_is_not_taken_if_the_host_keeps_it_for_itself() {
    let mut tables = tables(64);
    let source = |tables: &MemoryTables| {
        send(tables, segment(client(0), SYN, 0), CLIENT_MAC);
        let flows = tables.flows(FlowTable::HalfOpen).into_values();
        let mut forward = flows.filter(|flow| flow.state.direction == FORWARD);
        forward
            .next()
            .expect("a flow")
            .becomes()
            .source_port()
            .get()
    };
    tables.content.settings.kept_ports = u32::from(PORT - 1) << 16 | 3;
    let taken = source(&tables);
    assert!(!(PORT - 1..=PORT + 1).contains(&taken), "{taken}");
    let mut tables = self::tables(64);
    tables.content.settings.kept_ports = u32::from(PORT + 1) << 16 | 3;
    assert_eq!(source(&tables), PORT);
}
