//! What is measured.

use std::net::Ipv4Addr;

use abi::reason::Reason;
use engine::dataplane::action;

use crate::traffic::{NAT_SOURCE, PORT, Traffic, VIP};

/// What a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The empty program.
    Pass,
    /// The wrapper alone.
    Wrapper,
    /// Floor: parse, pass.
    Parse,
    /// Floor: parse, rewrite, no lookups.
    Rewrite,
    /// The product's packet path.
    Balance,
}

impl Kind {
    /// The program in the object.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Pass => "bench_pass",
            Self::Wrapper => "bench_wrapper",
            Self::Parse => "bench_parse",
            Self::Rewrite => "bench_rewrite",
            Self::Balance => "bench_balance",
        }
    }
}

/// At most this many times what the floor takes (DESIGN: 7).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// [`Kind::Parse`] or [`Kind::Rewrite`].
    pub(crate) floor: Kind,
    /// The budget, if there is one.
    pub(crate) at_most: Option<f64>,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// For the reader; unique.
    pub(crate) name: &'static str,
    /// The program that runs.
    pub(crate) kind: Kind,
    /// Its packets.
    pub(crate) traffic: Traffic,
    /// log2 of the established flows in the table.
    pub(crate) flows_log2: u32,
    /// The reason that every packet must meet, if the program counts reasons.
    pub(crate) reason: Option<Reason>,
    /// The XDP action of the last packet.
    pub(crate) action: u32,
    /// With the object of `--against`, not this build's.
    pub(crate) other_object: bool,
    /// What to compare with.
    pub(crate) goal: Option<Goal>,
}

/// Flows in the table for the cases that do not ask for more; fits the default limits.
pub(crate) const FEW_FLOWS_LOG2: u32 = 16;
/// A million.
pub(crate) const MANY_FLOWS_LOG2: u32 = 20;

/// Floors, and the cases whose name contains `only`; `twice`: once more with the other object.
pub(crate) fn select(only: &str, twice: bool) -> Vec<Case> {
    let mut cases = floors();
    for case in balanced() {
        if !case.name.contains(only) {
            continue;
        }
        let other = Case {
            other_object: true,
            ..case.clone()
        };
        cases.push(case);
        cases.extend(twice.then_some(other));
    }
    cases
}

fn floors() -> Vec<Case> {
    let floor = |name, kind, action| Case {
        name,
        kind,
        traffic: Traffic::to(VIP, PORT, FEW_FLOWS_LOG2),
        flows_log2: FEW_FLOWS_LOG2,
        reason: None,
        action,
        other_object: false,
        goal: None,
    };
    vec![
        floor("pass", Kind::Pass, action::PASS),
        floor("wrapper alone", Kind::Wrapper, action::PASS),
        floor("floor: parse, pass", Kind::Parse, action::PASS),
        floor("floor: parse, rewrite, send", Kind::Rewrite, action::TX),
    ]
}

fn balanced() -> Vec<Case> {
    let mut cases = established();
    cases.extend(opening());
    cases.extend(not_ours());
    cases
}

/// A case that ends in sending.
fn nat(name: &'static str, traffic: Traffic, reason: Reason, at_most: Option<f64>) -> Case {
    Case {
        name,
        kind: Kind::Balance,
        traffic,
        flows_log2: FEW_FLOWS_LOG2,
        reason: Some(reason),
        action: action::TX,
        other_object: false,
        goal: Some(Goal {
            floor: Kind::Rewrite,
            at_most,
        }),
    }
}

fn established() -> Vec<Case> {
    let (few, many) = (FEW_FLOWS_LOG2, MANY_FLOWS_LOG2);
    let forward = |name, flows_log2, at_most| {
        let traffic = Traffic::to(VIP, PORT, flows_log2);
        nat(name, traffic, Reason::Forwarded, at_most)
    };
    let reply = |name, flows_log2, at_most| {
        let traffic = Traffic::replies(flows_log2);
        nat(name, traffic, Reason::Replied, at_most)
    };
    vec![
        forward("nat, 1 flow", 0, Some(2.5)),
        forward("nat, 64k flows", few, None),
        Case {
            flows_log2: many,
            ..forward("nat, 1M flows", many, Some(6.0))
        },
        reply("nat reply, 1 flow", 0, Some(2.5)),
        reply("nat reply, 64k flows", few, None),
        Case {
            flows_log2: many,
            ..reply("nat reply, 1M flows", many, Some(6.0))
        },
    ]
}

/// Each packet starts a flow, and pushes an older one out of the half-open table.
fn opening() -> Vec<Case> {
    let syn = |name, traffic| nat(name, traffic, Reason::NewFlow, None);
    vec![
        syn("nat, new flow each", Traffic::new_flows()),
        syn("SYN flood, 1M sources", Traffic::flood()),
        syn("SYN flood, one port", Traffic::flood_of_one_port()),
    ]
}

fn not_ours() -> Vec<Case> {
    let elsewhere = Ipv4Addr::new(10, 0, 0, 99);
    let passed = |name, address, port, at_most| {
        let traffic = Traffic::to(address, port, FEW_FLOWS_LOG2);
        Case {
            action: action::PASS,
            goal: Some(Goal {
                floor: Kind::Parse,
                at_most,
            }),
            ..nat(name, traffic, Reason::NotForService, None)
        }
    };
    vec![
        passed("not for us", elsewhere, PORT, Some(1.5)),
        passed("not for us, to nat's address", NAT_SOURCE, 22, None),
    ]
}
