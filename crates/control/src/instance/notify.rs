//! What the service manager is told (sd_notify(3)): that packets flow, that a reload is under way,
//! that the loop still turns. Where there is none, nobody is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

use super::state::Instance;

/// Packets flow. Returns what the loop has to do from now on.
pub(super) fn ready(instance: &Instance) -> Watchdog {
    tell(&[NotifyState::Ready, NotifyState::Status(&summary(instance))]);
    Watchdog::new()
}

/// The configuration is being read again.
pub(super) fn reloading() {
    let mut states = vec![
        NotifyState::Reloading,
        NotifyState::Status("reading the configuration again"),
    ];
    // Type=notify-reload waits for it; the clock of Linux does not fail.
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// That is over; `problem`: what was in force still is, and why.
pub(super) fn reloaded(instance: &Instance, problem: Option<String>) {
    let mut status = summary(instance);
    if let Some(problem) = problem {
        let first = problem.lines().next().unwrap_or_default();
        status += &format!("; the last reload was refused: {first}");
    }
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The process ends.
pub(super) fn stopping(keep: bool) {
    let status = match keep {
        true => "ending; packets are balanced on",
        false => "stopping",
    };
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn summary(instance: &Instance) -> String {
    let desired = instance.desired();
    format!(
        "balancing on {}: services: {}, backends: {}",
        desired.interfaces.join(", "),
        desired.services.len(),
        desired.backends().count()
    )
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("the service manager could not be told: {error}");
    }
}

/// Tells that the loop still turns, if the service manager wants to know.
pub(super) struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Twice in the time that the service manager waits (`WATCHDOG_USEC`).
    fn new() -> Self {
        let patience = sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero());
        Self(patience.map(|patience| {
            let mut interval = interval((patience / 2).max(Duration::from_micros(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    /// Waits until it is time again. It may be dropped meanwhile.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// To be called by the loop itself, and by nobody on its behalf.
    pub(super) fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }
}
