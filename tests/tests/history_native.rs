//! Random histories of a service on the native data path, its maps filled and swept by the engine.

#![forbid(unsafe_code)]

use std::num::NonZero;
use std::thread;

use evenkeel_tests::history::native;
use testkit::history::{COURSE, Tally, run};
use testkit::random::{SEED_VARIABLE, seed};

const HISTORIES: u64 = 10_000;

/// Every `step`-th history.
fn histories(seed: u64, first: u64, step: u64) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for history in (first..HISTORIES).step_by(step as usize) {
        tally.add(&run(seed.wrapping_add(history), COURSE, &native)?);
    }
    Ok(tally)
}

#[test]
fn no_flow_whose_backend_lives_moves_unless_it_was_silent_for_the_window() {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || histories(seed, first, threads)))
            .collect();
        for worker in workers {
            let outcome = worker.join().expect("no history panics");
            tally.add(&outcome.unwrap_or_else(|broken| panic!("{SEED_VARIABLE}={seed}: {broken}")));
        }
    });
    println!("{tally:#?}");
    for count in [
        tally.unsteady,
        tally.refused,
        tally.moved,
        tally.died,
        tally.taken_over,
        tally.again,
    ] {
        assert!(count > HISTORIES, "the histories are too calm: {tally:?}");
    }
}
