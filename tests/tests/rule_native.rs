//! The packet's side of the slot rule, as a table: where a packet of a slot goes, and what is
//! entered. Histories (`history_native`) play the rule as a whole; here each of its cases has a line.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddrV4};

use abi::backend::{ALIVE, TAKES_NEW};
use abi::control::{Settings, feature};
use abi::exception::Exception;
use abi::family::V4;
use abi::flow::{FlowKey as _, FlowKeyV4};
use abi::reason::Reason::{self, Forwarded, KeptByPrevious, NewFlow, NotEntered};
use abi::service::{MODE_IPIP, TRACK_ALWAYS};
use abi::slot::Slot;
use datapath::FamilyTables;
use testkit::builder::PacketBuilder;
use testkit::content::{Content, backend};
use testkit::outcome::process;
use testkit::tables::{Capacities, MemoryTables};
use testkit::world::INTERFACE;
use wire::ethernet::Addresses;
use wire::tcp::{ACK, FIN, RST, SYN};
use wire::{Be16, Be32, ipv4};

use Kind::{Ack, Datagram, Fin, Reset, Syn};

const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 1), 40_000);
const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 443);
const NOW: u32 = 1000;

/// Indices of the backends: A was the owner, B is, C was in between.
const A: u32 = 0;
const B: u32 = 1;
const C: u32 = 2;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Syn,
    Ack,
    Fin,
    Reset,
    Datagram,
}

/// What there is when the packet comes.
#[derive(Clone, Copy, Debug)]
struct Given {
    slot: Slot,
    /// Whom the exception table has for the flow.
    entry: Option<u32>,
    /// And whether it was seen to end.
    closed: bool,
    dead: Option<u32>,
    draining: Option<u32>,
    /// The exception table has no room for more.
    full: bool,
    track_always: bool,
}

fn slot(slot: Slot) -> Given {
    Given {
        slot,
        entry: None,
        closed: false,
        dead: None,
        draining: None,
        full: false,
        track_always: false,
    }
}

fn steady() -> Given {
    slot(Slot::steady(B))
}

fn settling() -> Given {
    slot(Slot::settling(B))
}

fn transition() -> Given {
    slot(Slot::transition(B, A))
}

impl Given {
    fn entry(mut self, backend: u32) -> Self {
        self.entry = Some(backend);
        self
    }

    fn closed(mut self) -> Self {
        self.closed = true;
        self
    }

    fn dead(mut self, backend: u32) -> Self {
        self.dead = Some(backend);
        self
    }

    fn draining(mut self, backend: u32) -> Self {
        self.draining = Some(backend);
        self
    }

    fn full(mut self) -> Self {
        self.full = true;
        self
    }

    fn track_always(mut self) -> Self {
        self.track_always = true;
        self
    }

    fn tables(self, kind: Kind) -> MemoryTables {
        let mut content = Content::new(Settings {
            features: feature::ALL,
            port_count: 1,
            outer_ttl: 64,
            exceptions_per_window: if self.full { 0 } else { u32::MAX },
            ..Settings::default()
        });
        let flags = if self.track_always { TRACK_ALWAYS } else { 0 };
        let service = ((*SERVICE.ip()).into(), SERVICE.port(), kind.protocol());
        content.add_service_in_mode(MODE_IPIP, service, flags, &[server(A)]);
        content.slots[0] = self.slot;
        content.backends = [A, B, C].map(server).into();
        if let Some(dead) = self.dead {
            content.backends[dead as usize].flags &= !(ALIVE | TAKES_NEW);
        }
        if let Some(draining) = self.draining {
            content.backends[draining as usize].flags &= !TAKES_NEW;
        }
        let capacities = Capacities {
            established: 1,
            half_open: 1,
            exceptions: 16,
        };
        let tables = MemoryTables::new(content, capacities);
        tables.set_now(NOW);
        if let Some(backend) = self.entry {
            let entry = Exception {
                service: 0,
                hash: 0,
                last_seen: 1,
                backend,
                closed: self.closed.into(),
                ..Exception::default()
            };
            FamilyTables::<V4>::enter_exception(&tables, &key(kind), &entry)
                .expect("there is room");
        }
        tables
    }
}

impl Kind {
    fn protocol(self) -> u8 {
        match self {
            Syn | Ack | Fin | Reset => ipv4::TCP,
            Datagram => ipv4::UDP,
        }
    }

    fn frame(self) -> Vec<u8> {
        match self {
            Syn => PacketBuilder::tcp(CLIENT, SERVICE).flags(SYN).build(),
            Ack => PacketBuilder::tcp(CLIENT, SERVICE).flags(ACK).build(),
            Fin => PacketBuilder::tcp(CLIENT, SERVICE).flags(FIN | ACK).build(),
            Reset => PacketBuilder::tcp(CLIENT, SERVICE).flags(RST).build(),
            Datagram => PacketBuilder::udp(CLIENT, SERVICE).build(),
        }
    }
}

fn server(index: u32) -> abi::backend::Backend {
    let address = Ipv4Addr::new(10, 0, 0, 100 + index as u8);
    let source = Ipv4Addr::new(10, 0, 0, 1);
    let macs = Addresses::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
    backend((address, 443), source, macs, INTERFACE)
}

fn key(kind: Kind) -> FlowKeyV4 {
    let address = |end: SocketAddrV4| Be32::new(end.ip().to_bits());
    let port = |end: SocketAddrV4| Be16::new(end.port());
    FlowKeyV4::new(
        address(CLIENT),
        address(SERVICE),
        port(CLIENT),
        port(SERVICE),
        kind.protocol(),
    )
}

/// Given what there is, a packet goes to a backend for a reason, and the flow has an entry after.
fn assert_goes(given: Given, kind: Kind, (backend, reason): (u32, Reason), after: Option<u32>) {
    let tables = given.tables(kind);
    let outcome = process(&tables, &kind.frame(), INTERFACE);
    let place = format!("{kind:?} with {given:?}");
    assert_eq!(
        (outcome.backend, outcome.reason),
        (backend, reason),
        "{place}"
    );
    let entry = tables.exceptions().get(&key(kind)).copied();
    assert_eq!(entry.map(|entry| entry.backend), after, "entry; {place}");
    // Whoever is entered or found is not idle. Entries of the dead are for the sweep.
    if let Some(entry) = entry.filter(|entry| given.dead != Some(entry.backend)) {
        let looked_at = given.track_always || given.slot != Slot::steady(B);
        assert_eq!(entry.last_seen == NOW, looked_at, "last seen; {place}");
    }
}

#[test]
fn a_steady_slot_asks_nobody() {
    assert_goes(steady(), Syn, (B, NewFlow), None);
    assert_goes(steady(), Ack, (B, Forwarded), None);
    assert_goes(steady(), Datagram, (B, Forwarded), None);
    assert_goes(steady().entry(C), Ack, (B, Forwarded), Some(C));
}

#[test]
fn a_settling_slot_enters_nobody_and_entries_decide() {
    assert_goes(settling(), Syn, (B, NewFlow), None);
    assert_goes(settling(), Ack, (B, Forwarded), None);
    assert_goes(settling(), Datagram, (B, Forwarded), None);
    for kind in [Syn, Ack, Datagram] {
        assert_goes(settling().entry(C), kind, (C, Forwarded), Some(C));
    }
}

#[test]
fn in_transition_whoever_begins_is_the_owners_and_everybody_else_the_previous_ones() {
    assert_goes(transition(), Syn, (B, NewFlow), Some(B));
    assert_goes(transition(), Ack, (A, KeptByPrevious), Some(A));
    // UDP does not say whether it begins: that is for the previous one to take.
    assert_goes(transition(), Datagram, (A, KeptByPrevious), Some(A));
    assert_goes(transition().draining(A), Datagram, (B, Forwarded), Some(B));
    assert_goes(transition().draining(A), Ack, (A, KeptByPrevious), Some(A));
    for kind in [Syn, Ack, Datagram] {
        for entry in [A, B, C] {
            let given = transition().entry(entry);
            assert_goes(given, kind, (entry, Forwarded), Some(entry));
        }
    }
}

#[test]
fn a_previous_backend_that_is_dead_gets_nothing() {
    assert_goes(transition().dead(A), Syn, (B, NewFlow), Some(B));
    assert_goes(transition().dead(A), Ack, (B, Forwarded), Some(B));
    assert_goes(transition().dead(A), Datagram, (B, Forwarded), Some(B));
    // Entered or not, there is nowhere else to go.
    assert_goes(transition().dead(A).full(), Syn, (B, NewFlow), None);
    assert_goes(transition().dead(A).full(), Ack, (B, Forwarded), None);
}

#[test]
fn an_entry_of_a_dead_backend_does_not_decide() {
    assert_goes(settling().dead(C).entry(C), Ack, (B, Forwarded), Some(C));
    assert_goes(settling().dead(C).entry(C), Syn, (B, NewFlow), Some(C));
    // Where flows are entered, the new entry takes the place of the old one.
    let given = transition().dead(C).entry(C);
    assert_goes(given, Syn, (B, NewFlow), Some(B));
    assert_goes(given, Ack, (A, KeptByPrevious), Some(A));
    let given = transition().dead(A).entry(A);
    assert_goes(given, Syn, (B, NewFlow), Some(B));
    assert_goes(given, Ack, (B, Forwarded), Some(B));
    assert_goes(given, Datagram, (B, Forwarded), Some(B));
    let given = steady().track_always().dead(C).entry(C);
    assert_goes(given, Datagram, (B, Forwarded), Some(B));
}

#[test]
fn whoever_cannot_be_entered_stays_where_the_next_packet_goes() {
    assert_goes(transition().full(), Syn, (A, NotEntered), None);
    assert_goes(transition().full(), Ack, (A, NotEntered), None);
    assert_goes(transition().full(), Datagram, (A, NotEntered), None);
    // Its next packet does not go to A either.
    let draining = transition().full().draining(A);
    assert_goes(draining, Datagram, (B, Forwarded), None);
}

#[test]
fn a_connection_between_the_ports_of_one_that_ended_leaves_who_drains() {
    for given in [transition(), settling(), settling().track_always()] {
        let draining = given.entry(C).draining(C);
        assert_goes(draining.closed(), Syn, (B, NewFlow), Some(B));
        // The first one again, perhaps.
        assert_goes(draining, Syn, (C, Forwarded), Some(C));
        assert_goes(draining.closed(), Ack, (C, Forwarded), Some(C));
        assert_goes(given.entry(C).closed(), Syn, (C, Forwarded), Some(C));
    }
}

#[test]
fn a_connection_that_ends_is_marked_and_one_that_begins_is_not() {
    let marked = |given: Given, kind: Kind| {
        let tables = given.tables(kind);
        let outcome = process(&tables, &kind.frame(), INTERFACE);
        let entry = tables.exceptions().get(&key(kind)).copied();
        entry
            .unwrap_or_else(|| panic!("not entered: {outcome:?}"))
            .closed
    };
    for end in [Fin, Reset] {
        assert_eq!(marked(transition(), end), 1, "{end:?}, not entered before");
        assert_eq!(marked(settling().entry(C), end), 1, "{end:?}");
    }
    assert_eq!(marked(transition().entry(A), Ack), 0);
    assert_eq!(marked(transition(), Syn), 0);
    let again = transition().entry(A).draining(A).closed();
    assert_eq!(marked(again, Syn), 0, "begun anew");
}

#[test]
fn a_service_that_tracks_always_enters_in_every_state() {
    for given in [steady().track_always(), settling().track_always()] {
        assert_goes(given, Syn, (B, NewFlow), Some(B));
        assert_goes(given, Ack, (B, Forwarded), Some(B));
        assert_goes(given, Datagram, (B, Forwarded), Some(B));
        assert_goes(given.full(), Datagram, (B, Forwarded), None);
    }
    let tracked = settling().track_always().entry(C);
    assert_goes(tracked, Ack, (C, Forwarded), Some(C));
}
