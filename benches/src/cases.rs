//! What is measured.

use abi::reason::Reason;
use engine::dataplane::action;
use engine::desired::ForwardingMode::{self, Dnat, Gue, Ipip, L2Dsr, Nat};

use crate::plane::SlotState;
use crate::setup::{Configured, FEW_FLOWS_LOG2, MANY_FLOWS_LOG2, Setup, Way};
use crate::traffic::{PORT, Traffic, Version, Who};

use Version::{V4, V6};

/// Which program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The empty program.
    Pass,
    /// The wrapper alone.
    Wrapper,
    /// The wrapper, and the frame's start moved once.
    Move,
    /// Three times.
    MoveThrice,
    /// A floor.
    Floor(&'static str),
    /// The product's packet path.
    Balance,
}

impl Kind {
    /// The program in the object.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Pass => "bench_pass",
            Self::Wrapper => "bench_wrapper",
            Self::Move => "bench_move",
            Self::MoveThrice => "bench_move_thrice",
            Self::Floor(program) => program,
            Self::Balance => "bench_balance",
        }
    }
}

/// What a case is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// For the table.
    pub(crate) label: &'static str,
    /// The name of a floor or of another case.
    pub(crate) case: String,
    /// At most this many times what that takes (DESIGN: 7), if there is a budget.
    pub(crate) at_most: Option<f64>,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// For the reader; unique.
    pub(crate) name: String,
    /// The program that runs.
    pub(crate) kind: Kind,
    /// Its packets.
    pub(crate) traffic: Traffic,
    /// What the data plane is filled with.
    pub(crate) setup: Setup,
    /// And the state of its slots.
    pub(crate) slots: SlotState,
    /// The reason that every packet must meet, if the program counts reasons.
    pub(crate) reason: Option<Reason>,
    /// The XDP action of the last packet.
    pub(crate) action: u32,
    /// Whether the program puts something in front of the frame.
    pub(crate) grows: bool,
    /// With the object of `--against`, not this build's.
    pub(crate) other_object: bool,
    /// What to compare with.
    pub(crate) goals: Vec<Goal>,
}

/// Everything off, or only what one kind of service needs.
const IPIP: Way = Way::new(Ipip, V4);
const NAT: Way = Way::new(Nat, V4);

/// Configurations whose program is described, with their names.
pub(crate) fn configurations() -> Vec<(&'static str, Setup)> {
    let of = Setup::of;
    vec![
        ("nothing configured", of(Configured::Nothing)),
        ("only ipip, IPv4", of(Configured::Only(IPIP))),
        ("only nat, IPv4", of(Configured::Only(NAT))),
        ("everything configured", of(Configured::Everything(NAT))),
    ]
}

/// Floors, and the cases whose name contains `only` with those that they are compared with;
/// `twice`: once more with the other object.
pub(crate) fn select(only: &str, twice: bool) -> Vec<Case> {
    let all = balanced();
    let chosen: Vec<&Case> = all.iter().filter(|case| case.name.contains(only)).collect();
    let is_needed = |case: &Case| {
        let mut goals = chosen.iter().flat_map(|case| &case.goals);
        case.name.contains(only) || goals.any(|goal| goal.case == case.name)
    };
    let mut cases = floors();
    if chosen.is_empty() {
        return Vec::new();
    }
    for case in all.iter().filter(|case| is_needed(case)) {
        cases.push(case.clone());
        cases.extend(twice.then(|| Case {
            other_object: true,
            ..case.clone()
        }));
    }
    cases
}

const PARSE: [&str; 2] = ["floor: parse, pass", "floor: parse, pass v6"];
const REWRITE: [&str; 2] = [
    "floor: parse, rewrite, send",
    "floor: parse, rewrite, send v6",
];
const ENCAPSULATE: [[&str; 2]; 2] = [
    [
        "floor: parse, encapsulate",
        "floor: parse, encapsulate 4in6",
    ],
    [
        "floor: parse, encapsulate 6in4",
        "floor: parse, encapsulate v6",
    ],
];

fn floors() -> Vec<Case> {
    let floor = |name: &str, kind, version, action, grows| Case {
        name: name.into(),
        kind,
        traffic: Traffic::new(version, FEW_FLOWS_LOG2),
        setup: Setup::only(IPIP),
        slots: SlotState::Steady,
        reason: None,
        action,
        grows,
        other_object: false,
        goals: Vec::new(),
    };
    let program = Kind::Floor;
    let (pass, tx) = (action::PASS, action::TX);
    let [parse, parse_v6] = PARSE;
    let [rewrite, rewrite_v6] = REWRITE;
    let [[encap, encap_4in6], [encap_6in4, encap_v6]] = ENCAPSULATE;
    vec![
        floor("pass", Kind::Pass, V4, pass, false),
        floor("wrapper alone", Kind::Wrapper, V4, pass, false),
        floor("wrapper alone v6", Kind::Wrapper, V6, pass, false),
        floor("wrapper, one move", Kind::Move, V4, tx, true),
        floor("wrapper, three moves", Kind::MoveThrice, V4, tx, true),
        floor(parse, program("bench_parse"), V4, pass, false),
        floor(parse_v6, program("bench_parse_v6"), V6, pass, false),
        floor(rewrite, program("bench_rewrite"), V4, tx, false),
        floor(rewrite_v6, program("bench_rewrite_v6"), V6, tx, false),
        floor(encap, program("bench_encap"), V4, tx, true),
        floor(encap_4in6, program("bench_encap_4in6"), V4, tx, true),
        floor(encap_6in4, program("bench_encap_6in4"), V6, tx, true),
        floor(encap_v6, program("bench_encap_v6"), V6, tx, true),
    ]
}

fn balanced() -> Vec<Case> {
    let mut cases = established();
    cases.extend(replies());
    cases.extend(opening());
    cases.extend(changing());
    cases.extend(many());
    cases.extend(not_ours());
    cases
}

impl Case {
    /// Packets of established flows that are forwarded.
    fn forwarded(name: String, way: Way, traffic: Traffic) -> Self {
        Self {
            name,
            kind: Kind::Balance,
            traffic: if way.udp { traffic.udp() } else { traffic },
            setup: Setup::only(way),
            slots: SlotState::Steady,
            reason: Some(Reason::Forwarded),
            action: action::TX,
            grows: way.mode.encapsulates(),
            other_object: false,
            goals: vec![floor_of(way)],
        }
    }

    /// At most so many times the floor.
    fn within(mut self, at_most: f64) -> Self {
        for goal in self.goals.iter_mut().take(1) {
            goal.at_most = Some(at_most);
        }
        self
    }

    /// Compared with another case, too.
    fn beside(mut self, label: &'static str, case: &str, at_most: Option<f64>) -> Self {
        let case = case.to_owned();
        self.goals.push(Goal {
            label,
            case,
            at_most,
        });
        self
    }

    fn reason(self, reason: Reason) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }
}

fn place(version: Version) -> usize {
    usize::from(version == V6)
}

/// The floor that does what a kind of service cannot avoid.
fn floor_of(way: Way) -> Goal {
    let (label, names) = if way.mode.encapsulates() {
        ("encap", &ENCAPSULATE[place(way.version)])
    } else {
        ("rewrite", &REWRITE)
    };
    let name = names[place(way.backends)];
    Goal {
        label,
        case: name.into(),
        at_most: None,
    }
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
