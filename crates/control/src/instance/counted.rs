//! The flows of each backend, counted no more often than is cheap: that reads every entry of the
//! tables of flows, and nobody else gets at the instance meanwhile.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use engine::EngineError;
use engine::live::FlowCounts;

/// A count that took no longer is made anew each time.
const CHEAP: Duration = Duration::from_millis(20);
/// Any other one is good for so many times as long as it took.
const GOOD_FOR: u32 = 20;

/// The last count.
#[derive(Debug, Default)]
pub(super) struct Counted(RefCell<Option<Count>>);

#[derive(Debug)]
struct Count {
    flows: Arc<FlowCounts>,
    good_until: Clock,
}

impl Counted {
    /// The last count while it is good, or one that is made now.
    pub(super) fn flows(
        &self,
        count: impl FnOnce() -> Result<FlowCounts, EngineError>,
    ) -> Result<Arc<FlowCounts>, EngineError> {
        let started = Clock::now();
        if let Some(last) = &*self.0.borrow()
            && started < last.good_until
        {
            return Ok(Arc::clone(&last.flows));
        }
        let flows = Arc::new(count()?);
        let now = Clock::now();
        *self.0.borrow_mut() = Some(Count {
            flows: Arc::clone(&flows),
            good_until: now + good_for(now - started),
        });
        Ok(flows)
    }

    /// What was counted is no longer so.
    pub(super) fn forget(&self) {
        self.0.take();
    }
}

fn good_for(took: Duration) -> Duration {
    match took <= CHEAP {
        true => Duration::ZERO,
        false => took * GOOD_FOR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cheap_count_is_made_each_time_and_a_dear_one_is_kept_until_it_is_wrong() {
        let counted = Counted::default();
        let made = std::cell::Cell::new(0);
        let ask = |takes: Duration| {
            let count = || {
                made.set(made.get() + 1);
                std::thread::sleep(takes);
                Ok(FlowCounts::default())
            };
            counted.flows(count).unwrap();
            made.get()
        };
        assert_eq!(good_for(CHEAP), Duration::ZERO);
        ask(CHEAP * 100);
        assert_eq!(ask(CHEAP * 100), 1);
        counted.forget();
        assert_eq!(ask(Duration::ZERO), 2);
    }
}
