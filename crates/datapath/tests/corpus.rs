//! The fuzzers' corpus (`fuzz/`), without a fuzzer.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use testkit::random::{Random, SEED_VARIABLE, seed};

/// Runs all inputs of a target, and some variants of each.
fn replay(target: &str, run: fn(&[u8])) {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let mut random = Random::new(seed);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut inputs = 0;
    for entry in fs::read_dir(folder.join(target)).expect("the corpus is there") {
        let path = entry.expect("the corpus can be read").path();
        let input = fs::read(&path).expect("an input can be read");
        println!("{}", path.display());
        run(&input);
        for _ in 0..20 {
            let mut variant = input.clone();
            for _ in 0..1 + random.below(4) {
                if let Some(at) = variant
                    .len()
                    .checked_sub(1)
                    .map(|last| random.below(last + 1))
                {
                    variant[at] = random.number() as u8;
                }
            }
            run(&variant);
        }
        inputs += 1;
    }
    assert!(inputs > 10, "{inputs} inputs of {target}");
}

#[test]
fn frames_of_the_corpus_meet_the_fate_that_the_model_says() {
    replay("frame", testkit::fuzz::frame);
}

#[test]
fn sequences_of_the_corpus_meet_the_fate_that_the_model_says() {
    replay("sequence", testkit::fuzz::sequence);
}

#[test]
fn tunnels_of_the_corpus_are_taken_refused_or_left_alone() {
    replay("decap", testkit::fuzz::decapsulation);
}
