//! The fixtures of `testkit`, natively. `tests/tests/program_fixtures.rs` runs them in the kernel.

#![forbid(unsafe_code)]

use evenkeel_datapath::FlowTable;
use testkit::fixture::{self, FlowCounts, Subject};
use testkit::outcome::{self, Outcome};
use testkit::tables::{Capacities, MemoryTables};
use testkit::world;

struct Native(MemoryTables);

impl Subject for Native {
    fn process(&mut self, frame: &[u8]) -> Outcome {
        outcome::process_with(&self.0, frame, world::INTERFACE, world::ROUTES)
    }

    fn flow_counts(&self) -> FlowCounts {
        let count = |table| self.0.flows(table).len() + self.0.flows_v6(table).len();
        FlowCounts {
            established: count(FlowTable::Established),
            half_open: count(FlowTable::HalfOpen),
        }
    }

    fn shortest_frame(&self) -> usize {
        0
    }
}

#[test]
fn every_fixture_gives_its_golden_packets_natively() {
    let mut failures = Vec::new();
    for fixture in fixture::all() {
        let capacities = Capacities {
            established: fixture.limits.flows as usize * 2,
            half_open: 64,
            exceptions: fixture.limits.exceptions as usize,
        };
        let mut content = world::content();
        content.settings.rejections_per_window = fixture.limits.rejections;
        let mut native = Native(MemoryTables::new(content, capacities));
        failures.extend(fixture::run(&fixture, &mut native).err());
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
