//! Nanoseconds per packet, by `BPF_PROG_TEST_RUN`, beside floors measured in the same run
//! (DESIGN: 7).

mod cases;
mod check;
mod measure;
mod plane;
mod report;
mod setup;
mod traffic;

use std::path::{Path, PathBuf};

use abi::limits::MAX_RING_LOG2;
use anyhow::Context;
use clap::Parser;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use measure::Effort;
use plane::{Planes, Product};
use report::Report;

/// Measures the packet path: each case beside floors, interleaved, on one CPU.
#[derive(Debug, Parser)]
#[command(name = "evenkeel-bench")]
struct Options {
    /// For a glance: 3 rounds of 100,000 packets instead of 11 of a million.
    #[arg(long)]
    quick: bool,
    /// Rounds; every case runs once in each.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Packets of a case in a round.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1000..))]
    packets: Option<u32>,
    /// Only cases (floors aside) whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Runs every case with this build of the bench object, too, for a comparison within one run.
    #[arg(long, value_name = "OBJECT")]
    against: Option<PathBuf>,
    /// Rings of so many slots instead of the default: a power of two.
    #[arg(long, value_name = "SLOTS", value_parser = ring_log2)]
    ring_slots: Option<u8>,
    /// The CPU to run on.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Where the results go.
    #[arg(long, default_value = "bench.json")]
    json: PathBuf,
}

impl Options {
    fn effort(&self) -> Effort {
        let (rounds, packets) = if self.quick {
            (3, 100_000)
        } else {
            (11, 1_000_000)
        };
        Effort {
            rounds: self.rounds.unwrap_or(rounds),
            packets: self.packets.unwrap_or(packets),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    pin(options.cpu)?;
    let effort = options.effort();
    let against = options.against.as_deref().map(read).transpose()?;
    let mut cases = cases::select(&options.only, against.is_some());
    for case in &mut cases {
        case.setup.ring_log2 = options.ring_slots;
    }
    anyhow::ensure!(
        !cases.is_empty(),
        "expected: part of a case's name; found: --only {}",
        options.only
    );
    eprintln!("loading the programs and entering the flows ...");
    let products = cases::configurations()
        .into_iter()
        .map(|(name, setup)| Ok((name, Product::load(&setup)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut planes = Planes::load(&cases, against.as_deref().unwrap_or_default())?;
    let timings = measure::run(&mut planes, &cases, effort)?;
    let report = Report::new(&cases, &timings, effort, &products);
    print!("{report}");
    let json = serde_json::to_string_pretty(&report)? + "\n";
    std::fs::write(&options.json, json)
        .with_context(|| format!("cannot write {}", options.json.display()))?;
    println!("\nwritten to {}", options.json.display());
    Ok(())
}

fn ring_log2(slots: &str) -> Result<u8, String> {
    let slots: u32 = slots.parse().map_err(|_| "expected a number")?;
    if slots.is_power_of_two() && slots <= 1 << MAX_RING_LOG2 {
        Ok(slots.ilog2().to_le_bytes()[0])
    } else {
        Err(format!(
            "expected a power of two up to {}",
            1 << MAX_RING_LOG2
        ))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Keeps this thread on one CPU: caches stay its own, and per-CPU counters are in one place.
fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)
        .with_context(|| format!("there is no CPU {cpu}"))?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on CPU {cpu}"))
}
