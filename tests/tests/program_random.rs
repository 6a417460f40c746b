//! Random and damaged packets of every kind through the real program, the native data path and the
//! model: whatever comes, all three do the same.

#![forbid(unsafe_code)]

use abi::family::{Family, V4, V6};
use abi::flow::Flow as _;
use abi::reason::Reason;
use datapath::FlowTable;
use evenkeel_tests::bare_program::{BareProgram, FamilyMaps};
use testkit::content_of::{content_of, flow_hash};
use testkit::every_mode::{self, INTERFACE};
use testkit::fixture::Subject;
use testkit::frame::Routes;
use testkit::model::{Instance, Model, hex};
use testkit::outcome;
use testkit::random::{SEED_VARIABLE, seed};
use testkit::tables::{Capacities, MemoryTables};
use testkit::traffic::{Mix, Traffic};

/// Each is another instance, with slots and backends in other states.
const INSTANCES: u64 = 3;
const PACKETS: usize = 50_000;
/// The kernel's LRU table evicts before it is full; both sides get more room than is needed.
const AMPLE: Capacities = Capacities {
    established: 1 << 16,
    half_open: 1 << 17,
    exceptions: 1 << 16,
};

struct Sides {
    tables: MemoryTables,
    program: BareProgram,
    model: Model,
    traffic: Traffic,
}

impl Sides {
    fn new(instance: Instance, seed: u64) -> Self {
        let content = content_of(&instance, seed);
        Self {
            program: BareProgram::load(&content, &AMPLE),
            tables: MemoryTables::new(content, AMPLE),
            traffic: Traffic::new(Mix::everything(&instance, 48, 4), seed),
            model: Model::new(instance),
        }
    }

    /// Sends one packet through all three.
    fn step(&mut self, what: &str) {
        let frame = self.traffic.frame();
        let native = outcome::process_with(&self.tables, &frame, INTERFACE, Routes::Host);
        let in_kernel = self.program.process(&frame);
        assert!(
            in_kernel == native,
            "{what}: {}\nnative    {native:?}\nin kernel {in_kernel:?}",
            hex(&frame)
        );
        if let Err(difference) = self.model.judge(&frame, INTERFACE, &native) {
            panic!("{what}: {}\n{difference}", hex(&frame));
        }
        self.traffic.learn(frame, &native);
    }

    fn assert_tables_and_counters_are_equal(&self) {
        for table in [FlowTable::Established, FlowTable::HalfOpen] {
            self.assert_flows_are_equal::<V4>(table, self.tables.flows(table));
            self.assert_flows_are_equal::<V6>(table, self.tables.flows_v6(table));
        }
        let mut exceptions = self.program.exceptions::<V4>();
        exceptions
            .values_mut()
            .for_each(|entry| entry.last_seen = 0);
        assert_eq!(exceptions, self.tables.exceptions());
        let mut exceptions = self.program.exceptions::<V6>();
        exceptions
            .values_mut()
            .for_each(|entry| entry.last_seen = 0);
        assert_eq!(exceptions, self.tables.exceptions_v6());
        for index in 0..self.tables.content.backends.len() as u32 {
            let in_kernel = self.program.backend_counters(index);
            assert_eq!(
                in_kernel,
                self.tables.backend_counters(index),
                "backend {index}"
            );
        }
        let native: Vec<u64> = (Reason::ALL.iter())
            .map(|reason| self.tables.reason_count(*reason))
            .collect();
        assert_eq!(self.program.reason_counts(), native);
    }

    /// The native clock stands at 0; when a packet came is not compared.
    fn assert_flows_are_equal<F: FamilyMaps>(
        &self,
        table: FlowTable,
        native: std::collections::BTreeMap<F::FlowKey, <F as Family>::Flow>,
    ) {
        assert!(native.len() > 20, "{} entries in {table:?}", native.len());
        let mut in_kernel = self.program.flows::<F>(table);
        for flow in in_kernel.values_mut() {
            flow.state_mut().last_seen = 0;
        }
        assert_eq!(in_kernel, native, "{table:?}");
    }
}

#[test]
fn random_packets_meet_the_same_fate_natively_in_the_kernel_and_in_the_model() {
    let first = seed();
    println!("{SEED_VARIABLE}={first}");
    let mut totals = [0; Reason::COUNT];
    for number in 0..INSTANCES {
        let seed = first.wrapping_add(number);
        let mut instance = every_mode::instance(seed, flow_hash(seed));
        // Test runs have a network namespace without routes.
        instance.routes = Routes::Host;
        let mut sides = Sides::new(instance, seed);
        for index in 0..PACKETS {
            sides.step(&format!("packet {index} with {SEED_VARIABLE}={seed}"));
        }
        sides.assert_tables_and_counters_are_equal();
        for reason in Reason::ALL {
            totals[*reason as usize] += sides.tables.reason_count(*reason);
        }
    }
    assert_the_mix_is_rich(&totals);
}

/// Nearly every reason has come up, so that agreement means something.
fn assert_the_mix_is_rich(totals: &[u64; Reason::COUNT]) {
    for reason in Reason::ALL {
        let count = totals[*reason as usize];
        println!("{count:>8} {}", reason.name());
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
