//! What is measured.

mod balanced;

use abi::reason::Reason;
use engine::dataplane::action;
use engine::desired::ForwardingMode::{Ipip, Nat};

use crate::plane::SlotState;
use crate::setup::{Configured, FEW_FLOWS_LOG2, Setup, Way};
use crate::traffic::{Traffic, Version};

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

/// The kinds of service that most cases are about.
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
    let all = balanced::all();
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
