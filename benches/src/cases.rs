//! What is measured.

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
    let elsewhere = std::net::Ipv4Addr::new(10, 0, 0, 99);
    let nat = |name, traffic, reason, at_most| Case {
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
    };
    let not_ours = |name, traffic, at_most| Case {
        action: action::PASS,
        goal: Some(Goal {
            floor: Kind::Parse,
            at_most,
        }),
        ..nat(name, traffic, Reason::NotForService, None)
    };
    let to_vip = |flows_log2| Traffic::to(VIP, PORT, flows_log2);
    let (few, many) = (FEW_FLOWS_LOG2, MANY_FLOWS_LOG2);
    vec![
        nat("nat, 1 flow", to_vip(0), Reason::Forwarded, Some(2.5)),
        nat("nat, 64k flows", to_vip(few), Reason::Forwarded, None),
        Case {
            flows_log2: many,
            ..nat("nat, 1M flows", to_vip(many), Reason::Forwarded, Some(6.0))
        },
        nat(
            "nat reply, 1 flow",
            Traffic::replies(0),
            Reason::Replied,
            Some(2.5),
        ),
        nat(
            "nat reply, 64k flows",
            Traffic::replies(few),
            Reason::Replied,
            None,
        ),
        Case {
            flows_log2: many,
            ..nat(
                "nat reply, 1M flows",
                Traffic::replies(many),
                Reason::Replied,
                Some(6.0),
            )
        },
        nat(
            "nat, new flow each",
            Traffic::new_flows(),
            Reason::NewFlow,
            None,
        ),
        nat(
            "SYN flood, 1M sources",
            Traffic::flood(),
            Reason::NewFlow,
            None,
        ),
        nat(
            "SYN flood, one port",
            Traffic::flood_of_one_port(),
            Reason::NewFlow,
            None,
        ),
        not_ours("not for us", Traffic::to(elsewhere, PORT, few), Some(1.5)),
        not_ours(
            "not for us, to nat's address",
            Traffic::to(NAT_SOURCE, 22, few),
            None,
        ),
    ]
}
