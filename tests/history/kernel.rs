//! The program in the kernel. Nobody can wait for its clock: instead of the time that passes in a
//! history, the table's entries are made older.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use abi::backend::Backend;
use abi::control::Settings;
use abi::exception::Exception;
use abi::family::{Family, V4};
use abi::pace::Pace;
use abi::quic::ServerKey;
use abi::reason::Action;
use abi::service::Service;
use abi::slot::Slot;
use engine::EngineError;
use engine::dataplane::{DataPlane, Found, action};
use engine::directory::Directory;
use engine::image::Image;
use engine::maps::{FlowTable, Maps, Room};
use testkit::history::Terms;
use testkit::outcome::Outcome;

use super::{Instance, World, loaded};

/// So many that the time that really passes while a history goes on does not count.
const JIFFIES_PER_TICK: u32 = 50_000;
/// Of the flow hash: it is fixed when a program is loaded.
const SEED: u64 = 7;

/// Programs by the terms they were loaded for; loading takes longer than a history.
pub type Pool = Rc<RefCell<HashMap<(u32, u32), Vec<DataPlane>>>>;

/// The maps in the kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Goes back to the pool.
    plane: Option<DataPlane>,
    pool: Pool,
    terms: Terms,
    /// Jiffies that the history's clock is ahead of the kernel's.
    ahead: u32,
    /// The kernel's jiffies when the history began.
    start: u32,
    /// Refusals that are no longer in the map.
    refused: u64,
}

/// An instance whose packets go through the program in the kernel.
#[must_use]
pub fn kernel(pool: &Pool, terms: &Terms) -> Instance<Kernel> {
    let terms = Terms {
        seed: SEED,
        ..*terms
    };
    let spare = pool.borrow_mut().get_mut(&kind(&terms)).and_then(Vec::pop);
    let mut plane = spare.unwrap_or_else(|| load(&terms));
    plane.set_exception_pace(&Pace::default()).expect("a pace");
    let start = plane.now().expect("a clock");
    let kernel = Kernel {
        plane: Some(plane),
        pool: Rc::clone(pool),
        terms,
        ahead: 0,
        start,
        refused: 0,
    };
    Instance::new(kernel, &terms)
}

fn kind(terms: &Terms) -> (u32, u32) {
    (terms.table, terms.pace)
}

fn load(terms: &Terms) -> DataPlane {
    let desired = loaded(terms);
    let image = Image::build(&desired, |_, _| None).expect("an image");
    DataPlane::load(&desired, &image, true)
        .unwrap_or_else(|error| panic!("needs root and a kernel with XDP test runs: {error}"))
}

impl Kernel {
    fn plane(&self) -> &DataPlane {
        self.plane.as_ref().expect("taken when dropped only")
    }

    fn plane_mut(&mut self) -> &mut DataPlane {
        self.plane.as_mut().expect("taken when dropped only")
    }

    fn entries(&self) -> Vec<(<V4 as Family>::FlowKey, Exception)> {
        let mut entries = Vec::new();
        self.plane()
            .for_each_exception::<V4>(&mut |key, exception| entries.push((*key, *exception)))
            .expect("the table can be read");
        entries
    }

    /// An entry with its time on the history's clock.
    fn shown(&self, exception: &Exception) -> Exception {
        Exception {
            last_seen: exception.last_seen.wrapping_add(self.ahead),
            ..*exception
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for (key, _) in self.entries() {
            let removed = self.plane_mut().remove_exception::<V4>(&key);
            removed.expect("an entry can be removed");
        }
        // The next history's restarts must not find this one's.
        let found = self.found();
        for (index, _) in (0..).zip(&found.services).take(16) {
            let cleared = self.plane_mut().write_service(index, &Service::default());
            cleared.expect("a service can be written");
        }
        for (index, _) in (0..).zip(&found.backends) {
            let cleared = self.plane_mut().write_backend(index, &Backend::default());
            cleared.expect("a backend can be written");
        }
        let planes = self.plane.take();
        let mut pool = self.pool.borrow_mut();
        pool.entry(kind(&self.terms)).or_default().extend(planes);
    }
}

impl World for Kernel {
    fn settings(&self) -> Settings {
        self.plane().settings()
    }

    fn found(&self) -> Found {
        self.plane().found().expect("maps can be read")
    }

    fn jiffies_per_tick(&self) -> u32 {
        JIFFIES_PER_TICK
    }

    fn allowance(&self) -> u32 {
        JIFFIES_PER_TICK / 2
    }

    fn set_time(&mut self, tick: u32) {
        let now = self.plane_mut().now().expect("a clock");
        let passed = now.wrapping_sub(self.start);
        let ahead = (tick * JIFFIES_PER_TICK).saturating_sub(passed);
        let older = ahead.wrapping_sub(self.ahead);
        for (key, exception) in self.entries() {
            let aged = Exception {
                last_seen: exception.last_seen.wrapping_sub(older),
                ..exception
            };
            let set = self.plane().set_exception::<V4>(&key, &aged);
            set.expect("an entry can be written");
        }
        self.ahead = ahead;
        self.refused = self.refusals().expect("a pace");
        let reset = self.plane().set_exception_pace(&Pace::default());
        reset.expect("a pace can be written");
    }

    fn process(&mut self, frame: &[u8]) -> Outcome {
        let run = self.plane_mut().test_run(frame, 1).expect("a test run");
        let report = self.plane().last_report().expect("a report");
        let outcome = Outcome::of_report(&report, run.frame);
        let is_sent = outcome.reason.action() == Action::Forward;
        assert_eq!(run.action == action::TX, is_sent, "{:?}", outcome.reason);
        outcome
    }
}

impl Maps for Kernel {
    fn room(&self) -> Room {
        self.plane().room()
    }

    fn now(&mut self) -> Result<u32, EngineError> {
        let now = self.plane_mut().now()?;
        Ok(now.wrapping_add(self.ahead))
    }

    fn slot(&self, index: u32) -> Slot {
        self.plane().slot(index)
    }

    fn write_slots(&mut self, first: u32, slots: &[Slot]) {
        self.plane_mut().write_slots(first, slots);
    }

    fn write_service(&mut self, index: u32, service: &Service) -> Result<(), EngineError> {
        self.plane_mut().write_service(index, service)
    }

    fn write_backend(&mut self, index: u32, backend: &Backend) -> Result<(), EngineError> {
        self.plane_mut().write_backend(index, backend)
    }

    fn clear_counters(&mut self, backend: u32) -> Result<(), EngineError> {
        self.plane_mut().clear_counters(backend)
    }

    fn write_directory<F: Family>(&mut self, directory: &Directory<F>) -> Result<(), EngineError> {
        self.plane_mut().write_directory(directory)
    }

    fn write_prefix<F: Family>(
        &mut self,
        key: &F::PrefixKey,
        service: Option<u32>,
    ) -> Result<(), EngineError> {
        self.plane_mut().write_prefix::<F>(key, service)
    }

    fn write_quic_server(
        &mut self,
        key: &ServerKey,
        backend: Option<u32>,
    ) -> Result<(), EngineError> {
        self.plane_mut().write_quic_server(key, backend)
    }

    fn refusals(&self) -> Result<u64, EngineError> {
        Ok(self.refused + self.plane().refusals()?)
    }

    fn for_each_exception<F: Family>(
        &self,
        visit: &mut dyn FnMut(&F::FlowKey, &Exception),
    ) -> Result<(), EngineError> {
        let plane = self.plane();
        plane.for_each_exception::<F>(&mut |key, exception| visit(key, &self.shown(exception)))
    }

    fn exception<F: Family>(&self, key: &F::FlowKey) -> Result<Option<Exception>, EngineError> {
        let exception = self.plane().exception::<F>(key)?;
        Ok(exception.map(|exception| self.shown(&exception)))
    }

    fn remove_exception<F: Family>(&mut self, key: &F::FlowKey) -> Result<bool, EngineError> {
        self.plane_mut().remove_exception::<F>(key)
    }

    fn for_each_flow<F: Family>(
        &self,
        table: FlowTable,
        visit: &mut dyn FnMut(&F::FlowKey, &F::Flow),
    ) -> Result<(), EngineError> {
        self.plane().for_each_flow::<F>(table, visit)
    }

    fn flow<F: Family>(
        &self,
        table: FlowTable,
        key: &F::FlowKey,
    ) -> Result<Option<F::Flow>, EngineError> {
        self.plane().flow::<F>(table, key)
    }

    fn remove_flow<F: Family>(
        &mut self,
        table: FlowTable,
        key: &F::FlowKey,
    ) -> Result<bool, EngineError> {
        self.plane_mut().remove_flow::<F>(table, key)
    }
}
