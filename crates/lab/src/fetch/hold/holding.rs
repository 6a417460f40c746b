//! Connections held in the background while something else happens.

use std::sync::mpsc;
use std::thread::JoinHandle;

use super::{HoldOptions, HoldReport, Watch, hold};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::interrupt::Interrupt;

/// Connections of a host that are held on a thread of their own, until this is finished or
/// dropped.
#[derive(Debug)]
pub struct Holding {
    watch: Watch,
    interrupt: Interrupt,
    thread: Option<JoinHandle<Result<Result<HoldReport>>>>,
}

impl Holding {
    /// Opens the connections and comes back when all have been tried; look at
    /// [`HoldReport::opened`]. `fetch.interrupt` and `opened` of the options are not used.
    pub fn start(host: &Host, mut options: HoldOptions) -> Result<Self> {
        let interrupt = Interrupt::never();
        let (sender, opened) = mpsc::channel();
        options.fetch.interrupt = interrupt.clone();
        options.opened = Some(sender);
        let watch = options.watch.clone();
        let thread = host.thread(move || hold(&options))?;
        let mut holding = Self {
            watch,
            interrupt,
            thread: Some(thread),
        };
        match opened.recv() {
            Ok(_) => Ok(holding),
            // It ended before: it says why.
            Err(_) => holding.end().map(|_| holding),
        }
    }

    /// How they are now, without disturbing them.
    #[must_use]
    pub fn report(&self) -> HoldReport {
        self.watch.report()
    }

    /// Uses each of them a last time and reports: what is not broken then works now.
    pub fn finish(mut self) -> Result<HoldReport> {
        self.end()
    }

    fn end(&mut self) -> Result<HoldReport> {
        self.interrupt.set();
        let Some(thread) = self.thread.take() else {
            return Ok(self.watch.report());
        };
        let panicked = |_| Error::Tool("the thread that holds connections panicked".to_owned());
        thread.join().map_err(panicked)??
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.end();
    }
}
