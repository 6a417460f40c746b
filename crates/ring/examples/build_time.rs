//! Measures how long a ring takes to build, and how many slots move when its members change.
//!
//! `cargo run --release -p evenkeel-ring --example build_time [CHANGES [MEMBERS..]]`
//!
//! CHANGES is how many changes of each kind are averaged (32), MEMBERS the numbers of members.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use evenkeel_ring::{Length, Member, Ring, RingError, build};

/// How many times each ring is built to be timed, after one build that does not count.
const ROUNDS: u64 = 11;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let changes = arguments.next().map_or(Ok(32), |text| text.parse())?;
    let counts: Vec<usize> = arguments
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    if counts.is_empty() {
        print_build_times()?;
        print_moves(&[2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1_000], changes)?;
        print_moves_of_new_lengths(&[2, 8, 16, 64])?;
    } else {
        print_moves(&counts, changes)?;
    }
    Ok(())
}

/// How the weights of members vary.
#[derive(Clone, Copy)]
enum Weights {
    Equal,
    OneToTen,
    PowersOfTwo,
}

impl Weights {
    const ALL: [(Self, &str); 3] = [
        (Self::Equal, "equal"),
        (Self::OneToTen, "1 to 10"),
        (Self::PowersOfTwo, "1, 2, 4 .. 128"),
    ];

    /// Even, so that it can be halved.
    fn weight(self, member: u32) -> u32 {
        match self {
            Self::Equal => 2,
            Self::OneToTen => 2 * (1 + (member * 7) % 10),
            Self::PowersOfTwo => 2 << ((member * 3) % 8),
        }
    }

    /// Members with made-up keys.
    fn members(self, count: usize) -> Vec<Member> {
        (0..)
            .take(count)
            .map(|i| Member {
                key: u64::from(i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
                weight: self.weight(i),
            })
            .collect()
    }
}

fn print_build_times() -> Result<(), RingError> {
    println!("time to build, {ROUNDS} rounds, weights 1 to 10");
    println!(
        "{:>8} {:>9} {:>9} {:>10}",
        "members", "slots", "min ms", "median ms"
    );
    for (count, length) in [
        (1_000, Length::new(65_536)?),
        (3, Length::new(65_536)?),
        (8, Length::for_backends(8)),
        (100, Length::for_backends(100)),
        (1_000, Length::for_backends(1_000)),
        (10_000, Length::for_backends(10_000)),
    ] {
        let [min, median] = build_time(&Weights::OneToTen.members(count), length)?;
        println!("{count:>8} {:>9} {min:>9.3} {median:>10.3}", length.slots());
    }
    Ok(())
}

/// The least and the median time of a build in milliseconds, each round with a seed of its own.
fn build_time(members: &[Member], length: Length) -> Result<[f64; 2], RingError> {
    black_box(build(members, length, 0)?);
    let mut times: Vec<Duration> = Vec::new();
    for seed in 1..=ROUNDS {
        let start = Instant::now();
        black_box(build(black_box(members), length, seed)?);
        times.push(start.elapsed());
    }
    times.sort();
    Ok([times[0], times[times.len() / 2]].map(|time| time.as_secs_f64() * 1e3))
}

fn print_moves(counts: &[usize], changes: usize) -> Result<(), RingError> {
    println!(
        "\nslots that move beyond those that have to, in % of all: mean (greatest) of {changes} \
         changes\n(one that comes moves what one that goes moves)"
    );
    println!(
        "{:>8} {:>9} {:>15} {:>14} {:>14} {:>14}",
        "members", "slots", "weights", "one goes", "weight x 2", "weight / 2"
    );
    for &count in counts {
        let mut lengths = vec![Length::for_backends(count), Length::new(65_536)?];
        lengths.dedup();
        for length in lengths {
            for (weights, name) in Weights::ALL {
                let members = weights.members(count);
                println!(
                    "{count:>8} {:>9} {name:>15} {:>14} {:>14} {:>14}",
                    length.slots(),
                    moved_needlessly(&members, length, changes, |_| 0)?,
                    moved_needlessly(&members, length, changes, |weight| weight * 2)?,
                    moved_needlessly(&members, length, changes, |weight| weight / 2)?,
                );
            }
        }
    }
    Ok(())
}

/// What moves needlessly when the weight of one member changes: each time of another member, under
/// another seed. Mean and greatest, in percent of all slots.
fn moved_needlessly(
    members: &[Member],
    length: Length,
    changes: usize,
    change: fn(u32) -> u32,
) -> Result<String, RingError> {
    let (mut sum, mut greatest) = (0.0, 0.0_f64);
    for (seed, at) in (0..).zip((0..members.len()).cycle().take(changes)) {
        let before = build(members, length, seed)?;
        let mut members = members.to_vec();
        members[at].weight = change(members[at].weight);
        let after = build(&members, length, seed)?;
        let needed = before.quotas()[at].abs_diff(after.quotas()[at]);
        let needless = moved(&before, &after) - percent(needed as usize, length);
        sum += needless;
        greatest = greatest.max(needless);
    }
    Ok(format!("{:.2} ({greatest:.2})", sum / changes as f64))
}

fn print_moves_of_new_lengths(counts: &[usize]) -> Result<(), RingError> {
    println!("\nslots that move from a doubled ring to one built with its length, in % of all");
    println!("{:>8} {:>9} {:>9}", "members", "slots", "move");
    for &count in counts {
        let members = Weights::Equal.members(count);
        let ring = build(&members, Length::for_backends(count), 1)?;
        if let Some(doubled) = ring.doubled() {
            let built = build(&members, doubled.length(), 1)?;
            let slots = doubled.length().slots();
            println!("{count:>8} {slots:>9} {:>9.1}", moved(&doubled, &built));
        }
    }
    Ok(())
}

/// How many slots have different owners, in percent of all.
fn moved(before: &Ring, after: &Ring) -> f64 {
    let pairs = before.owners().iter().zip(after.owners());
    percent(
        pairs.filter(|(before, after)| before != after).count(),
        after.length(),
    )
}

fn percent(slots: usize, length: Length) -> f64 {
    100.0 * slots as f64 / f64::from(length.slots())
}
