//! SIGINT and SIGTERM as a flag, so that a lab is taken down instead of left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, Result};

/// Whether somebody asked to stop; clones share the answer.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that no signal sets, for tests and libraries.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// One that SIGINT and SIGTERM set. From here on they do not end the process.
    pub fn on_signals() -> Result<Self> {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::io("start the signal handler"))?;
        let (mut int, mut term) = {
            let _context = runtime.enter();
            let install = |kind| signal(kind).map_err(Error::io("catch SIGINT and SIGTERM"));
            (
                install(SignalKind::interrupt())?,
                install(SignalKind::terminate())?,
            )
        };
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
            });
            flag.set();
        });
        Ok(interrupt)
    }

    /// Asks everyone who looks to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// [`Error::Interrupted`] when somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_set() {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}

/// Does this at each SIGUSR1, on a thread of its own; several that come at once may be one.
pub fn on_usr1(mut action: impl FnMut() + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the signal handler"))?;
    let mut signals = {
        let _context = runtime.enter();
        signal(SignalKind::user_defined1()).map_err(Error::io("catch SIGUSR1"))?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            while signals.recv().await.is_some() {
                action();
            }
        });
    });
    Ok(())
}
