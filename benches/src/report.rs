//! The results as a table and as JSON.

use std::fmt;

use serde::Serialize;

use crate::cases::{Case, Goal, Kind};
use crate::measure::{Effort, Timing};
use crate::plane::Product;

/// Everything measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    kernel: String,
    rounds: u32,
    packets: u32,
    /// What restoring and varying the packet takes, without the empty program.
    wrapper_ns: f64,
    program: Program,
    cases: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Program {
    verified_instructions: u32,
    instructions: u32,
    machine_code_bytes: u32,
    load_ms: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    /// With the object of `--against`, not this build's.
    other_object: bool,
    reason: Option<&'static str>,
    /// As measured, wrapper included.
    min_ns: f64,
    median_ns: f64,
    /// Without the wrapper: what the program takes, its call included.
    net_min_ns: f64,
    net_median_ns: f64,
    comparison: Option<Comparison>,
}

#[derive(Debug, Serialize)]
struct Comparison {
    floor: &'static str,
    ratio_min: f64,
    ratio_median: f64,
    /// The same with the empty program's time subtracted on both sides as well.
    ratio_min_without_call: f64,
    budget: Option<f64>,
    met: Option<bool>,
}

impl Row {
    fn label(&self) -> &'static str {
        if self.other_object {
            "  the other object"
        } else {
            self.name
        }
    }
}

impl Report {
    /// From what was measured. `timings` are in the order of `cases`.
    pub(crate) fn new(
        cases: &[Case],
        timings: &[Timing],
        effort: Effort,
        product: Product,
    ) -> Self {
        let measured = Measured { cases, timings };
        let (pass, wrapper) = (measured.floor(Kind::Pass), measured.floor(Kind::Wrapper));
        Self {
            kernel: nix::sys::utsname::uname()
                .map(|name| name.release().to_string_lossy().into_owned())
                .unwrap_or_default(),
            rounds: effort.rounds,
            packets: effort.packets,
            wrapper_ns: wrapper.min - pass.min,
            program: Program {
                verified_instructions: product.facts.verified_instructions,
                instructions: product.facts.instructions,
                machine_code_bytes: product.facts.machine_code,
                load_ms: product.load_time.as_secs_f64() * 1e3,
            },
            cases: measured.rows(),
        }
    }
}

/// Least and middle nanoseconds per packet.
#[derive(Clone, Copy, Debug)]
struct Span {
    min: f64,
    median: f64,
}

struct Measured<'m> {
    cases: &'m [Case],
    timings: &'m [Timing],
}

impl Measured<'_> {
    fn all(&self) -> impl Iterator<Item = (&Case, Span)> {
        self.cases.iter().zip(self.timings).map(|(case, timing)| {
            let (min, median) = (timing.min(), timing.median());
            (case, Span { min, median })
        })
    }

    fn floor(&self, kind: Kind) -> Span {
        let (min, median) = (f64::NAN, f64::NAN);
        self.all()
            .find(|(case, _)| case.kind == kind)
            .map_or(Span { min, median }, |(_, span)| span)
    }

    /// Without the wrapper; the empty program has none.
    fn net(&self, kind: Kind, span: Span) -> Span {
        let (pass, wrapper) = (self.floor(Kind::Pass), self.floor(Kind::Wrapper));
        if kind == Kind::Pass {
            return span;
        }
        Span {
            min: span.min - (wrapper.min - pass.min),
            median: span.median - (wrapper.median - pass.median),
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.all()
            .map(|(case, span)| {
                let net = self.net(case.kind, span);
                Row {
                    name: case.name,
                    other_object: case.other_object,
                    reason: case.reason.map(abi::reason::Reason::name),
                    min_ns: span.min,
                    median_ns: span.median,
                    net_min_ns: net.min,
                    net_median_ns: net.median,
                    comparison: case.goal.map(|goal| self.compare(goal, net)),
                }
            })
            .collect()
    }

    fn compare(&self, goal: Goal, net: Span) -> Comparison {
        let floor = self.net(goal.floor, self.floor(goal.floor));
        let pass = self.floor(Kind::Pass).min;
        let ratio_min = net.min / floor.min;
        Comparison {
            floor: match goal.floor {
                Kind::Parse => "parse",
                _ => "rewrite",
            },
            ratio_min,
            ratio_median: net.median / floor.median,
            ratio_min_without_call: (net.min - pass) / (floor.min - pass),
            budget: goal.at_most,
            met: goal.at_most.map(|at_most| ratio_min <= at_most),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nnanoseconds per packet, Linux {}, {} rounds of {} packets\n",
            self.kernel, self.rounds, self.packets
        )?;
        writeln!(
            f,
            "{:30}{:>8}{:>8}{:>8}{:>8}   ratio to floor      budget",
            "", "min", "median", "net min", "net med"
        )?;
        for row in &self.cases {
            write!(
                f,
                "{:30}{:8.1}{:8.1}{:8.1}{:8.1}",
                row.label(),
                row.min_ns,
                row.median_ns,
                row.net_min_ns,
                row.net_median_ns
            )?;
            if let Some(comparison) = &row.comparison {
                write!(f, "   {comparison}")?;
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "\nnet: without the wrapper, which restores and varies each packet ({:.1} ns), but with \
             the call\nof the program. In brackets: the ratio without the call on both sides. The \
             kernel's counters\nconfirm that the packets took the path meant.",
            self.wrapper_ns
        )?;
        writeln!(
            f,
            "\nthe product's program: {} instructions, {} verified, {} bytes of machine code, \
             loaded with its maps in {:.0} ms",
            self.program.instructions,
            self.program.verified_instructions,
            self.program.machine_code_bytes,
            self.program.load_ms
        )
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:5.2} x {:8}({:5.2})",
            self.ratio_min, self.floor, self.ratio_min_without_call
        )?;
        if let (Some(budget), Some(met)) = (self.budget, self.met) {
            write!(f, "{budget:5.1}  {}", if met { "met" } else { "MISSED" })?;
        }
        Ok(())
    }
}
