//! The configuration, read again while packets flow: all of it is applied, or nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant as Clock;

use engine::EngineError;
use engine::desired::Desired;
use engine::live::Applied;
use tokio::sync::oneshot;
use tracing::warn;

use super::start::NEIGHBOUR_PATIENCE;
use super::{Running, lock, notify};
use crate::config::{Checked, ConfigError, Host};
use crate::event::What;
use crate::nexthop::{Target, targets};
use crate::status::Reloaded;

/// Why the configuration stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is nothing to read.
    #[error(
        "this instance was started with --service: there is no file to read again; start it with --config FILE"
    )]
    NoFile,
    /// The file is not as it should be.
    #[error("{0}\n\nnothing was changed")]
    Config(#[from] ConfigError),
    /// The file wants what only a new start can do.
    #[error(
        "these cannot change while packets flow; restart evenkeel for them, or change them back:\n  {}\n\nnothing was changed",
        .0.join("\n  ")
    )]
    Restart(Vec<String>),
    /// The data plane did not take it.
    #[error("{0}\n\nnothing was changed")]
    Engine(EngineError),
    /// The data plane took a part of it, and did not let go of that.
    #[error("{0}")]
    HalfChanged(EngineError),
}

impl From<EngineError> for ReloadError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::RestartNeeded { what } => Self::Restart(vec![what]),
            EngineError::HalfChanged { .. } => Self::HalfChanged(error),
            error => Self::Engine(error),
        }
    }
}

impl Running {
    /// Reads the configuration again and applies it.
    pub(super) async fn reload(
        &mut self,
        asked_by: Option<oneshot::Sender<Result<Reloaded, ReloadError>>>,
    ) {
        let started = Clock::now();
        notify::reloading();
        let result = self.try_reload().await;
        let problem = result.as_ref().err().map(ToString::to_string);
        notify::reloaded(&lock(&self.instance), problem);
        match &result {
            Ok(reloaded) => {
                for warning in &reloaded.warnings {
                    warn!("{warning}");
                }
                self.events.tell(What::Applied {
                    summary: reloaded.to_string(),
                    slots_changed: reloaded.slots_changed,
                    milliseconds: started.elapsed().as_millis() as u64,
                });
            }
            Err(problem) => self.events.tell(What::Refused {
                problem: problem.to_string(),
            }),
        }
        if let Some(asked_by) = asked_by {
            // Whoever asked may have gone; it is in the log all the same.
            let _ = asked_by.send(result);
        }
    }

    async fn try_reload(&mut self) -> Result<Reloaded, ReloadError> {
        let origin = self.origin.as_ref().ok_or(ReloadError::NoFile)?;
        let Checked {
            desired,
            mut warnings,
        } = origin.read()?;
        warnings.extend(Host::read().warnings(&desired));
        let fixed = needs_restart(lock(&self.instance).desired(), &desired);
        if !fixed.is_empty() {
            return Err(ReloadError::Restart(fixed));
        }
        let both = union(targets(desired.backends()), &self.targets);
        self.next_hops.set_targets(both.clone());
        self.targets = both;
        let resolutions = self
            .next_hops
            .wait_all(Clock::now() + NEIGHBOUR_PATIENCE)
            .await;
        let applied = lock(&self.instance).apply(&desired, resolutions);
        self.retarget();
        let reloaded = reloaded(&desired, applied?, warnings);
        self.follow_interfaces().await;
        Ok(reloaded)
    }
}

fn reloaded(desired: &Desired, applied: Applied, warnings: Vec<String>) -> Reloaded {
    Reloaded {
        services: desired.services.len() as u64,
        services_added: applied.services_added,
        services_removed: applied.services_removed,
        services_changed: applied.services_changed,
        backends: desired.backends().count() as u64,
        backends_added: applied.backends_added,
        backends_removed: applied.backends_removed,
        backends_died: applied.backends_died,
        slots_changed: applied.slots_changed,
        flows_lost: applied.flows_lost,
        warnings,
    }
}

/// Those of the new configuration, and those that only the old one has: it is in force until the
/// new one is.
fn union(mut new: Vec<Target>, old: &[Target]) -> Vec<Target> {
    let wanted: BTreeSet<IpAddr> = new.iter().map(|target| target.address).collect();
    new.extend(old.iter().filter(|old| !wanted.contains(&old.address)));
    new
}

/// What differs that is fixed as long as packets flow, each in a line.
fn needs_restart(old: &Desired, new: &Desired) -> Vec<String> {
    let mut fixed = Vec::new();
    if old.seed != new.seed {
        fixed.push(format!(
            "seed: {} is running, {} is in the file; with another seed every flow moves",
            old.seed, new.seed
        ));
    }
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn only_a_change_that_was_taken_back_is_said_to_have_changed_nothing() {
        let error = || EngineError::RestartNeeded { what: "x".into() };
        let half = EngineError::HalfChanged {
            error: error().into(),
            back: error().into(),
        };
        for (error, changed_nothing) in [
            (EngineError::Directory { keys: 1 }, true),
            (error(), true),
            (half, false),
        ] {
            let text = ReloadError::from(error).to_string();
            assert_eq!(
                text.contains("nothing was changed"),
                changed_nothing,
                "{text}"
            );
        }
    }

    #[test]
    fn only_another_seed_needs_a_restart() {
        let read = |text: &str| parse("lb.toml", text).unwrap().desired;
        let old = read("interfaces = [\"eth0\"]");
        let free = read(
            "interfaces = [\"eth0\", \"eth1\"]\n[timeouts]\nudp = \"1s\"\n[nat]\nports = \"2000-3000\"\n\
             [tunnel]\nttl = 9\nentropy = true\n[limits]\nflows = 1\nexceptions = 2",
        );
        assert_eq!(needs_restart(&old, &free), [""; 0]);
        let new = read("interfaces = [\"eth0\"]\nseed = 7");
        assert_eq!(
            needs_restart(&old, &new),
            [
                "seed: 7311142570005194092 is running, 7 is in the file; with another seed every flow moves"
            ]
        );
    }
}
