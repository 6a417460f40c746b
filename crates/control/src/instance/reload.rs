//! The configuration, read again while packets flow: all of it is applied, or nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant as Clock};

use engine::EngineError;
use engine::desired::Desired;
use engine::live::Applied;
use tracing::warn;

use super::configuration::Configuration;
use super::interfaces::check_interfaces;
use super::request::Change;
use super::saved::SavedFiles;
use super::start::NEIGHBOUR_PATIENCE;
use super::state::{Leave, Outcome};
use super::{RunError, Running, Served, lock, notify};
use crate::config::{Checked, ConfigError, Host};
use crate::event::What;
use crate::nexthop::{Target, targets};
use crate::overrides::OverrideError;
use crate::plan::{self, PlanReport};
use crate::status::{ApplyStatus, Reloaded};

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
        "these cannot change while packets flow; change them back, or stop balancing for them with `evenkeel stop`:\n  {}\n\nnothing was changed",
        .0.join("\n  ")
    )]
    Restart(Vec<String>),
    /// An interface that is new in it.
    #[error("{0}\n\nnothing was changed")]
    Interface(Box<RunError>),
    /// What was to be changed by hand cannot be.
    #[error("{0}")]
    Override(#[from] OverrideError),
    /// Flows would break, which was not allowed.
    #[error(
        "{0}\n\nnothing was changed: flows would break, or might; --allow-disruption allows that"
    )]
    Disruption(Box<PlanReport>),
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
            EngineError::TableTooSmall { .. } => Self::Restart(vec![error.to_string()]),
            EngineError::HalfChanged { .. } => Self::HalfChanged(error),
            error => Self::Engine(error),
        }
    }
}

impl Running {
    /// Reads the own file again, as a signal asks for.
    pub(super) async fn reload(&mut self) {
        let change = Change::Reload {
            discard_overrides: false,
            allow_disruption: true,
        };
        // It is in the log.
        let _ = self.change(change).await;
    }

    /// Changes the configuration, and tells of it.
    pub(super) async fn change(&mut self, change: Change) -> Result<Reloaded, ReloadError> {
        let started = Clock::now();
        let by_hand = match &change {
            Change::Override(changes) => {
                let texts: Vec<_> = changes.iter().map(ToString::to_string).collect();
                Some(texts.join(", "))
            }
            Change::DiscardOverrides => Some("everything as in the file again".into()),
            _ => None,
        };
        notify::reloading();
        let result = self.try_change(change).await;
        notify::reloaded(&lock(&self.instance), refused(&result));
        match &result {
            Ok(reloaded) => {
                for warning in &reloaded.warnings {
                    warn!("{warning}");
                }
                if let Some(change) = by_hand {
                    self.events.tell(What::Override { change });
                }
                self.events.tell(What::Applied {
                    summary: reloaded.to_string(),
                    slots_changed: reloaded.slots_changed,
                    milliseconds: started.elapsed().as_millis() as u64,
                });
            }
            Err(_) => {
                if let Some(problem) = refused(&result) {
                    self.events.tell(What::Refused { problem });
                }
            }
        }
        note_apply(
            &mut lock(&self.instance).applies,
            &result,
            started.elapsed(),
        );
        result
    }

    async fn try_change(&mut self, change: Change) -> Result<Reloaded, ReloadError> {
        let now = lock(&self.instance).configuration.clone();
        let mut leave = Leave::ToBreakFlows;
        let (next, mut warnings) = match change {
            Change::Reload {
                discard_overrides,
                allow_disruption,
            } => {
                leave = Leave::of(allow_disruption);
                now.reread(discard_overrides)?.ok_or(ReloadError::NoFile)?
            }
            Change::Apply {
                source,
                text,
                allow_disruption,
            } => {
                leave = Leave::of(allow_disruption);
                now.with_text(&source, text, false)?
            }
            Change::Override(changes) => {
                let with = |now: Configuration, change| now.with_override(change);
                (changes.into_iter().try_fold(now.clone(), with)?, Vec::new())
            }
            Change::DiscardOverrides => (now.without_overrides(), Vec::new()),
        };
        let desired = &next.checked().desired;
        warnings.extend(next.checked().warnings.iter().cloned());
        warnings.extend(Host::read(desired).warnings(desired));
        warnings.extend(at_next_start(&self.served, next.checked()));
        let fixed = needs_restart(&now.checked().desired, desired);
        if !fixed.is_empty() {
            return Err(ReloadError::Restart(fixed));
        }
        check_interfaces(&self.instance, desired).await?;
        self.put_in_force(next, warnings, leave).await
    }

    async fn put_in_force(
        &mut self,
        next: Configuration,
        warnings: Vec<String>,
        leave: Leave,
    ) -> Result<Reloaded, ReloadError> {
        let target = lock(&self.instance).target(next.checked());
        let desired = &target.desired;
        let both = union(targets(desired.backends()), &self.targets);
        self.next_hops.set_targets(both.clone());
        self.targets = both;
        let resolutions = self
            .next_hops
            .wait_all(Clock::now() + NEIGHBOUR_PATIENCE)
            .await;
        let applied = lock(&self.instance).apply(desired, resolutions, leave);
        self.retarget();
        let applied = match applied? {
            Outcome::Applied(applied) => applied,
            Outcome::WouldBreak(mut report) => {
                let now = lock(&self.instance).configuration.shared();
                let process = plan::of_the_process(&now, next.checked());
                report.settings.extend(process);
                return Err(ReloadError::Disruption(report));
            }
        };
        let reloaded = reloaded(desired, applied, warnings);
        {
            let mut instance = lock(&self.instance);
            if next.overrides() != instance.configuration.overrides() {
                SavedFiles::of(&instance.name).keep_overrides(next.overrides());
            }
            instance.configuration = next;
            instance.note_conditions(target.conditions);
        }
        let checked = lock(&self.instance).configuration.shared();
        self.check_backends_of(&checked);
        self.follow_interfaces().await;
        Ok(reloaded)
    }
}

/// Why a configuration was not applied, if one was refused. A misspelt name, and what else cannot be
/// changed by hand, is for whoever typed it.
fn refused(result: &Result<Reloaded, ReloadError>) -> Option<String> {
    match result {
        Ok(_) | Err(ReloadError::Override(_)) => None,
        Err(problem) => Some(problem.to_string()),
    }
}

fn note_apply(applies: &mut ApplyStatus, result: &Result<Reloaded, ReloadError>, took: Duration) {
    match result {
        Ok(_) => applies.note_applied(took),
        Err(ReloadError::Override(_)) => {}
        Err(ReloadError::Engine(_) | ReloadError::HalfChanged(_)) => applies.note_failed(),
        Err(_) => applies.note_refused(),
    }
}

/// What differs from what the process serves, and takes effect when it starts again, each in a line.
fn at_next_start((api, metrics): &Served, new: &Checked) -> Vec<String> {
    let api = (*api != new.api).then(|| {
        "[api] group: the socket gets its group when the process starts; restart evenkeel for it"
            .into()
    });
    let metrics = (*metrics != new.metrics).then(|| {
        "[metrics]: they are served as before until the process starts again; restart evenkeel for it"
            .into()
    });
    api.into_iter().chain(metrics).collect()
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
    fn a_misspelt_name_is_no_configuration_that_was_refused() {
        let mut applies = ApplyStatus::default();
        let mut counts = |error: ReloadError| {
            let result = Err(error);
            note_apply(&mut applies, &result, Duration::ZERO);
            (refused(&result).is_some(), applies.refused, applies.failed)
        };
        let nobody = OverrideError::NoService("tcp://10.0.0.10:80".into());
        assert_eq!(counts(nobody.into()), (false, 0, 0));
        assert_eq!(counts(ReloadError::NoFile), (true, 1, 0));
        let engine = EngineError::Directory { keys: 1 };
        assert_eq!(counts(engine.into()), (true, 1, 1));
        assert_eq!(counts(OverrideError::TooMany.into()), (false, 1, 1));
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
