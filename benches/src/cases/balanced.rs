//! The cases of the product's packet path.

use abi::reason::Reason;
use engine::dataplane::action;
use engine::desired::ForwardingMode::{self, Dnat, Gue, Ipip, L2Dsr, Nat};

use super::{
    Case, Goal, IPIP, NAT, PARSE,
    Version::{V4, V6},
    place,
};
use crate::plane::SlotState;
use crate::setup::{Configured, FEW_FLOWS_LOG2, MANY_FLOWS_LOG2, Setup, Way};
use crate::traffic::{PORT, Traffic, Who};

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let mut cases = established();
    cases.extend(replies());
    cases.extend(opening());
    cases.extend(changing());
    cases.extend(many());
    cases.extend(not_ours());
    cases
}

/// Numbers of flows with their names.
const FLOWS: [(u32, &str); 3] = [
    (0, "1 flow"),
    (FEW_FLOWS_LOG2, "64k flows"),
    (MANY_FLOWS_LOG2, "1M flows"),
];

/// Every mode, both families, and those that mix them.
fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for mode in [Nat, Dnat, L2Dsr, Ipip, Gue] {
        for version in [V4, V6] {
            ways.push(Way::new(mode, version));
        }
    }
    let mixed = |mode: ForwardingMode, version, backends| Way {
        backends,
        ..Way::new(mode, version)
    };
    ways.extend([mixed(Ipip, V4, V6), mixed(Ipip, V6, V4)]);
    ways.push(Way { udp: true, ..IPIP });
    ways
}

fn established() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in ways() {
        for (flows_log2, flows) in FLOWS {
            let name = format!("{}, {flows}", way.name());
            let traffic = Traffic::new(way.version, flows_log2);
            let mut case = Case::forwarded(name, way, traffic);
            if way.mode == Nat {
                case.setup.flows_log2 = flows_log2.max(FEW_FLOWS_LOG2);
            }
            let budget = match (way.mode, flows_log2) {
                (Nat, 0) => Some(2.5),
                (Nat, MANY_FLOWS_LOG2) => Some(6.0),
                (Ipip, 0) => Some(1.4),
                (Ipip, _) => Some(1.6),
                _ => None,
            };
            cases.push(match budget {
                Some(at_most) => case.within(at_most),
                None => case,
            });
        }
    }
    cases
}

fn replies() -> Vec<Case> {
    let mut cases = Vec::new();
    for version in [V4, V6] {
        for (flows_log2, flows) in FLOWS {
            let way = Way::new(Nat, version);
            let name = format!("nat{} reply, {flows}", version.suffix());
            let traffic = Traffic::replies(version, flows_log2);
            let mut case = Case::forwarded(name, way, traffic).reason(Reason::Replied);
            case.setup.flows_log2 = flows_log2.max(FEW_FLOWS_LOG2);
            cases.push(match flows_log2 {
                0 => case.within(2.5),
                MANY_FLOWS_LOG2 => case.within(6.0),
                _ => case,
            });
        }
    }
    cases
}

/// Each packet starts a flow; in `nat` it pushes an older one out of the half-open table.
fn opening() -> Vec<Case> {
    let syn = |name: &str, way, traffic| {
        Case::forwarded(name.into(), way, traffic).reason(Reason::NewFlow)
    };
    let flood = |way: Way| {
        let name = format!("{}, SYN flood, 1M sources", way.name());
        syn(&name, way, Traffic::flood(way.version))
    };
    vec![
        syn("nat, new flow each", NAT, Traffic::new_flows(V4)),
        syn("SYN flood, 1M sources", NAT, Traffic::flood(V4)),
        syn("SYN flood, one port", NAT, Traffic::flood_of_one_port(V4)),
        flood(IPIP)
            .within(1.6)
            .beside("steady", "ipip, 1M flows", Some(1.1)),
        flood(Way::new(Ipip, V6))
            .within(1.6)
            .beside("steady", "ipip v6, 1M flows", Some(1.1)),
    ]
}

/// Slots in transition and settling, flows that are in the exception table and flows that are not
/// and do not get in.
fn changing() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in ways() {
        if way.mode == Nat {
            continue;
        }
        let all = if way == IPIP { FLOWS.len() } else { 1 };
        for (flows_log2, flows) in FLOWS.into_iter().take(all) {
            cases.extend(changing_with(way, flows_log2, flows));
        }
    }
    let name = "ipip in transition, SYN flood, 1M sources".to_owned();
    let mut flood = Case::forwarded(name, IPIP, Traffic::flood(V4)).reason(Reason::NotEntered);
    flood.slots = SlotState::Transition;
    cases.push(flood);
    cases
}

fn changing_with(way: Way, flows_log2: u32, flows: &str) -> Vec<Case> {
    let entered = Traffic::new(way.version, flows_log2);
    let strangers = entered.sent_by_strangers();
    let case = |state: &str, traffic, slots, reason| {
        let name = format!("{} {state}, {flows}", way.name());
        let mut case = Case::forwarded(name, way, traffic).reason(reason);
        case.setup.flows_log2 = flows_log2.max(FEW_FLOWS_LOG2);
        case.slots = slots;
        case
    };
    let (transition, settling) = (SlotState::Transition, SlotState::Settling);
    vec![
        case(
            "in transition, entered",
            entered,
            transition,
            Reason::Forwarded,
        ),
        case("in transition", strangers, transition, Reason::NotEntered),
        case("settling, entered", entered, settling, Reason::Forwarded),
        case("settling", strangers, settling, Reason::Forwarded),
    ]
}

/// Many services and many backends.
fn many() -> Vec<Case> {
    let mut cases = Vec::new();
    let sized = |services, backends| Setup {
        services,
        backends,
        ..Setup::only(IPIP)
    };
    for (setup, what) in [
        (sized(64, 16), "64 services"),
        (sized(10_000, 2), "10k services"),
    ] {
        for (flows_log2, flows) in FLOWS {
            let name = format!("ipip, {what}, {flows}");
            let traffic = Traffic::new(V4, flows_log2).to_services(setup.services);
            let case = Case::forwarded(name, IPIP, traffic).beside(
                "1 service",
                &format!("ipip, {flows}"),
                (what == "10k services").then_some(1.3),
            );
            let case = Case { setup, ..case };
            cases.push(match (what, flows_log2) {
                (_, 0) => case.within(1.4),
                ("64 services", _) => case.within(1.6),
                _ => case,
            });
        }
    }
    for (backends, what) in [
        (2, "2 backends"),
        (100, "100 backends"),
        (10_000, "10k backends"),
    ] {
        for (flows_log2, flows) in FLOWS {
            let name = format!("ipip, {what}, {flows}");
            let mut case = Case::forwarded(name, IPIP, Traffic::new(V4, flows_log2));
            case.setup = sized(1, backends);
            cases.push(if backends == 2 {
                case
            } else {
                case.beside(
                    "2 backends",
                    &format!("ipip, 2 backends, {flows}"),
                    Some(1.3),
                )
            });
        }
    }
    let name = "ipip, everything configured, 1 flow".to_owned();
    let case =
        Case::forwarded(name, IPIP, Traffic::new(V4, 0)).beside("only ipip", "ipip, 1 flow", None);
    let setup = Setup::of(Configured::Everything(IPIP));
    cases.push(Case { setup, ..case });
    cases
}

fn not_ours() -> Vec<Case> {
    let passed = |name: &str, setup, traffic: Traffic, at_most| {
        let floor = Goal {
            label: "parse",
            case: PARSE[place(traffic.version)].into(),
            at_most,
        };
        Case {
            setup,
            action: action::PASS,
            reason: Some(Reason::NotForService),
            grows: false,
            goals: vec![floor],
            ..Case::forwarded(name.into(), NAT, traffic)
        }
    };
    let elsewhere = |version| Traffic::new(version, FEW_FLOWS_LOG2).to(Who::Elsewhere, PORT);
    let nothing = Setup::of(Configured::Nothing);
    let everything = Setup::of(Configured::Everything(IPIP));
    let nat = Setup::only(NAT);
    let to_instance = elsewhere(V4).to(Who::Instance, 22);
    let budget = Some(1.5);
    vec![
        passed("nothing configured", nothing, elsewhere(V4), budget),
        passed("not for us", nat, elsewhere(V4), budget),
        passed(
            "not for us, only ipip",
            Setup::only(IPIP),
            elsewhere(V4),
            budget,
        ),
        passed(
            "not for us, only ipip v6",
            Setup::only(Way::new(Ipip, V6)),
            elsewhere(V6),
            budget,
        ),
        passed(
            "not for us, everything configured",
            everything,
            elsewhere(V4),
            budget,
        ),
        passed(
            "not for us v6, everything configured",
            everything,
            elsewhere(V6),
            budget,
        ),
        passed("not for us, to nat's address", nat, to_instance, None),
    ]
}
