//! What another CPU can do between two steps of ours, done there on purpose.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;

use abi::backend::Backend;
use abi::control::Settings;
use abi::directory::Active;
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::flow::{FORWARD, FlowKey as _, FlowKeyV4, FlowV4, FragmentPorts};
use abi::pace::Pace;
use abi::quic::ServerKey;
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;
use evenkeel_datapath::{
    EstablishError, FamilyTables, FlowTable, InsertError, Tables, Verdict, process,
};
use testkit::builder::PacketBuilder;
use testkit::frame::{Frame, Routes};
use testkit::tables::MemoryTables;
use testkit::world;
use wire::tcp::{ACK, SYN};

use crate::conversation::{
    BALANCER, CLIENT_MAC, PORT, UDP_BACKEND, UDP_SERVICE, answer, arriving, client, segment, send,
    tables,
};

/// A step of ours, before which another CPU does something, once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    LookUp(FlowTable),
    Insert(FlowTable),
    Establish,
    Remove,
    /// Whichever is the n-th.
    Any(u32),
}

type Deed<'t> = Box<dyn FnOnce(&MemoryTables) + 't>;

/// Tables that another CPU uses, too.
struct Shared<'t> {
    tables: &'t MemoryTables,
    before: Step,
    steps: Cell<u32>,
    deed: RefCell<Option<Deed<'t>>>,
}

impl Shared<'_> {
    fn at(&self, step: Step) {
        let number = self.steps.replace(self.steps.get() + 1);
        if (step == self.before || Step::Any(number) == self.before)
            && let Some(deed) = self.deed.take()
        {
            deed(self.tables);
        }
    }
}

impl Tables for Shared<'_> {
    fn settings(&self) -> Settings {
        self.tables.settings()
    }
    fn zero(&self) -> usize {
        self.tables.zero()
    }
    fn now(&self) -> u32 {
        self.tables.now()
    }
    fn service(&self, index: u32) -> Option<&Service> {
        self.tables.service(index)
    }
    fn slot(&self, index: u32) -> Option<Slot> {
        self.tables.slot(index)
    }
    fn backend(&self, index: u32) -> Option<&Backend> {
        self.tables.backend(index)
    }
    fn quic_server(&self, key: &ServerKey) -> Option<u32> {
        self.tables.quic_server(key)
    }
    fn pace<R>(&self, index: u32, visit: impl FnOnce(&mut Pace) -> R) -> Option<R> {
        self.tables.pace(index, visit)
    }
    fn count_reason(&self, reason: Reason) {
        self.tables.count_reason(reason);
    }
    fn count_forwarded(&self, backend: u32, bytes: u64, new_flow: bool) {
        self.tables.count_forwarded(backend, bytes, new_flow);
    }
    fn count_replied(&self, backend: u32, bytes: u64) {
        self.tables.count_replied(backend, bytes);
    }
}

macro_rules! family_tables {
    ($family:ident) => {
        impl FamilyTables<$family> for Shared<'_> {
            fn directory(&self) -> Active {
                FamilyTables::<$family>::directory(self.tables)
            }
            fn bucket(&self, index: u32) -> Option<&<$family as Family>::Bucket> {
                FamilyTables::<$family>::bucket(self.tables, index)
            }
            fn prefix(&self, key: &<$family as Family>::PrefixKey) -> Option<u32> {
                FamilyTables::<$family>::prefix(self.tables, key)
            }
            fn flow<R>(
                &self,
                table: FlowTable,
                key: &<$family as Family>::FlowKey,
                visit: impl FnOnce(&mut <$family as Family>::Flow) -> R,
            ) -> Option<R> {
                self.at(Step::LookUp(table));
                FamilyTables::<$family>::flow(self.tables, table, key, visit)
            }
            fn insert_flow(
                &self,
                table: FlowTable,
                key: &<$family as Family>::FlowKey,
                flow: &<$family as Family>::Flow,
            ) -> Result<(), InsertError> {
                self.at(Step::Insert(table));
                FamilyTables::<$family>::insert_flow(self.tables, table, key, flow)
            }
            fn establish_flow(
                &self,
                key: &<$family as Family>::FlowKey,
            ) -> Result<(), EstablishError> {
                self.at(Step::Establish);
                FamilyTables::<$family>::establish_flow(self.tables, key)
            }
            fn remove_flow(&self, table: FlowTable, key: &<$family as Family>::FlowKey) {
                self.at(Step::Remove);
                FamilyTables::<$family>::remove_flow(self.tables, table, key);
            }
            fn exception<R>(
                &self,
                key: &<$family as Family>::FlowKey,
                visit: impl FnOnce(&mut Exception) -> R,
            ) -> Option<R> {
                FamilyTables::<$family>::exception(self.tables, key, visit)
            }
            fn enter_exception(
                &self,
                key: &<$family as Family>::FlowKey,
                exception: &Exception,
            ) -> Option<()> {
                FamilyTables::<$family>::enter_exception(self.tables, key, exception)
            }
            fn fragment(&self, key: &<$family as Family>::FlowKey) -> Option<FragmentPorts> {
                FamilyTables::<$family>::fragment(self.tables, key)
            }
            fn remember_fragment(&self, key: &<$family as Family>::FlowKey, ports: FragmentPorts) {
                FamilyTables::<$family>::remember_fragment(self.tables, key, ports);
            }
        }
    };
}

family_tables!(V4);
family_tables!(V6);

/// Sends a packet while another CPU does `deed` just before our first `step` of that kind.
fn send_while(
    tables: &MemoryTables,
    packet: &PacketBuilder,
    step: Step,
    deed: impl FnOnce(&MemoryTables),
) -> Verdict {
    try_send_while(tables, packet, step, deed).expect("there was no such step")
}

/// The same, or nothing but the packet if there is no such step.
fn try_send_while(
    tables: &MemoryTables,
    packet: &PacketBuilder,
    step: Step,
    deed: impl FnOnce(&MemoryTables),
) -> Option<Verdict> {
    let shared = Shared {
        tables,
        before: step,
        steps: Cell::new(0),
        deed: RefCell::new(Some(Box::new(deed))),
    };
    let mut frame = Frame {
        bytes: arriving(packet, CLIENT_MAC),
        ingress_interface: world::INTERFACE,
        routes: Routes::Back,
    };
    let verdict = process(&mut frame, &shared);
    shared.deed.take().is_none().then_some(verdict)
}

/// Two CPUs' worth of the same packet.
fn also_sends(packet: PacketBuilder) -> impl FnOnce(&MemoryTables) {
    move |tables| {
        send(tables, packet, CLIENT_MAC);
    }
}

/// Pushes out every entry that `which` picks of the half-open table.
fn pushes_out(which: impl Fn(&FlowV4) -> bool) -> impl FnOnce(&MemoryTables) {
    move |tables| {
        for (key, flow) in tables.flows(FlowTable::HalfOpen) {
            if which(&flow) {
                FamilyTables::<V4>::remove_flow(tables, FlowTable::HalfOpen, &key);
            }
        }
    }
}

fn half_open() -> MemoryTables {
    let tables = tables(64);
    send(&tables, segment(client(0), SYN, 0), CLIENT_MAC);
    send(&tables, answer(), CLIENT_MAC);
    tables
}

/// Reverse tuples with their clients' addresses, over both tables.
fn holders(tables: &MemoryTables) -> Vec<(FlowKeyV4, u32)> {
    let mut flows = tables.flows(FlowTable::HalfOpen);
    flows.extend(tables.flows(FlowTable::Established));
    flows
        .into_iter()
        .filter(|(_, flow)| flow.state.direction != FORWARD)
        .map(|(key, flow)| (key, flow.becomes.destination.get()))
        .collect()
}

#[test]
fn a_tuple_that_is_promoted_while_it_is_claimed_stays_with_its_holder() {
    let tables = half_open();
    let last_ack = also_sends(segment(client(0), ACK, 5001));
    let step = Step::Insert(FlowTable::HalfOpen);
    let verdict = send_while(&tables, &segment(client(1), SYN, 0), step, last_ack);
    assert_eq!(verdict.reason, Reason::NewFlow);
    let mut clients: Vec<u32> = holders(&tables).into_iter().map(|(_, ip)| ip).collect();
    clients.sort_unstable();
    let expected = [client(0), client(1)].map(|client| client.ip().to_bits());
    assert_eq!(clients, expected);
    let in_both: Vec<_> = tables.flows(FlowTable::HalfOpen).into_keys().collect();
    let established = tables.flows(FlowTable::Established);
    assert!(in_both.iter().all(|key| !established.contains_key(key)));
}

#[test]
fn a_flow_that_is_promoted_between_two_lookups_is_found() {
    for step in [FlowTable::Established, FlowTable::HalfOpen] {
        let tables = half_open();
        let last_ack = segment(client(0), ACK, 5001);
        let promotes = also_sends(last_ack.clone());
        let verdict = send_while(&tables, &last_ack, Step::LookUp(step), promotes);
        assert_eq!(verdict.reason, Reason::Forwarded);
        assert_eq!(tables.flows(FlowTable::Established).len(), 2);
    }
}

#[test]
fn a_flow_that_is_promoted_twice_at_once_is_established_once() {
    let tables = half_open();
    let last_ack = segment(client(0), ACK, 5001);
    let promotes = also_sends(last_ack.clone());
    let verdict = send_while(&tables, &last_ack, Step::Establish, promotes);
    assert_eq!(verdict.reason, Reason::Forwarded);
    assert_eq!(tables.flows(FlowTable::Established).len(), 2);
    assert!(tables.flows(FlowTable::HalfOpen).is_empty());
}

#[test]
fn a_half_that_is_pushed_out_during_promotion_leaves_no_half_established() {
    for direction in [0, 1] {
        let tables = half_open();
        let pushes_out = pushes_out(|flow| flow.state.direction == direction);
        let last_ack = segment(client(0), ACK, 5001);
        let verdict = send_while(&tables, &last_ack, Step::Establish, pushes_out);
        assert_eq!(verdict.reason, Reason::Forwarded);
        assert!(tables.flows(FlowTable::Established).is_empty());
    }
}

#[test]
fn the_same_syn_on_two_cpus_starts_one_flow() {
    let tables = tables(64);
    let syn = segment(client(0), SYN, 0);
    let starts = also_sends(syn.clone());
    let step = Step::Insert(FlowTable::HalfOpen);
    let verdict = send_while(&tables, &syn, step, starts);
    assert_eq!(verdict.reason, Reason::NewFlow);
    assert_eq!(tables.flows(FlowTable::HalfOpen).len(), 2);
}

#[test]
fn the_same_first_packet_on_two_cpus_takes_one_port_when_the_clients_own_is_taken() {
    let mut tables = half_open();
    tables.content.settings.port_count = 1000;
    let syn = segment(client(1), SYN, 0);
    let starts = also_sends(syn.clone());
    let step = Step::Insert(FlowTable::HalfOpen);
    let verdict = send_while(&tables, &syn, step, starts);
    assert_eq!(verdict.reason, Reason::NewFlow);
    let flows = tables.flows(FlowTable::HalfOpen);
    assert_eq!(
        flows.len(),
        4,
        "two halves of each client's flow: {flows:#?}"
    );
    for (key, flow) in &flows {
        let other = flows.get(&key.opposite(&flow.becomes));
        assert!(other.is_some(), "{key:?} has no other half");
    }
}

/// What has happened, our packet, and what another CPU takes in the middle of it.
type Meeting = (Vec<PacketBuilder>, PacketBuilder, Vec<PacketBuilder>);

/// Packets of one flow that can be on two CPUs at the same time.
fn meetings() -> Vec<Meeting> {
    let (syn, ack) = (segment(client(0), SYN, 0), segment(client(0), ACK, 5001));
    let ask = PacketBuilder::udp(client(0), UDP_SERVICE);
    let reply = PacketBuilder::udp(UDP_BACKEND, SocketAddrV4::new(BALANCER, PORT));
    let mut meetings = vec![
        (vec![], syn.clone(), vec![syn.clone()]),
        (
            vec![],
            syn.clone(),
            vec![syn.clone(), answer(), ack.clone()],
        ),
        (vec![syn.clone()], answer(), vec![answer()]),
        (vec![syn.clone()], answer(), vec![answer(), ack.clone()]),
        (vec![syn.clone(), answer()], syn.clone(), vec![ack.clone()]),
        (vec![syn, answer()], ack.clone(), vec![ack]),
    ];
    for ours in [&ask, &reply] {
        let asked = vec![ask.clone()];
        meetings.push((asked.clone(), ours.clone(), vec![ask.clone()]));
        meetings.push((asked.clone(), ours.clone(), vec![reply.clone()]));
        let both = vec![reply.clone(), ask.clone()];
        meetings.push((asked, ours.clone(), both));
    }
    meetings.push((vec![], ask.clone(), vec![ask.clone()]));
    meetings.push((vec![], ask.clone(), vec![ask, reply]));
    meetings
}

#[test]
fn packets_of_a_flow_that_meet_at_any_step_leave_it_whole() {
    for (number, (before, ours, theirs)) in meetings().into_iter().enumerate() {
        for step in 0.. {
            let tables = tables(64);
            for packet in &before {
                send(&tables, packet.clone(), CLIENT_MAC);
            }
            let meets = |tables: &MemoryTables| {
                for packet in &theirs {
                    send(tables, packet.clone(), CLIENT_MAC);
                }
            };
            if try_send_while(&tables, &ours, Step::Any(step), meets).is_none() {
                assert!(step > 1, "nothing was tried");
                break;
            }
            assert_whole(&tables, &format!("meeting {number}, step {step}"));
        }
    }
}

/// What a client's packets become is answered to that client. (Entries that nobody's packets find may
/// be left over; they go with time.)
fn assert_whole(tables: &MemoryTables, place: &str) {
    let established = tables.flows(FlowTable::Established);
    let half_open = tables.flows(FlowTable::HalfOpen);
    let find = |key: &FlowKeyV4| established.get(key).or_else(|| half_open.get(key));
    let all = established.iter().chain(&half_open);
    let clients = all.filter(|(_, flow)| flow.state.direction == FORWARD);
    let clients: BTreeSet<&FlowKeyV4> = clients.map(|(key, _)| key).collect();
    assert_eq!(clients.len(), 1, "{place}: flows");
    for key in clients {
        let other = key.opposite(&find(key).expect("its own key").becomes);
        let back = find(&other).map(|back| other.opposite(&back.becomes));
        assert_eq!(back, Some(*key), "{place}: {established:#?} {half_open:#?}");
    }
}
