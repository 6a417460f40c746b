//! A balancer's promises about flows, in the simplest words: who may have which tuple.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use abi::control::{Settings, feature};
use abi::flow::{FORWARD, Flow as _, FlowKey as _, FlowKeyV4};
use abi::reason::Reason;
use evenkeel_datapath::FlowTable;
use proptest::prelude::*;
use testkit::content::{Content, backend};
use testkit::endpoints::Endpoints;
use testkit::outcome::{self, Outcome};
use testkit::tables::{Capacities, MemoryTables};
use wire::ethernet::Addresses;
use wire::ipv4::{TCP, UDP};
use wire::{Be16, Be32};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 20);
/// The address that backends see.
pub(crate) const NAT_SOURCE: Ipv4Addr = VIP;
/// Protocol and address; the last has every port. Two share their backends' port.
pub(crate) const SERVICES: [(u8, SocketAddrV4); 4] = [
    (TCP, SocketAddrV4::new(VIP, 8000)),
    (TCP, SocketAddrV4::new(VIP, 8001)),
    (UDP, SocketAddrV4::new(VIP, 53)),
    (TCP, SocketAddrV4::new(OTHER_VIP, 8000)),
];
const BACKENDS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)];

/// What the model knows of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Assigned {
    backend: u32,
    /// As the backend sees it.
    inside: Endpoints,
}

/// The data path with empty tables, and a record of what it did.
pub(crate) struct Model {
    pub(crate) tables: MemoryTables,
    /// By the flow as the client sees it.
    flows: BTreeMap<Endpoints, Assigned>,
    /// The flow that had a tuple last.
    holders: BTreeMap<Endpoints, Endpoints>,
    is_evicting: bool,
}

impl Model {
    pub(crate) fn new(capacities: Capacities) -> Self {
        let mut content = Content::new(Settings {
            flow_seed: 1,
            report: 0,
            any_port: 1,
            first_port: 20_000,
            port_count: 4,
            features: feature::NAT | feature::IPV4,
            exceptions_per_window: 0,
            icmp_errors_per_window: 0,
            rejections_per_window: 0,
            kept_ports: 0,
            outer_ttl: 64,
        });
        for (index, (protocol, service)) in SERVICES.iter().enumerate() {
            let is_any_port = index == SERVICES.len() - 1;
            let port = if is_any_port { 0 } else { service.port() };
            let backends = BACKENDS.map(|address| {
                let inside_port = if is_any_port { 0 } else { 8000 };
                let link = Addresses::new([2; 6], [4; 6]);
                backend((address, inside_port), NAT_SOURCE, link, 1)
            });
            content.add_service((*service.ip(), port, *protocol), 0, &backends);
        }
        Self {
            is_evicting: capacities.half_open < 1000,
            tables: MemoryTables::new(content, capacities),
            flows: BTreeMap::new(),
            holders: BTreeMap::new(),
        }
    }

    /// The tuple of some flow, if there is one.
    pub(crate) fn nth_inside(&self, n: usize) -> Option<Endpoints> {
        let count = self.holders.len().max(1);
        self.holders.keys().nth(n % count).copied()
    }

    /// Sends a frame through, without any rules.
    pub(crate) fn run(&self, frame: &[u8]) -> Outcome {
        outcome::process(&self.tables, frame, 1)
    }

    /// Sends a well-formed frame through and checks the rules:
    /// - a new flow gets a tuple that no other live flow has;
    /// - a known flow keeps its backend and its tuple;
    /// - a reply goes to the client that has the tuple, from the address that the client asked;
    /// - a flow that no other pushed out is never forgotten.
    pub(crate) fn process(&mut self, frame: &[u8]) -> Result<Outcome, TestCaseError> {
        let before = Endpoints::of(frame).expect("a well-formed frame");
        let outcome = self.run(frame);
        let after = Endpoints::of(&outcome.frame).expect("a well-formed frame");
        match outcome.reason {
            Reason::NewFlow => self.starts(before, after, outcome.backend)?,
            Reason::Forwarded | Reason::ForwardedTableFull => {
                let assigned = Assigned {
                    backend: outcome.backend,
                    inside: after,
                };
                prop_assert_eq!(self.flows.get(&before), Some(&assigned));
                prop_assert_eq!(self.holders.get(&after), Some(&before));
            }
            Reason::Replied => {
                let holder = self.holders.get(&before.swapped());
                prop_assert_eq!(holder, Some(&after.swapped()));
            }
            Reason::NoFlow if !self.is_evicting => {
                prop_assert!(!self.flows.contains_key(&before), "{before:?} is forgotten");
            }
            Reason::NotForService if !self.is_evicting => {
                prop_assert!(
                    !self.holders.contains_key(&before.swapped()),
                    "{before:?} is lost"
                );
            }
            Reason::NoFlow | Reason::NotForService | Reason::PortsExhausted => {}
            other => prop_assert!(false, "{other:?} for {before:?}"),
        }
        Ok(outcome)
    }

    fn starts(
        &mut self,
        client: Endpoints,
        inside: Endpoints,
        backend: u32,
    ) -> Result<(), TestCaseError> {
        if !self.is_evicting {
            prop_assert!(!self.flows.contains_key(&client), "{client:?} starts twice");
        }
        if let Some(holder) = self.holders.get(&inside) {
            let has_moved_on = self.flows[holder].inside != inside;
            let is_gone = self.is_evicting && (has_moved_on || !self.is_established(holder));
            prop_assert!(is_gone || *holder == client, "{inside:?} is {holder:?}'s");
        }
        prop_assert_eq!(inside.destination.ip(), &BACKENDS[backend as usize % 2]);
        prop_assert_eq!(inside.source.ip(), &NAT_SOURCE);
        let is_service = SERVICES.contains(&(inside.protocol, inside.source));
        prop_assert!(!is_service, "{inside:?}: replies would go to a service");
        self.flows.insert(client, Assigned { backend, inside });
        self.holders.insert(inside, client);
        Ok(())
    }

    fn is_established(&self, client: &Endpoints) -> bool {
        let established = self.tables.flows(FlowTable::Established);
        established.contains_key(&key(client))
    }

    /// Both halves of every flow lead to each other, and every flow is there.
    pub(crate) fn check_tables(&self) -> Result<(), TestCaseError> {
        let mut flows = self.tables.flows(FlowTable::HalfOpen);
        let half_open = flows.len();
        flows.extend(self.tables.flows(FlowTable::Established));
        let established = self.tables.flows(FlowTable::Established).len();
        prop_assert_eq!(
            flows.len(),
            half_open + established,
            "a key is in both tables"
        );
        prop_assert_eq!(flows.len(), 2 * self.flows.len());
        for (client, assigned) in &self.flows {
            let (forward, reverse) = (flows[&key(client)], flows[&key(&assigned.inside.swapped())]);
            prop_assert_eq!(forward.state.direction, FORWARD);
            prop_assert!(reverse.leads_to(&key(client)));
            prop_assert_eq!(forward.state.backend, reverse.state.backend);
            prop_assert_eq!(forward.state.client, reverse.state.client);
        }
        Ok(())
    }
}

fn key(endpoints: &Endpoints) -> FlowKeyV4 {
    let Endpoints {
        protocol,
        source,
        destination,
    } = endpoints;
    FlowKeyV4::new(
        Be32::new(source.ip().to_bits()),
        Be32::new(destination.ip().to_bits()),
        Be16::new(source.port()),
        Be16::new(destination.port()),
        *protocol,
    )
}
