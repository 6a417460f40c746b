//! The data path does what the model says, whatever comes: services of every mode, family and
//! protocol, slots in all states, and packets of every kind, many of them damaged.

#![forbid(unsafe_code)]

use abi::reason::Reason;
use testkit::content_of::{content_of, flow_hash};
use testkit::every_mode;
use testkit::model::{Model, hex};
use testkit::outcome;
use testkit::random::{SEED_VARIABLE, seed};
use testkit::tables::{Capacities, MemoryTables};
use testkit::traffic::{Mix, Traffic};

/// Each is another instance, with slots and backends in other states.
const INSTANCES: u64 = 20;
const PACKETS: usize = 25_000;
/// Room for every flow.
const AMPLE: Capacities = Capacities {
    established: 1 << 16,
    half_open: 1 << 16,
    exceptions: 1 << 16,
};

/// Sends random packets through an instance; says how many met which reason.
fn compare(seed: u64, packets: usize, totals: &mut [u64; Reason::COUNT]) {
    let instance = every_mode::instance(seed, flow_hash(seed));
    let routes = instance.routes;
    let tables = MemoryTables::new(content_of(&instance, seed), AMPLE);
    let mut traffic = Traffic::new(Mix::everything(&instance, 48, 4), seed);
    let mut model = Model::new(instance);
    for index in 0..packets {
        let frame = traffic.frame();
        let found = outcome::process_with(&tables, &frame, every_mode::INTERFACE, routes);
        if let Err(difference) = model.judge(&frame, every_mode::INTERFACE, &found) {
            let frame = hex(&frame);
            panic!("{SEED_VARIABLE}={seed}, packet {index}:\n  {frame}\n{difference}");
        }
        totals[found.reason as usize] += 1;
        traffic.learn(frame, &found);
    }
}

#[test]
fn random_packets_meet_the_fate_that_the_model_says() {
    let first = seed();
    println!("{SEED_VARIABLE}={first}");
    let mut totals = [0; Reason::COUNT];
    for instance in 0..INSTANCES {
        compare(first.wrapping_add(instance), PACKETS, &mut totals);
    }
    for reason in Reason::ALL {
        let count = totals[*reason as usize];
        println!("{count:>8} {}", reason.name());
        // These need tables that are full, frames without headroom, or a bug.
        let is_for_other_tests = matches!(
            reason,
            Reason::ForwardedTableFull
                | Reason::NotEntered
                | Reason::FlowTableFull
                | Reason::NoHeadroom
                | Reason::Inconsistent
        );
        assert_eq!(count == 0, is_for_other_tests, "{}", reason.name());
    }
}
