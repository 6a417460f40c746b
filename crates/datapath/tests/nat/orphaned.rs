//! Flows of `nat` whose service has lost its last backend.

use abi::backend::{ALIVE, TAKES_NEW};
use abi::reason::Reason;
use abi::service::REJECT;
use evenkeel_datapath::FlowTable;
use testkit::builder::PacketBuilder;
use wire::tcp::{ACK, PSH, RST};

use crate::conversation::{CLIENT_MAC, TCP_SERVICE, client, establish, segment, send, tables};

#[test]
fn a_flow_whose_last_backend_died_is_reset_where_it_is_and_forgotten() {
    let mut tables = tables(64);
    tables.content.services[0].flags |= REJECT;
    establish(&tables, client(0));
    tables.content.backends[0].flags &= !(ALIVE | TAKES_NEW);
    let question = segment(client(0), PSH | ACK, 5001).payload(b"still there?");
    let outcome = send(&tables, question.clone(), CLIENT_MAC);
    assert_eq!(outcome.reason, Reason::Rejected);
    let reset = PacketBuilder::tcp(TCP_SERVICE, client(0))
        .flags(RST)
        .numbers(5001, 0)
        .build();
    // From the TCP ports to the flags.
    assert_eq!(outcome.frame[34..48], reset[34..48]);
    assert!(tables.flows(FlowTable::Established).is_empty());
    assert_eq!(send(&tables, question, CLIENT_MAC).reason, Reason::NoFlow);
}
