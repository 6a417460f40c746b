//! The real program, run on single frames, beside the native data path with the same contents.

use std::collections::BTreeMap;

use abi::flow::{FlowKeyV4, FlowV4};
use abi::reason::Action;
use engine::dataplane::{DataPlane, FlowTable, action};
use engine::desired::Desired;
use engine::directory::Directory;
use engine::image::{self, Image};
use testkit::content::{self, Content};
use testkit::fixture::{FlowCounts, SHORTEST_TEST_RUN, Subject};
use testkit::outcome::Outcome;
use testkit::world::INTERFACE;

/// The program in the kernel.
#[derive(Debug)]
pub struct Program(pub DataPlane);

impl Program {
    /// Loads it with `image`.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn load(desired: &Desired, image: &Image) -> Self {
        let mut plane = DataPlane::load(desired, image, true)
            .unwrap_or_else(|error| panic!("needs root and a kernel with XDP test runs: {error}"));
        plane.write(image).expect("the maps have room");
        Self(plane)
    }

    /// All entries of a flow table.
    #[must_use]
    pub fn flows(&self, table: FlowTable) -> BTreeMap<FlowKeyV4, FlowV4> {
        let mut flows = BTreeMap::new();
        self.0
            .for_each_flow(table, |key, flow| {
                flows.insert(*key, *flow);
            })
            .expect("a flow table can be read");
        flows
    }

    /// Empties both flow tables.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn forget_flows(&self) {
        for table in [FlowTable::Established, FlowTable::HalfOpen] {
            for key in self.flows(table).keys() {
                self.0
                    .remove_flow(table, key)
                    .expect("a flow can be removed");
            }
        }
    }
}

impl Subject for Program {
    fn process(&mut self, frame: &[u8]) -> Outcome {
        let run = self.0.test_run(frame, 1).expect("a test run");
        let report = self.0.last_report().expect("a report");
        let outcome = Outcome::of_report(&report, run.frame);
        let expected: &[u32] = match outcome.reason.action() {
            Action::Pass => &[action::PASS],
            Action::Drop => &[action::DROP],
            Action::Forward if outcome.interface == INTERFACE => &[action::TX],
            // The devmap has no interface: nothing is attached in a test run.
            Action::Forward => &[action::DROP, action::REDIRECT],
        };
        assert!(
            expected.contains(&run.action),
            "{:?} led to XDP action {}",
            outcome.reason,
            run.action
        );
        outcome
    }

    fn flow_counts(&self) -> FlowCounts {
        FlowCounts {
            established: self.flows(FlowTable::Established).len(),
            half_open: self.flows(FlowTable::HalfOpen).len(),
        }
    }

    fn shortest_frame(&self) -> usize {
        SHORTEST_TEST_RUN
    }
}

/// What the native data path gets, to do as the program does.
#[must_use]
pub fn content_of(desired: &Desired, image: &Image) -> Content {
    Content {
        directory: content::Directory {
            buckets: image.directory.buckets.clone(),
            seed: image.directory.seed,
            log2: image.directory.log2,
        },
        services: image.services.clone(),
        slots: image.slots.clone(),
        backends: image.backends.clone(),
        ..Content::new(image::settings(desired, true))
    }
}

/// The reverse of [`content_of`].
#[must_use]
pub fn image_of(content: &Content) -> Image {
    Image {
        directory: Directory {
            buckets: content.directory.buckets.clone(),
            seed: content.directory.seed,
            log2: content.directory.log2,
        },
        services: content.services.clone(),
        backends: content.backends.clone(),
        slots: content.slots.clone(),
    }
}
