//! Health in force: what the checks say of backends becomes what the data plane does with flows.

use std::collections::BTreeMap;
use std::time::Instant as Clock;

use engine::EngineError;
use engine::desired::{Backend, Desired, Service, ServiceId};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::warn;

use super::saved::SavedFiles;
use super::state::{Instance, Leave};
use super::{Running, lock};
use crate::config::Checked;
use crate::event::What;
use crate::health::{Changes, Condition, Endpoint, Target, target};

/// Services that are not served by their backends that are up.
pub(super) type Conditions = BTreeMap<ServiceId, Condition>;

impl Instance {
    /// What is to be in force of a configuration, as its backends are now.
    pub(super) fn target(&self, checked: &Checked) -> Target {
        target(checked, &self.board.board(), Clock::now())
    }

    /// Puts in force what the backends' health asks for.
    fn follow_health(&mut self) -> Result<(), EngineError> {
        let target = self.target(self.configuration.checked());
        if target.desired != *self.desired() {
            self.try_apply(&target.desired, Leave::ToBreakFlows)?;
        }
        self.note_conditions(target.conditions);
        Ok(())
    }

    /// Whether a backend is there only for the time when no other is.
    pub(super) fn is_sorry(&self, service: &Service, backend: &Backend) -> bool {
        let health = self.configuration.checked().health.get(&service.id);
        let sorry = health.map_or(&[][..], |health| &health.sorry);
        let endpoint = Endpoint::of(service, backend);
        let mut sorry = sorry.iter().map(|sorry| Endpoint::of(service, sorry));
        sorry.any(|sorry| sorry == endpoint)
    }

    /// Tells of services that are served in another way than before.
    pub(super) fn note_conditions(&mut self, now: Vec<(ServiceId, Condition)>) {
        let now: Conditions = now.into_iter().collect();
        let before = std::mem::take(&mut self.conditions);
        let condition = |all: &Conditions, id: &ServiceId| all.get(id).copied().unwrap_or_default();
        let is_there = |id: &ServiceId| self.desired().services.iter().any(|it| it.id == *id);
        let changed = before.keys().chain(now.keys());
        let mut told: Vec<ServiceId> = changed
            .filter(|id| condition(&before, id) != condition(&now, id))
            .copied()
            .collect();
        told.sort_unstable();
        told.dedup();
        for id in told.into_iter().filter(is_there) {
            self.events.tell(What::Service {
                service: id.to_string(),
                condition: condition(&now, &id).word().into(),
            });
        }
        self.conditions = now;
    }
}

impl Running {
    /// Takes over what the checks have found. What fails is tried again with the next sweep.
    pub(super) fn follow_health(&mut self, changes: Changes) {
        for transition in &changes.transitions {
            self.events.tell(What::Health {
                service: transition.service.to_string(),
                backend: transition.backend.to_string(),
                from: transition.step.from.to_string(),
                to: transition.step.to.to_string(),
                reason: transition.step.reason.clone(),
            });
        }
        if changes.lost > 0 {
            warn!("{} more backends changed their state", changes.lost);
        }
        self.put_health_in_force();
    }

    /// Puts in force what the backends' health asks for, if that is not so already.
    pub(super) fn put_health_in_force(&mut self) {
        let followed = lock(&self.instance).follow_health();
        if let Err(error) = followed {
            warn!(
                "the backends' health has changed, packets go where they went: {error}; trying again"
            );
        }
        self.retarget();
    }

    /// Keeps what is known of the backends for the next process, if something of it is new. What
    /// happens meanwhile is kept the next time.
    pub(super) fn save_health(&mut self) {
        let is_under_way = |saving: &JoinHandle<()>| !saving.is_finished();
        if self.saving.as_ref().is_some_and(is_under_way) {
            return;
        }
        let Some(health) = self.health.unsaved() else {
            return;
        };
        let files = SavedFiles::of(&lock(&self.instance).name);
        // It may be much, and nothing else waits for it.
        self.saving = Some(spawn_blocking(move || files.keep_health(health)));
    }

    /// Waits until nothing is being written.
    pub(super) async fn finish_saving(&mut self) {
        if let Some(saving) = self.saving.take() {
            // It fails only by a panic.
            let _ = saving.await;
        }
    }

    /// Checks what a configuration names, on the ways that are known.
    pub(super) fn check_backends_of(&mut self, checked: &Checked) {
        self.tell_next_hops();
        self.health.set_subjects(checked);
    }

    /// Tells the checks that go by way of the service how backends are reached.
    pub(super) fn tell_next_hops(&self) {
        let hops = lock(&self.instance).reach.known();
        self.health.set_next_hops(hops);
    }
}

/// What is to be in force at the start: as the file says, but for backends that were down before.
pub(super) fn at_start(
    health: &crate::health::Health,
    checked: &Checked,
) -> (Desired, Vec<(ServiceId, Condition)>) {
    let target = target(checked, &health.board(), Clock::now());
    (target.desired, target.conditions)
}
