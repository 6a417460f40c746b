//! How the story is told: lines that fit 80 columns.

use std::io::Write;
use std::time::Duration;

use super::Style;
use super::picture::bar;
use super::story::Ending;
use crate::error::{Error, Result};
use crate::fetch::{Counts, HoldReport};

/// Width of the bar that two backends share.
const SHARED_BAR: usize = 20;

/// Tells it, and keeps what should not have been.
pub(super) struct Teller<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) style: Style,
    /// What was not as it has to be.
    pub(super) complaints: Vec<String>,
    chapters: usize,
}

impl<'a> Teller<'a> {
    pub(super) fn new(out: &'a mut dyn Write, style: Style) -> Self {
        Self {
            out,
            style,
            complaints: Vec::new(),
            chapters: 0,
        }
    }

    /// Text as it is.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        let written = self.out.write_all(text.as_bytes());
        written
            .and_then(|()| self.out.flush())
            .map_err(Error::io("write to standard output"))
    }

    /// What is going on, for those who wait.
    pub(super) fn progress(&mut self, text: &str) -> Result<()> {
        let text = self.style.faint(text);
        self.write(&format!("{text}\n"))
    }

    /// A title with a number.
    pub(super) fn chapter(&mut self, title: &str) -> Result<()> {
        self.chapters += 1;
        let title = self.style.bold(&format!("{}  {title}", self.chapters));
        self.write(&format!("\n  {title}\n"))
    }

    /// A line of a chapter.
    pub(super) fn fact(&mut self, text: &str) -> Result<()> {
        self.write(&format!("     {text}\n"))
    }

    /// A command that is run now.
    pub(super) fn command(&mut self, line: &str) -> Result<()> {
        let line = self.style.faint(&format!("$ {line}"));
        self.fact(&line)
    }

    /// Complains if this is not so.
    pub(super) fn expect(&mut self, so: bool, complaint: &str) -> Result<()> {
        if so {
            return Ok(());
        }
        self.complaints.push(complaint.to_owned());
        let text = self.style.bad(complaint);
        self.fact(&text)
    }

    /// What all of it cost.
    pub(super) fn sum_up(&mut self, ending: &Ending) -> Result<()> {
        let Ending { flowing, held, .. } = ending;
        let style = self.style;
        let verdict = |bad: usize, what: &str| match bad {
            0 => style.good(&format!("{bad:>4} {what}")),
            _ => style.bad(&format!("{bad:>4} {what}")),
        };
        let longest = |time: Duration| format!("longest {:>5} ms", time.as_millis());
        let lines = [
            format!(
                "requests        {:>6} sent  {:>6} answered  {}  {}",
                flowing.sent,
                flowing.answered,
                verdict(flowing.failed(), "failed"),
                longest(ending.longest_undisturbed),
            ),
            format!(
                "  a server dead {:>6}{:<37}{}",
                flowing.tries_repeated(),
                " tries failed and were repeated",
                longest(flowing.longest),
            ),
            format!(
                "connections     {:>6} held  {:>6} requests  {}  {}",
                held.opened,
                held.answered,
                verdict(held.broken.len(), "broken"),
                longest(Duration::from_micros(held.latency.max_us)),
            ),
        ];
        let title = style.bold("in all");
        self.write(&format!("\n  {title}\n\n    {}\n\n", lines.join("\n    ")))
    }
}

/// Who answered how many, as a bar that two servers share.
pub(super) fn split(counts: &Counts, servers: [&str; 2], style: Style) -> String {
    let [left, right] = servers;
    let of_all = |count| (count * 100 + counts.answered / 2) / counts.answered.max(1);
    let percent = of_all(counts.of(left));
    let filled = bar(counts.of(left), counts.answered, SHARED_BAR, style);
    let filled = filled.trim_end();
    let rest = SHARED_BAR - filled.chars().count();
    let cell = if style.blocks { "░" } else { "." };
    format!(
        "{left} {:>3} % {}{} {:>3} % {right}  {} requests, {} failed",
        percent,
        style.good(filled),
        style.second(&cell.repeat(rest)),
        // So that both are 100 together, however they are rounded.
        of_all(counts.answered) - percent,
        counts.sent,
        counts.failed(),
    )
}

/// Which held connections live, in a line.
pub(super) fn held(report: &HoldReport) -> String {
    let alive: Vec<String> = report
        .by_server
        .keys()
        .map(|name| format!("{} by {name}", report.alive.get(name).unwrap_or(&0)))
        .collect();
    let broken = match report.broken.len() {
        0 => "none broken".to_owned(),
        some => format!("{some} broken"),
    };
    format!(
        "{} connections held, {}: {broken}",
        report.opened,
        alive.join(", ")
    )
}

/// A time as a person reads it.
pub(super) fn time(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(h2: usize, h3: usize) -> Counts {
        let names = [("h2".to_owned(), h2), ("h3".to_owned(), h3)];
        Counts {
            sent: h2 + h3,
            answered: h2 + h3,
            by_server: names.into_iter().collect(),
            ..Counts::default()
        }
    }

    #[test]
    fn two_backends_share_a_bar() {
        let line = |h2, h3| split(&counts(h2, h3), ["h2", "h3"], Style::plain());
        let cases = [
            (99, 101, "h2  50 % ##########..........  50 % h3"),
            (100, 100, "h2  50 % ##########..........  50 % h3"),
            (0, 7, "h2   0 % .................... 100 % h3"),
            (7, 0, "h2 100 % ####################   0 % h3"),
            (0, 0, "h2   0 % ....................   0 % h3"),
        ];
        for (h2, h3, expected) in cases {
            assert!(line(h2, h3).starts_with(expected), "{}", line(h2, h3));
        }
        assert!(line(999_999, 999_999).chars().count() <= 75);
    }

    #[test]
    fn what_should_not_be_is_told_and_kept() {
        let mut out = Vec::new();
        let mut teller = Teller::new(&mut out, Style::plain());
        teller.chapter("a backend dies").unwrap();
        teller.expect(true, "all is lost").unwrap();
        teller.expect(false, "h3 got no request").unwrap();
        assert_eq!(teller.complaints, ["h3 got no request"]);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\n  1  a backend dies\n     h3 got no request\n");
    }

    #[test]
    fn the_sum_fits_80_columns_and_says_what_failed() {
        let mut flowing = counts(50_000, 50_000);
        flowing.sent += 12;
        flowing.longest = Duration::from_secs(12);
        let ending = Ending {
            flowing,
            longest_undisturbed: Duration::from_millis(7),
            held: HoldReport {
                opened: 20,
                answered: 123_456,
                ..HoldReport::default()
            },
        };
        let mut out = Vec::new();
        Teller::new(&mut out, Style::plain())
            .sum_up(&ending)
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        for part in [
            "12 failed  longest     7 ms",
            "0 broken",
            "longest 12000 ms",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
