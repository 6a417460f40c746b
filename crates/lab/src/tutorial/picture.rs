//! The picture of an ordinary day: who is where, who got what, how long it took.

use std::fmt;

use super::Style;
use crate::fetch::{Latency, Summary};
use crate::topology::{Role, Topology};

/// Width of a full bar.
const BAR: usize = 36;
/// Width of a host's column; a MAC address has 17 characters.
const COLUMN: usize = 18;

/// Everything that is in the picture; `Display` draws it, at most 80 columns wide.
#[derive(Debug)]
pub struct Picture<'a> {
    /// The hosts.
    pub topology: &'static Topology,
    /// The service's port.
    pub port: u16,
    /// Requests through the load balancer.
    pub balanced: &'a Summary,
    /// Requests to the first backend directly.
    pub direct: &'a Summary,
    /// Colours or not.
    pub style: Style,
}

/// A bar for `count` of `total`, `width` cells long when it is all of them.
#[must_use]
pub fn bar(count: usize, total: usize, width: usize, style: Style) -> String {
    let filled = (count * width + total / 2)
        .checked_div(total)
        .unwrap_or(0)
        .min(width);
    // Something is not nothing, however little.
    let filled = if count > 0 { filled.max(1) } else { 0 };
    let cell = if style.blocks { "█" } else { "#" };
    cell.repeat(filled) + &" ".repeat(width - filled)
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hosts(f)?;
        self.shares(f)?;
        self.times(f)
    }
}

impl Picture<'_> {
    fn title(&self, f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
        writeln!(f, "  {}\n", self.style.bold(text))
    }

    fn hosts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.title(f, self.topology.about)?;
        let columns: Vec<[String; 4]> = self
            .topology
            .hosts
            .iter()
            .map(|host| {
                let interface = host.interfaces.first();
                [
                    host.name.to_owned(),
                    interface.map_or_else(String::new, |i| i.address.address.to_string()),
                    interface.map_or_else(String::new, |i| i.mac.to_string()),
                    interface.map_or_else(String::new, |i| i.name.to_owned()),
                ]
            })
            .collect();
        for row in 0..4 {
            let cells = columns.iter().filter_map(|column| column.get(row));
            let line: String = cells.map(|cell| format!("{cell:^COLUMN$}")).collect();
            writeln!(f, "  {}", line.trim_end())?;
        }
        let wires = format!("{:^COLUMN$}", "|").repeat(columns.len());
        writeln!(f, "  {}", wires.trim_end())?;
        let wire = if self.style.blocks { "─" } else { "-" };
        let plug = if self.style.blocks { "┴" } else { "+" };
        let side = (COLUMN - 1) / 2;
        let port = wire.repeat(side) + plug + &wire.repeat(COLUMN - 1 - side);
        writeln!(
            f,
            "  {}  {}\n",
            port.repeat(columns.len()),
            self.topology.bridges.join(" ")
        )
    }

    fn shares(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            requests,
            answered,
            failed,
            by_server,
            failures,
            ..
        } = self.balanced;
        let url = format!("http://{}:{}/", self.topology.vip, self.port);
        self.title(
            f,
            &format!("{requests} requests to {url}, a new connection for each"),
        )?;
        for backend in self.topology.with_role(Role::Backend) {
            let count = by_server.get(backend.name).copied().unwrap_or(0);
            let percent = (count * 100).checked_div(*answered).unwrap_or(0);
            let bar = self.style.good(&bar(count, *requests, BAR, self.style));
            let address = backend.address().to_string();
            writeln!(
                f,
                "    {:<8} {address:<12} {bar} {count:>5} {percent:>4} %",
                backend.name
            )?;
        }
        if *failed > 0 {
            let bar = self.style.bad(&bar(*failed, *requests, BAR, self.style));
            writeln!(f, "    {:<21} {bar} {failed:>5}", "failed")?;
            for (reason, count) in failures {
                writeln!(f, "      {count} x {reason}")?;
            }
        }
        writeln!(f)
    }

    fn times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["p50", "p90", "p99", "max"]
            .map(|name| format!("{name:>11}"))
            .concat();
        let title = format!("{:<26}{names}", "time for a request");
        writeln!(f, "  {}", self.style.bold(&title))?;
        for (name, summary) in [
            ("through the load balancer", self.balanced),
            ("directly", self.direct),
        ] {
            let Latency {
                p50_us,
                p90_us,
                p99_us,
                max_us,
            } = summary.latency;
            let cells = [p50_us, p90_us, p99_us, max_us].map(|us| format!("{:>11}", time(us)));
            writeln!(
                f,
                "    {name:<25}{}",
                cells.concat().get(1..).unwrap_or_default()
            )?;
        }
        Ok(())
    }
}

/// The counters, below a title; not indented, because they are 80 columns wide as they are.
pub(super) fn status(text: &str, style: Style) -> String {
    let title = style.bold("counters of the data plane");
    format!("  {title}\n\n{}\n", text.trim_end())
}

/// Microseconds as a person reads them.
fn time(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} us"),
        10_000..10_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::TUTORIAL;
    use std::time::Duration;

    fn summary(by_server: &[(&str, usize)], failed: usize) -> Summary {
        let answered = by_server.iter().map(|(_, count)| count).sum();
        Summary {
            requests: answered + failed,
            answered,
            failed,
            by_server: by_server
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            failures: [("connect: timed out".to_owned(), failed)]
                .into_iter()
                .collect(),
            latency: Latency::of((1..=100).map(|n| Duration::from_micros(n * n * 20))),
            elapsed_ms: 30,
        }
    }

    fn drawn(style: Style) -> String {
        Picture {
            topology: &TUTORIAL,
            port: 8000,
            balanced: &summary(&[("h2", 51), ("h3", 47)], 2),
            direct: &summary(&[("h2", 100)], 0),
            style,
        }
        .to_string()
    }

    #[test]
    fn bars_are_in_proportion_and_never_too_long() {
        let bar = |count, total| bar(count, total, 10, Style::plain()).trim_end().len();
        let cases = [
            ((0, 100), 0),
            ((1, 1000), 1),
            ((50, 100), 5),
            ((100, 100), 10),
            ((9, 3), 10),
            ((0, 0), 0),
        ];
        for ((count, total), cells) in cases {
            assert_eq!(bar(count, total), cells, "{count} of {total}");
        }
    }

    #[test]
    fn the_picture_fits_80_columns_and_has_everything() {
        for blocks in [false, true] {
            let text = drawn(Style {
                colour: false,
                blocks,
            });
            assert!(
                text.lines().all(|line| line.chars().count() <= 80),
                "{text}"
            );
            for part in [
                "10.0.0.10",
                "de:ad:be:ef:00:03",
                "veth6",
                "51",
                "47",
                "timed out",
            ] {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        assert!(!drawn(Style::plain()).contains('\x1b'));
        assert!(
            drawn(Style {
                colour: true,
                blocks: false
            })
            .contains("\x1b[32m")
        );
    }

    #[test]
    fn times_are_readable() {
        let cases = [
            (0, "0 us"),
            (9_999, "9999 us"),
            (10_000, "10 ms"),
            (12_000_000, "12 s"),
        ];
        for (us, text) in cases {
            assert_eq!(time(us), text);
        }
    }
}
