//! Interleaved rounds, each checked against the kernel's counters.

use std::time::Duration;

use abi::reason::Reason;
use anyhow::{Context, bail, ensure};
use nix::time::{ClockId, clock_gettime};

use crate::cases::Case;
use crate::check;
use crate::plane::Planes;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Runs of each case.
    pub(crate) rounds: u32,
    /// Packets in a run.
    pub(crate) packets: u32,
}

/// Nanoseconds per packet of one case, a value for each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timing(Vec<f64>);

impl Timing {
    /// The least.
    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Runs every case once in each round. Timings are in the order of `cases`.
pub(crate) fn run(
    planes: &mut Planes,
    cases: &[Case],
    effort: Effort,
) -> anyhow::Result<Vec<Timing>> {
    let mut timings = vec![Timing::default(); cases.len()];
    // The first round warms up.
    for round in 0..=effort.rounds {
        eprint!("\rround {round} of {} ", effort.rounds);
        let first = round.wrapping_mul(effort.packets);
        for (case, timing) in cases.iter().zip(&mut timings) {
            let nanoseconds = run_once(planes, case, first, effort.packets)
                .with_context(|| format!("case \"{}\"", case.name))?;
            if round > 0 {
                timing.0.push(nanoseconds);
            }
        }
    }
    eprintln!();
    Ok(timings)
}

fn run_once(planes: &mut Planes, case: &Case, first: u32, packets: u32) -> anyhow::Result<f64> {
    let plane = planes.of(case)?;
    plane.set_slots(case.slots);
    let plane = &mut plane.data_plane;
    let frame = case.traffic.frame(first);
    let before = plane.reason_counters()?;
    let start = cpu_time()?;
    let outcome = plane.test_run_program(case.kind.program(), &frame, packets)?;
    let spent = cpu_time()? - start;
    let after = plane.reason_counters()?;
    ensure!(
        outcome.action == case.action,
        "expected: XDP action {}, found: {}",
        case.action,
        outcome.action
    );
    check_reasons(case, &before, &after, packets)?;
    ensure!(
        case.grows == (outcome.frame.len() > frame.len()),
        "expected: {} outer header, found: {} bytes that were {}",
        if case.grows { "an" } else { "no" },
        outcome.frame.len(),
        frame.len()
    );
    if case.reason.is_some() {
        check::frame(&outcome.frame)?;
    }
    Ok(spent.as_nanos() as f64 / f64::from(packets))
}

/// This thread's time on the CPU: whoever else runs on it is not counted. The kernel's own
/// measurement has whole nanoseconds only.
fn cpu_time() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// One packet in so many may meet another reason than the one meant: in a flood of SYNs, now and
/// then all ports tried for one are taken.
const STRAY: u64 = 10_000;

/// The packets must have met the reason meant, or none if the program does not count.
fn check_reasons(case: &Case, before: &[u64], after: &[u64], packets: u32) -> anyhow::Result<()> {
    let packets = u64::from(packets);
    let found: Vec<(Reason, u64)> = Reason::ALL
        .iter()
        .zip(before.iter().zip(after))
        .map(|(reason, (before, after))| (*reason, after - before))
        .collect();
    let total: u64 = found.iter().map(|(_, count)| count).sum();
    let meant = found
        .iter()
        .find(|(reason, _)| Some(*reason) == case.reason);
    let as_meant = match meant {
        Some((_, count)) => total == packets && packets - count <= packets / STRAY,
        None => total == 0,
    };
    if as_meant {
        return Ok(());
    }
    let counts: Vec<String> = found
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{} {count}", reason.name()))
        .collect();
    bail!(
        "expected: {packets} packets with reason {}, found: {}",
        case.reason.map_or("none", Reason::name),
        counts.join(", ")
    );
}
