//! What the run loop waits for: signals, requests, clocks, the kernel, the file, the checks.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::file_watch::FileWatch;
use super::notify::{self, Watchdog};
use super::{Listeners, Request, RunError, Running, lock, report};
use crate::api::{self, ApiError, Served, Told};
use crate::health;
use crate::metrics;
use crate::nexthop::{Changes as KernelChanges, NextHopError, Resolution};

/// Time between two sweeps of the flow tables.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two looks whether there is something to save: what a process that is killed may
/// take with it.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);
/// Requests that may wait.
const MAX_WAITING: usize = 16;

/// Something for the run loop to do. Waiting for it can be given up at any time; doing it cannot.
pub(super) enum Happening {
    /// SIGHUP.
    Hangup,
    /// SIGINT or SIGTERM.
    End,
    /// The API asks for something.
    Asked(Request),
    /// A task has ended that should not.
    Failed(RunError),
    /// It is time to sweep.
    Sweep,
    /// Next hops have changed, or can no longer be followed.
    NextHops(Result<Vec<(IpAddr, Resolution)>, NextHopError>),
    /// Checks have found something.
    Health(health::Changes),
    /// It is time to save what they have found.
    Save,
    /// The file may have changed.
    File,
    /// The service manager wants a sign of life.
    Watchdog,
    /// Interfaces may have changed.
    Links,
}

/// Signals that mean something.
pub(super) struct Signals {
    interrupt: UnixSignal,
    terminate: UnixSignal,
    hangup: UnixSignal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Happening {
        tokio::select! {
            _ = self.interrupt.recv() => Happening::End,
            _ = self.terminate.recv() => Happening::End,
            _ = self.hangup.recv() => Happening::Hangup,
        }
    }
}

/// Everything that the loop waits for, but for next hops and checks.
pub(super) struct Outside {
    signals: Signals,
    asked: mpsc::Receiver<Request>,
    tasks: JoinSet<Result<(), ApiError>>,
    sweep: Interval,
    save: Interval,
    pub(super) file: FileWatch,
    links: KernelChanges,
    pub(super) watchdog: Watchdog,
}

impl Outside {
    /// Begins to answer and to watch.
    pub(super) fn open(running: &Running, listeners: Listeners) -> Self {
        let (requests, asked) = mpsc::channel(MAX_WAITING);
        let served = Served {
            instance: Arc::clone(&running.instance),
            requests,
            told: Told::new(running.events.clone()),
        };
        // Tasks of their own, so that they answer while a reload waits for neighbours.
        let mut tasks = JoinSet::new();
        tasks.spawn(api::serve(listeners.api, served));
        if let Some(listener) = listeners.metrics {
            let instance = Arc::clone(&running.instance);
            let source = Arc::new(move || report::told(lock(&instance).status()));
            tasks.spawn(async move {
                metrics::serve_metrics(listener, listeners.exporter, source).await;
                Ok(())
            });
        }
        Self {
            signals: listeners.signals,
            asked,
            tasks,
            sweep: every(SWEEP_INTERVAL),
            save: every(SAVE_INTERVAL),
            file: listeners.file,
            links: listeners.links,
            watchdog: notify::ready(&lock(&running.instance)),
        }
    }

    /// Waits for the next thing to do. Giving up loses nothing.
    pub(super) async fn next(&mut self, running: &mut Running) -> Happening {
        tokio::select! {
            happening = self.signals.next() => happening,
            Some(request) = self.asked.recv() => Happening::Asked(request),
            Some(ended) = self.tasks.join_next() => Happening::Failed(failure(ended)),
            _ = self.sweep.tick() => Happening::Sweep,
            _ = self.save.tick() => Happening::Save,
            changes = running.next_hops.changes() => Happening::NextHops(changes),
            changes = running.health.changes() => Happening::Health(changes),
            () = self.file.changed() => Happening::File,
            () = self.watchdog.due() => Happening::Watchdog,
            () = self.links.next() => Happening::Links,
        }
    }

    /// Answers nobody any more.
    pub(super) async fn close(&mut self) {
        self.tasks.shutdown().await;
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn failure(ended: Result<Result<(), ApiError>, JoinError>) -> RunError {
    match ended {
        Ok(Ok(())) => io::Error::other("a server has ended").into(),
        Ok(Err(error)) => error.into(),
        Err(panic) => io::Error::other(panic).into(),
    }
}
