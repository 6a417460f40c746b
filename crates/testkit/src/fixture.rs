//! Fixtures: packets in, and what is expected of each, byte for byte.
//!
//! They are text, in `fixtures/`, about the services of [`crate::world`]:
//!
//! ```text
//! # A comment.
//! fixture a SYN starts a flow             its name: the sentence it proves
//! limits flows 1 exceptions 1             optional: sizes of the tables of established flows and
//!                                         of exceptions
//! limits rejections 0                     and how many packets may be refused
//! in                                      a frame in hex, in as many lines as are good to read
//!   deadbeef0010 deadbeef0001 0800
//!   45000028 00014000 400626c5 0a000001 0a00000a
//!   9c401f40 000003e8 00000000 5002ffff dc6f0000
//! out new_flow service 0 backend 0 interface 1
//!   deadbeef0002 deadbeef0010 0800       the frame afterwards; left out: the same as before
//!   ...
//! flows established 0 half_open 2         entries of the tables by now: two for each flow
//! ```
//!
//! The packets of a fixture pass in order; each fixture starts with empty tables.

use std::fmt::Write as _;

use abi::NO_INDEX;
use abi::reason::Reason;

use crate::outcome::Outcome;

/// The shortest frame that `BPF_PROG_TEST_RUN` takes.
pub const SHORTEST_TEST_RUN: usize = 14;
/// Flows and exceptions that there is room for, unless a fixture says otherwise.
const DEFAULT_LIMITS: Limits = Limits {
    flows: 1024,
    exceptions: 1024,
    rejections: u32::MAX,
};

/// Name and text of each of these.
macro_rules! files {
    ($($name:literal,)+) => {
        &[$(($name, include_str!(concat!("../fixtures/", $name))),)+]
    };
}

/// All fixtures: file name and text.
const FILES: &[(&str, &str)] = files![
    "parse.txt",
    "parse_v6.txt",
    "classify.txt",
    "nat_tcp.txt",
    "nat_packet.txt",
    "nat_flows.txt",
    "nat_full.txt",
    "nat_udp.txt",
    "nat_v6.txt",
    "dnat.txt",
    "l2_dsr.txt",
    "ipip.txt",
    "gue.txt",
    "icmp.txt",
    "transition.txt",
    "quic.txt",
    "reject.txt",
];

/// A sequence of packets and what is expected of them.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The sentence it proves, with file and line.
    pub name: String,
    /// What there is room for.
    pub limits: Limits,
    /// In order.
    pub steps: Vec<Step>,
}

/// What there is room for, in the tables of each family, and what may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limits {
    /// Established flows.
    pub flows: u32,
    /// Exceptions.
    pub exceptions: u32,
    /// Packets refused while the clock stands still.
    pub rejections: u32,
}

/// One step of a fixture.
#[derive(Clone, Debug)]
pub enum Step {
    /// A packet.
    Packet {
        /// Line of the fixture's file.
        line: usize,
        /// The frame.
        input: Vec<u8>,
        /// What is to become of it.
        expected: Outcome,
    },
    /// A look at the tables.
    Flows {
        /// Line of the fixture's file.
        line: usize,
        /// Entries expected.
        expected: FlowCounts,
    },
}

/// Entries in the flow tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowCounts {
    /// Of established flows.
    pub established: usize,
    /// Of half-open flows.
    pub half_open: usize,
}

/// What fixtures are run against: the native data path, or the program in the kernel.
pub trait Subject {
    /// What becomes of a frame that comes in by [`crate::world::INTERFACE`].
    fn process(&mut self, frame: &[u8]) -> Outcome;
    /// Entries in the flow tables.
    fn flow_counts(&self) -> FlowCounts;
    /// The shortest frame it takes.
    fn shortest_frame(&self) -> usize;
}

/// All fixtures.
///
/// # Panics
/// If a file is not as it should be; the message has its name and the line.
#[must_use]
pub fn all() -> Vec<Fixture> {
    FILES
        .iter()
        .flat_map(|(file, text)| parse(file, text))
        .collect()
}

/// Runs a fixture; describes what was not as expected.
pub fn run(fixture: &Fixture, subject: &mut impl Subject) -> Result<(), String> {
    for step in &fixture.steps {
        let (line, found, wanted) = match step {
            Step::Packet { input, .. } if input.len() < subject.shortest_frame() => continue,
            Step::Packet {
                line,
                input,
                expected,
            } => {
                let found = subject.process(input);
                if found == *expected {
                    continue;
                }
                (line, describe(&found), describe(expected))
            }
            Step::Flows { line, expected } => {
                let found = subject.flow_counts();
                if found == *expected {
                    continue;
                }
                (line, format!("{found:?}\n"), format!("{expected:?}\n"))
            }
        };
        let name = &fixture.name;
        return Err(format!(
            "{name}, line {line}\nexpected: {wanted}found:    {found}"
        ));
    }
    Ok(())
}

fn describe(outcome: &Outcome) -> String {
    let mut text = outcome.reason.name().to_owned();
    for (word, index, none) in [
        ("service", outcome.service, NO_INDEX),
        ("backend", outcome.backend, NO_INDEX),
        ("interface", outcome.interface, 0),
    ] {
        if index != none {
            let _ = write!(text, " {word} {index}");
        }
    }
    for (index, byte) in outcome.frame.iter().enumerate() {
        let gap = match index {
            i if i % 16 == 0 => "\n    ",
            i if i % 4 == 0 => " ",
            _ => "",
        };
        let _ = write!(text, "{gap}{byte:02x}");
    }
    text.push('\n');
    text
}

/// The bytes that hex digits stand for; white space does not count.
///
/// # Panics
/// If there is anything else in it.
#[must_use]
pub fn parse_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("hex digits and white space only") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text:?}");
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn parse(file: &str, text: &str) -> Vec<Fixture> {
    let mut fixtures: Vec<Fixture> = Vec::new();
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let mut hex = String::new();
        while let Some((more, _)) = lines.next_if(|(next, _)| next.starts_with("  ")) {
            hex.push_str(more);
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "fixture" {
            fixtures.push(Fixture {
                name: format!("{rest} ({file}:{number})"),
                limits: DEFAULT_LIMITS,
                steps: Vec::new(),
            });
        } else if !word.is_empty() && word != "#" {
            let fixture = fixtures.last_mut().expect("a fixture's name comes first");
            parse_line(fixture, (word, rest), parse_hex(&hex), number)
                .unwrap_or_else(|| panic!("{file}:{number}: cannot make sense of {line:?}"));
        }
    }
    fixtures
}

fn parse_line(
    fixture: &mut Fixture,
    (word, rest): (&str, &str),
    bytes: Vec<u8>,
    line: usize,
) -> Option<()> {
    match word {
        "limits" => {
            let default = DEFAULT_LIMITS;
            fixture.limits = Limits {
                flows: number(rest, "flows").unwrap_or(default.flows),
                exceptions: number(rest, "exceptions").unwrap_or(default.exceptions),
                rejections: number(rest, "rejections").unwrap_or(default.rejections),
            };
        }
        "in" => fixture.steps.push(Step::Packet {
            line,
            input: bytes.clone(),
            expected: unchanged(Reason::Inconsistent, bytes),
        }),
        "out" => {
            let Some(Step::Packet { expected, .. }) = fixture.steps.last_mut() else {
                return None;
            };
            let name = rest.split(' ').next()?;
            expected.reason = Reason::named(name)?;
            expected.service = number(rest, "service").unwrap_or(NO_INDEX);
            expected.backend = number(rest, "backend").unwrap_or(NO_INDEX);
            expected.interface = number(rest, "interface").unwrap_or(0);
            if !bytes.is_empty() {
                expected.frame = bytes;
            }
        }
        "flows" => fixture.steps.push(Step::Flows {
            line,
            expected: FlowCounts {
                established: number(rest, "established")? as usize,
                half_open: number(rest, "half_open")? as usize,
            },
        }),
        _ => return None,
    }
    Some(())
}

fn unchanged(reason: Reason, frame: Vec<u8>) -> Outcome {
    Outcome {
        reason,
        service: NO_INDEX,
        backend: NO_INDEX,
        interface: 0,
        frame,
    }
}

/// The number behind `word`.
fn number(text: &str, word: &str) -> Option<u32> {
    let mut words = text.split(' ').skip_while(|w| *w != word);
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksums::{Checksum, check};

    #[test]
    fn golden_packets_keep_what_their_checksums_were() {
        let mut packets = 0;
        for fixture in all() {
            for step in &fixture.steps {
                if let Step::Packet {
                    line,
                    input,
                    expected,
                } = step
                {
                    let (before, after) = (check(input), check(&expected.frame));
                    let is_fine = |checksum| !matches!(checksum, Checksum::Wrong(_));
                    let is_in_tunnel = is_fine(after.ipv4)
                        && is_fine(after.transport)
                        && after.inner.as_deref() == Some(&before);
                    let is_answer = matches!(expected.reason, Reason::TooBig | Reason::Rejected)
                        && after.are_fine();
                    let name = &fixture.name;
                    assert!(
                        before == after || is_in_tunnel || is_answer,
                        "{name}, line {line}: {before:?}, {after:?}"
                    );
                    packets += 1;
                }
            }
        }
        assert!(packets > 150, "{packets}");
    }

    #[test]
    fn every_reason_that_packets_can_bring_about_has_a_fixture() {
        for reason in Reason::ALL {
            let has_it = all().iter().flat_map(|fixture| &fixture.steps).any(
                |step| matches!(step, Step::Packet { expected, .. } if expected.reason == *reason),
            );
            // Flow table full: the half-open table evicts, so only the kernel's allocator fails so.
            // No headroom: drivers leave more than any outer header takes.
            let has_none = matches!(
                reason,
                Reason::Inconsistent | Reason::FlowTableFull | Reason::NoHeadroom
            );
            assert_eq!(has_it, !has_none, "{}", reason.name());
        }
    }
}
