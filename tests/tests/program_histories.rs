//! A sample of the random histories through the real program.

#![forbid(unsafe_code)]

use evenkeel_tests::history::{Pool, kernel};
use testkit::history::{COURSE, Course, Tally, run};
use testkit::random::{SEED_VARIABLE, seed};

const HISTORIES: u64 = 100;

#[test]
fn no_flow_whose_backend_lives_moves_in_the_kernel() {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let course = Course {
        ticks: 150,
        flood: 30,
        ..COURSE
    };
    let pool = Pool::default();
    let mut tally = Tally::default();
    for history in 0..HISTORIES {
        let outcome = run(seed.wrapping_add(history), course, &|terms| {
            kernel(&pool, terms)
        });
        tally.add(&outcome.unwrap_or_else(|broken| panic!("{SEED_VARIABLE}={seed}: {broken}")));
    }
    println!("{tally:#?}");
    assert!(tally.unsteady > 1_000 && tally.refused > 0, "{tally:?}");
}
