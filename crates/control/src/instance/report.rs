//! What a running instance tells about itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant as Clock;

use abi::counters::BackendCounters;
use abi::reason::Reason;
use engine::EngineError;
use engine::dataplane::FlowTable;
use engine::desired::{Backend, BackendState, ForwardingMode, Service, ServiceId};
use engine::live::{BackendView, FlowCounts, ServiceView, Standing, flows_of};
use tracing::warn;

use super::Instance;
use super::memory::memory;
use super::state::Attached;
use crate::config::backend_name;
use crate::health::Endpoint;
use crate::status::{
    BackendStatus, FlowStatus, InterfaceStatus, ServiceStatus, Status, TransitionStatus,
};

/// What is looked at once for all services.
pub(super) struct Look<'a> {
    counts: Arc<FlowCounts>,
    /// As the configuration says, whatever health makes of it.
    written: HashMap<ServiceId, &'a Service>,
    now: Clock,
}

impl Look<'_> {
    /// The backend as it is configured; `None`: it is a sorry backend, or no longer there.
    fn written(&self, service: &Service, backend: &Backend) -> Option<&Backend> {
        let endpoint = Endpoint::of(service, backend);
        let written = self.written.get(&service.id)?;
        let mut backends = written.backends.iter();
        backends.find(|it| Endpoint::of(written, it) == endpoint)
    }
}

impl Instance {
    pub(super) fn look(&self) -> Result<Look<'_>, EngineError> {
        let written = &self.configuration.checked().desired.services;
        Ok(Look {
            counts: self.counted.flows(|| flows_of(&self.plane))?,
            written: written
                .iter()
                .map(|service| (service.id, service))
                .collect(),
            now: Clock::now(),
        })
    }

    /// Everything worth knowing.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn status(&self) -> Result<Status, EngineError> {
        let counts = self.plane.reason_counters()?;
        let reasons: BTreeMap<String, u64> = Reason::ALL
            .iter()
            .zip(counts)
            .map(|(reason, count)| (reason.name().to_owned(), count))
            .collect();
        let look = self.look()?;
        let services = self
            .live
            .services()
            .map(|service| self.service_status(service, &look))
            .collect::<Result<_, _>>()?;
        Ok(Status {
            instance: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_seconds: self.started.elapsed().as_secs(),
            interfaces: self.attached.iter().map(interface_status).collect(),
            services,
            flows: self.flow_status(&look.counts),
            transitions: self.transition_status(&reasons)?,
            reasons,
            packets_by_cpu: self.plane.packets_by_cpu()?,
            configuration: self.configuration.status(),
            applies: self.applies.clone(),
            netlink_overruns: self.netlink_overruns,
            memory: memory(),
        })
    }

    pub(super) fn service_status(
        &self,
        view: ServiceView<'_>,
        look: &Look<'_>,
    ) -> Result<ServiceStatus, EngineError> {
        let service = view.desired();
        let configured = service
            .backends
            .iter()
            .map(|backend| (backend, view.backend(backend)));
        let leaving = view
            .backends()
            .filter(|backend| backend.standing == Standing::Leaving)
            .map(|backend| (backend.desired, Some(backend)));
        let backends = configured
            .chain(leaving)
            .map(|(backend, known)| self.backend_status(view, backend, known, look))
            .collect::<Result<_, _>>()?;
        Ok(ServiceStatus {
            service: service.id.to_string(),
            mode: service.mode.to_string(),
            affinity: service.affinity.to_string(),
            track: service.track.to_string(),
            slots: view.slots(),
            slots_changing: u32::try_from(view.slots_changing()).unwrap_or(u32::MAX),
            slots_settling: u32::try_from(view.slots_settling(&self.plane)).unwrap_or(u32::MAX),
            condition: self
                .conditions
                .get(&service.id)
                .copied()
                .unwrap_or_default()
                .word()
                .into(),
            backends,
        })
    }

    fn backend_status(
        &self,
        view: ServiceView<'_>,
        backend: &Backend,
        known: Option<BackendView<'_>>,
        look: &Look<'_>,
    ) -> Result<BackendStatus, EngineError> {
        let service = view.desired();
        let counters = match known {
            Some(known) => self.plane.backend_counters(known.index)?,
            None => BackendCounters::default(),
        };
        let resolved = self.reach.resolve(service, backend);
        let hop = resolved.as_ref().ok();
        let is_leaving = known.is_some_and(|known| known.standing == Standing::Leaving);
        let written = look.written(service, backend);
        let state = match backend.state {
            BackendState::Down => BackendState::Down.to_string(),
            _ if is_leaving => "leaving".into(),
            _ if hop.is_none() => "unreachable".into(),
            BackendState::Drain if written.is_none() => "standby".into(),
            state => state.to_string(),
        };
        let slots = known.map_or(0, |known| known.slots);
        Ok(BackendStatus {
            address: backend_name(service, backend),
            state,
            problem: resolved.as_ref().err().cloned(),
            mac: hop.map(|hop| hop.destination_mac.to_string()),
            interface: hop.and_then(|hop| self.reach.interfaces.get(&hop.interface_index).cloned()),
            source: hop.filter(|_| has_source(service)).map(|hop| {
                let configured = self.desired().source(service.mode, backend.address);
                configured.unwrap_or(hop.source_address).to_string()
            }),
            weight: written.unwrap_or(backend).weight,
            share: f64::from(slots) / f64::from(view.slots().max(1)),
            packets: counters.packets,
            bytes: counters.bytes,
            reply_packets: counters.reply_packets,
            reply_bytes: counters.reply_bytes,
            new_flows: counters.new_flows,
            health: self.board.board().health(
                &service.id,
                Endpoint::of(service, backend),
                look.now,
            ),
            flows: known.map(|known| match service.mode {
                ForwardingMode::Nat => look.counts.nat(known.index),
                _ => look.counts.entries(known.index),
            }),
            flows_exact: service.mode == ForwardingMode::Nat,
            drained: (written.is_some() || is_leaving)
                && known.is_some_and(|known| self.live.is_drained(known.index)),
        })
    }

    fn flow_status(&self, counts: &FlowCounts) -> FlowStatus {
        let limits = &self.desired().limits;
        FlowStatus {
            established: counts.in_table(FlowTable::Established),
            established_limit: limits.flows.into(),
            half_open: counts.in_table(FlowTable::HalfOpen),
            half_open_limit: limits.half_open_flows.into(),
        }
    }

    fn transition_status(
        &self,
        reasons: &BTreeMap<String, u64>,
    ) -> Result<TransitionStatus, EngineError> {
        let numbers = self.live.numbers(&self.plane)?;
        let kept = reasons.get(Reason::KeptByPrevious.name());
        Ok(TransitionStatus {
            slots_in_transition: numbers.slots_in_transition,
            slots_settling: numbers.slots_settling,
            exceptions: numbers.exceptions,
            exceptions_limit: self.desired().limits.exceptions.into(),
            kept_by_previous: kept.copied().unwrap_or_default(),
            flows_lost: numbers.flows_lost,
            refusals: numbers.refusals,
            backends_leaving: numbers.backends_leaving,
        })
    }
}

/// What can be read; what cannot is for the log.
pub(super) fn told<T>(result: Result<T, EngineError>) -> Option<T> {
    result
        .inspect_err(|error| warn!("the status cannot be read: {error}"))
        .ok()
}

/// Whether packets to the backends have an address of ours.
fn has_source(service: &Service) -> bool {
    service.mode == ForwardingMode::Nat || service.mode.encapsulates()
}

fn interface_status(attached: &Attached) -> InterfaceStatus {
    InterfaceStatus {
        name: attached.interface.name.clone(),
        index: attached.interface.index,
        mac: attached.interface.mac.map(|mac| mac.to_string()),
        mode: attached.attachment.mode.name().into(),
        native_refused: attached.attachment.native_refused.clone(),
    }
}
