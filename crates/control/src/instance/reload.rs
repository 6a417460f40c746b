//! The configuration, read again while packets flow: all of it is applied, or nothing.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Instant as Clock;

use engine::EngineError;
use engine::desired::{Desired, NatSettings};
use engine::live::Applied;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::start::NEIGHBOUR_PATIENCE;
use super::{Running, lock};
use crate::config::{Checked, ConfigError, Host};
use crate::nexthop::{Target, targets};
use crate::status::Reloaded;

/// Somebody wants the configuration read again, and to be told how it went.
pub(crate) type ReloadRequest = oneshot::Sender<Result<Reloaded, ReloadError>>;

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
    pub(super) async fn reload(&mut self, asked_by: Option<ReloadRequest>) {
        let result = self.try_reload().await;
        match &result {
            Ok(reloaded) => {
                for warning in &reloaded.warnings {
                    warn!("{warning}");
                }
                info!("{reloaded}");
            }
            Err(problem) => error!("the configuration was not reloaded\n{problem}"),
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
            ..
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
        Ok(reloaded(&desired, applied?, warnings))
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

/// What differs that is fixed when the program is loaded and attached, each in a line.
fn needs_restart(old: &Desired, new: &Desired) -> Vec<String> {
    let mut fixed = Vec::new();
    let mut compare = |what: &str, old: &dyn Display, new: &dyn Display| {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            fixed.push(format!("{what}: {old} is running, {new} is in the file"));
        }
    };
    compare(
        "interfaces",
        &old.interfaces.join(", "),
        &new.interfaces.join(", "),
    );
    compare("seed", &old.seed, &new.seed);
    let ports = |nat: &NatSettings| format!("{}-{}", nat.first_port, nat.last_port);
    compare("[nat] ports", &ports(&old.nat), &ports(&new.nat));
    compare("[tunnel] ttl", &old.tunnel.ttl, &new.tunnel.ttl);
    compare("[tunnel] entropy", &old.tunnel.entropy, &new.tunnel.entropy);
    let (old, new) = (&old.limits, &new.limits);
    for (field, old, new) in [
        ("flows", old.flows, new.flows),
        ("half_open_flows", old.half_open_flows, new.half_open_flows),
        ("exceptions", old.exceptions, new.exceptions),
        (
            "exceptions_per_second",
            old.exceptions_per_second,
            new.exceptions_per_second,
        ),
        (
            "icmp_errors_per_second",
            old.icmp_errors_per_second,
            new.icmp_errors_per_second,
        ),
    ] {
        compare(&format!("[limits] {field}"), &old, &new);
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
    fn what_is_fixed_at_the_start_is_named_with_both_values() {
        let read = |text: &str| parse("lb.toml", text).unwrap().desired;
        let old = read("interfaces = [\"eth0\"]");
        assert_eq!(needs_restart(&old, &old), [""; 0]);
        let free = read(
            "interfaces = [\"eth0\"]\n[timeouts]\nudp = \"1s\"\n[nat]\naddress = \"10.0.0.1\"\n\
             [[service]]\naddress = \"tcp://10.0.0.10:80\"\nbackends = [\"10.0.0.2\"]",
        );
        assert_eq!(needs_restart(&old, &free), [""; 0]);
        let new = read(
            "interfaces = [\"eth0\", \"eth1\"]\nseed = 7\n[nat]\nports = \"2000-3000\"\n\
             [tunnel]\nttl = 9\nentropy = true\n[limits]\nflows = 1\nexceptions = 2",
        );
        assert_eq!(
            needs_restart(&old, &new),
            [
                "interfaces: eth0 is running, eth0, eth1 is in the file",
                "seed: 7311142570005194092 is running, 7 is in the file",
                "[nat] ports: 10240-32767 is running, 2000-3000 is in the file",
                "[tunnel] ttl: 64 is running, 9 is in the file",
                "[tunnel] entropy: false is running, true is in the file",
                "[limits] flows: 262144 is running, 1 is in the file",
                "[limits] exceptions: 262144 is running, 2 is in the file",
            ]
        );
    }
}
