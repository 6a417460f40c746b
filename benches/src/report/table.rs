//! For the reader.

use std::fmt;

use super::{Comparison, Report, Row};

impl Row {
    fn label(&self) -> &str {
        if self.other_object {
            "  the other object"
        } else {
            &self.name
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
            "{:44}{:>8}{:>8}{:>8}{:>8}   ratio to                     budget",
            "", "min", "median", "net min", "net med"
        )?;
        for row in &self.cases {
            write!(
                f,
                "{:44}{:8.1}{:8.1}{:8.1}{:8.1}",
                row.label(),
                row.min_ns,
                row.median_ns,
                row.net_min_ns,
                row.net_median_ns
            )?;
            for comparison in row.comparison.iter().chain(&row.further_comparisons) {
                write!(f, "   {comparison}")?;
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "\nnet: without the wrapper, which restores and varies each packet ({:.1} ns, IPv6 {:.1}; \
             {:.1} more to\ntake an outer header off), but with the call of the program. In brackets: \
             the ratio without the\ncall on both sides. The kernel's counters confirm that the packets \
             took the path meant.",
            self.wrapper_ns, self.wrapper_v6_ns, self.undo_ns
        )?;
        self.fmt_configurations(f)
    }
}

impl Report {
    fn fmt_configurations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:24}{:>10}{:>14}{:>16}{:>10}   budget 1 s",
            "the product's program", "verified", "instructions", "machine code", "loaded"
        )?;
        for one in &self.configurations {
            writeln!(
                f,
                "{:24}{:10}{:14}{:10} bytes{:7.0} ms   {}",
                one.name,
                one.program.verified_instructions,
                one.program.instructions,
                one.program.machine_code_bytes,
                one.program.load_ms,
                word(one.met)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:5.2} x {:11}({:6.2})",
            self.ratio_min, self.floor, self.ratio_min_without_call
        )?;
        match (self.budget, self.met) {
            (Some(budget), Some(met)) => write!(f, "{budget:5.1} {:6}", word(met)),
            _ => write!(f, "{:12}", ""),
        }
    }
}

const fn word(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
