//! The results as a table and as JSON.

mod table;

use std::time::Duration;

use serde::Serialize;

use crate::cases::{Case, Goal, Kind};
use crate::measure::{Effort, Timing};
use crate::plane::Product;
use crate::traffic::Version;

/// What a program may take to load.
const LOAD_LIMIT: Duration = Duration::from_secs(1);

/// Everything measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    kernel: String,
    rounds: u32,
    packets: u32,
    /// What restoring and varying the packet takes, without the empty program.
    wrapper_ns: f64,
    /// The same for IPv6.
    wrapper_v6_ns: f64,
    /// What taking an outer header off again takes besides.
    undo_ns: f64,
    /// Mode `nat` over IPv4.
    program: Program,
    /// The same program with different things configured.
    configurations: Vec<Configuration>,
    cases: Vec<Row>,
}

#[derive(Clone, Debug, Serialize)]
struct Program {
    verified_instructions: u32,
    instructions: u32,
    machine_code_bytes: u32,
    load_ms: f64,
}

#[derive(Debug, Serialize)]
struct Configuration {
    name: &'static str,
    #[serde(flatten)]
    program: Program,
    /// Loaded within a second.
    met: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// With the object of `--against`, not this build's.
    other_object: bool,
    reason: Option<&'static str>,
    /// As measured, wrapper included.
    min_ns: f64,
    median_ns: f64,
    /// Without the wrapper: what the program takes, its call included.
    net_min_ns: f64,
    net_median_ns: f64,
    /// With the first that it is compared with.
    comparison: Option<Comparison>,
    /// With the others.
    further_comparisons: Vec<Comparison>,
}

#[derive(Clone, Debug, Serialize)]
struct Comparison {
    /// In short.
    floor: &'static str,
    /// The name of that case.
    case: String,
    ratio_min: f64,
    ratio_median: f64,
    /// The same with the empty program's time subtracted on both sides as well.
    ratio_min_without_call: f64,
    budget: Option<f64>,
    met: Option<bool>,
}

impl Report {
    /// From what was measured. `timings` are in the order of `cases`.
    pub(crate) fn new(
        cases: &[Case],
        timings: &[Timing],
        effort: Effort,
        products: &[(&'static str, Product)],
    ) -> Self {
        let configurations: Vec<Configuration> = products
            .iter()
            .map(|(name, product)| Configuration {
                name,
                program: Program::of(product),
                met: product.load_time < LOAD_LIMIT,
            })
            .collect();
        let program = configurations
            .iter()
            .find(|one| one.name.contains("nat"))
            .map_or_else(Program::none, |one| one.program.clone());
        let measured = Measured::new(cases, timings);
        Self {
            kernel: nix::sys::utsname::uname()
                .map(|name| name.release().to_string_lossy().into_owned())
                .unwrap_or_default(),
            rounds: effort.rounds,
            packets: effort.packets,
            wrapper_ns: measured.wrapper(Version::V4).min,
            wrapper_v6_ns: measured.wrapper(Version::V6).min,
            undo_ns: measured.undo().min,
            program,
            configurations,
            cases: measured.rows(),
        }
    }
}

impl Program {
    fn of(product: &Product) -> Self {
        Self {
            verified_instructions: product.facts.verified_instructions,
            instructions: product.facts.instructions,
            machine_code_bytes: product.facts.machine_code,
            load_ms: product.load_time.as_secs_f64() * 1e3,
        }
    }

    const fn none() -> Self {
        Self {
            verified_instructions: 0,
            instructions: 0,
            machine_code_bytes: 0,
            load_ms: f64::NAN,
        }
    }
}

/// Least and middle nanoseconds per packet.
#[derive(Clone, Copy, Debug)]
struct Span {
    min: f64,
    median: f64,
}

impl Span {
    const UNKNOWN: Self = Self {
        min: f64::NAN,
        median: f64::NAN,
    };

    fn less(self, other: Self) -> Self {
        Self {
            min: self.min - other.min,
            median: self.median - other.median,
        }
    }

    fn half(self) -> Self {
        Self {
            min: self.min / 2.0,
            median: self.median / 2.0,
        }
    }
}

struct Measured<'m>(Vec<(&'m Case, Span)>);

impl<'m> Measured<'m> {
    fn new(cases: &'m [Case], timings: &[Timing]) -> Self {
        let span = |timing: &Timing| Span {
            min: timing.min(),
            median: timing.median(),
        };
        Self(cases.iter().zip(timings.iter().map(span)).collect())
    }

    fn find(&self, is_meant: impl Fn(&Case) -> bool) -> Option<(&'m Case, Span)> {
        self.0.iter().find(|(case, _)| is_meant(case)).copied()
    }

    fn of(&self, kind: Kind, version: Version) -> Span {
        self.find(|case| case.kind == kind && case.traffic.version == version)
            .map_or(Span::UNKNOWN, |(_, span)| span)
    }

    fn pass(&self) -> Span {
        self.of(Kind::Pass, Version::V4)
    }

    /// Without the empty program.
    fn wrapper(&self, version: Version) -> Span {
        self.of(Kind::Wrapper, version).less(self.pass())
    }

    /// What the wrapper does besides where a packet was put into another: one move of the frame's
    /// start, and one of the three moves is the program's own.
    fn undo(&self) -> Span {
        let once = self.of(Kind::Move, Version::V4);
        self.of(Kind::MoveThrice, Version::V4).less(once).half()
    }

    /// Without the wrapper; the empty program has none.
    fn net(&self, case: &Case, span: Span) -> Span {
        if case.kind == Kind::Pass {
            return span;
        }
        let span = span.less(self.wrapper(case.traffic.version));
        if case.grows {
            span.less(self.undo())
        } else {
            span
        }
    }

    fn rows(&self) -> Vec<Row> {
        let row = |(case, span): &(&Case, Span)| {
            let net = self.net(case, *span);
            let comparisons = case
                .goals
                .iter()
                .filter_map(|goal| self.compare(goal, net, case.other_object));
            let mut comparisons: Vec<Comparison> = comparisons.collect();
            let further = comparisons.split_off(comparisons.len().min(1));
            Row {
                name: case.name.clone(),
                other_object: case.other_object,
                reason: case.reason.map(abi::reason::Reason::name),
                min_ns: span.min,
                median_ns: span.median,
                net_min_ns: net.min,
                net_median_ns: net.median,
                comparison: comparisons.pop(),
                further_comparisons: further,
            }
        };
        self.0.iter().map(row).collect()
    }

    /// Floors are always this build's.
    fn compare(&self, goal: &Goal, net: Span, other_object: bool) -> Option<Comparison> {
        let is_floor = |case: &Case| case.kind != Kind::Balance;
        let (case, span) = self.find(|case| {
            case.name == goal.case && (is_floor(case) || case.other_object == other_object)
        })?;
        let floor = self.net(case, span);
        let pass = self.pass().min;
        let ratio_min = net.min / floor.min;
        Some(Comparison {
            floor: goal.label,
            case: goal.case.clone(),
            ratio_min,
            ratio_median: net.median / floor.median,
            ratio_min_without_call: (net.min - pass) / (floor.min - pass),
            budget: goal.at_most,
            met: goal.at_most.map(|at_most| ratio_min <= at_most),
        })
    }
}
