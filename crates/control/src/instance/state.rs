//! What is running, and its status.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant as Clock;

use abi::family::{V4, V6};
use abi::flow::{FORWARD, Flow as _, FlowState};
use abi::reason::Reason;
use engine::EngineError;
use engine::dataplane::{Attachment, DataPlane, FlowTable};
use engine::desired::{Backend, Desired, ForwardingMode, NextHop, Service};
use engine::live::{Live, ServiceView};
use engine::maps::Maps as _;
use engine::sweep::Ages;
use tracing::{debug, info, warn};

use crate::nexthop::{Interface, Resolution, Target, targets};
use crate::status::{BackendStatus, FlowStatus, InterfaceStatus, Reloaded, ServiceStatus, Status};

/// An interface with the program on it.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) interface: Interface,
    pub(super) attachment: Attachment,
}

/// How the backends are reached.
#[derive(Debug)]
pub(super) struct Reach {
    /// Names of the instance's interfaces, by index.
    interfaces: BTreeMap<u32, String>,
    resolutions: BTreeMap<IpAddr, Resolution>,
}

impl Reach {
    pub(super) fn new(interfaces: &[Interface], resolutions: BTreeMap<IpAddr, Resolution>) -> Self {
        let interfaces = interfaces
            .iter()
            .map(|i| (i.index, i.name.clone()))
            .collect();
        Self {
            interfaces,
            resolutions,
        }
    }

    /// The next hop of a service's backend, if it is known and packets can leave by it.
    pub(super) fn next_hop(&self, service: &Service, backend: &Backend) -> Option<NextHop> {
        self.resolve(service, backend).ok()
    }

    /// The next hop of a service's backend, or what is wrong with it.
    fn resolve(&self, service: &Service, backend: &Backend) -> Result<NextHop, String> {
        let (hop, gateway) = self.look_up(backend.address)?;
        match gateway {
            Some(gateway) if service.mode == ForwardingMode::L2Dsr => Err(format!(
                "l2-dsr needs the backend on the same network, but the route leads through \
                 {gateway}: use mode ipip or gue"
            )),
            _ => Ok(hop),
        }
    }

    /// The next hop of an address and the router on the way, or what is wrong.
    fn look_up(&self, address: IpAddr) -> Result<(NextHop, Option<IpAddr>), String> {
        let (hop, gateway) = match self.resolutions.get(&address) {
            None => return Err("not looked up yet".into()),
            Some(Resolution::Unresolved(reason)) => return Err(reason.to_string()),
            Some(Resolution::Resolved { next_hop, gateway }) => (*next_hop, *gateway),
        };
        if !self.interfaces.contains_key(&hop.interface_index) {
            return Err(format!(
                "reached through interface {}, which evenkeel does not run on: name it, too",
                hop.interface_index
            ));
        }
        Ok((hop, gateway))
    }
}

/// A running instance.
#[derive(Debug)]
pub struct Instance {
    pub(super) name: String,
    pub(super) started: Clock,
    pub(super) desired: Desired,
    pub(super) plane: DataPlane,
    pub(super) live: Live,
    pub(super) attached: Vec<Attached>,
    pub(super) reach: Reach,
    pub(super) ages: Ages,
}

impl Instance {
    /// Takes a changed next hop over.
    pub(super) fn follow(
        &mut self,
        address: IpAddr,
        resolution: Resolution,
    ) -> Result<(), EngineError> {
        let old = self.reach.look_up(address);
        self.reach.resolutions.insert(address, resolution);
        let new = self.reach.look_up(address);
        if old == new {
            return Ok(());
        }
        match &new {
            Ok((hop, _)) => info!("{address} is reached at {}", hop.destination_mac),
            Err(problem) => warn!("{address} is unreachable: {problem}"),
        }
        let next_hop = |service: &_, backend: &_| self.reach.next_hop(service, backend);
        self.live.apply_next_hops(&mut self.plane, &next_hop)?;
        Ok(())
    }

    /// What has to be reached.
    pub(super) fn targets(&self) -> Vec<Target> {
        let mut targets = targets(&self.desired);
        // Those that were removed keep their flows for a while.
        let mut known: BTreeSet<IpAddr> = targets.iter().map(|target| target.address).collect();
        for (_, backend) in self.live.living() {
            if known.insert(backend.address) {
                targets.push(Target {
                    address: backend.address,
                    mac: backend.mac,
                });
            }
        }
        targets
    }

    /// Makes another configuration the one in force. On an error nothing has changed.
    pub(super) fn apply(
        &mut self,
        desired: Desired,
        resolutions: BTreeMap<IpAddr, Resolution>,
    ) -> Result<Reloaded, EngineError> {
        let before = std::mem::replace(&mut self.reach.resolutions, resolutions);
        let next_hop = |service: &_, backend: &_| self.reach.next_hop(service, backend);
        let applied = self.live.apply(&mut self.plane, &desired, &next_hop);
        let applied = match applied {
            Ok(applied) => applied,
            Err(error) => {
                self.reach.resolutions = before;
                return Err(error);
            }
        };
        info!(?applied, "applied");
        self.ages = Ages::of(&desired.timeouts);
        self.desired = desired;
        let services = &self.desired.services;
        Ok(Reloaded {
            services: services.len(),
            backends: services.iter().map(|s| s.backends.len()).sum(),
            warnings: Vec::new(),
        })
    }

    /// Lets go of flows that are over.
    pub(super) fn sweep(&mut self) -> Result<(), EngineError> {
        let swept = self.live.sweep(&mut self.plane, &self.ages)?;
        debug!(?swept, "swept the flow tables");
        Ok(())
    }

    /// Takes the program off every interface.
    pub(super) fn stop(&mut self) -> Result<(), EngineError> {
        self.plane.detach()
    }

    /// Everything worth knowing.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn status(&self) -> Result<Status, EngineError> {
        let counts = self.plane.reason_counters()?;
        let reasons = Reason::ALL
            .iter()
            .zip(counts)
            .map(|(reason, count)| (reason.name().to_owned(), count))
            .collect();
        let services = self
            .live
            .services()
            .map(|service| self.service_status(service))
            .collect::<Result<_, _>>()?;
        Ok(Status {
            instance: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_seconds: self.started.elapsed().as_secs(),
            interfaces: self.attached.iter().map(interface_status).collect(),
            services,
            flows: self.flow_status()?,
            reasons,
        })
    }

    fn service_status(&self, live: ServiceView<'_>) -> Result<ServiceStatus, EngineError> {
        let service = live.desired();
        let backends = service
            .backends
            .iter()
            .map(|backend| {
                let slots = live.backend(backend).map_or(0, |backend| backend.slots);
                let share = f64::from(slots) / f64::from(live.slots().max(1));
                let index = live.backend(backend).map(|backend| backend.index);
                self.backend_status(service, backend, index, share)
            })
            .collect::<Result<_, _>>()?;
        Ok(ServiceStatus {
            service: service.id.to_string(),
            mode: service.mode.to_string(),
            affinity: service.affinity.to_string(),
            slots: live.slots(),
            backends,
        })
    }

    fn backend_status(
        &self,
        service: &Service,
        backend: &Backend,
        index: Option<u32>,
        share: f64,
    ) -> Result<BackendStatus, EngineError> {
        // One that is down has no index, and so no counters.
        let counters = index.map(|index| self.plane.backend_counters(index));
        let counters = counters.transpose()?.unwrap_or_default();
        let resolved = self.reach.resolve(service, backend);
        let hop = resolved.as_ref().ok();
        let port = service
            .backend_port(backend)
            .map_or_else(|| "*".into(), |port| port.to_string());
        Ok(BackendStatus {
            address: format!("{}:{port}", backend.address),
            state: if hop.is_some() { "up" } else { "unreachable" }.into(),
            problem: resolved.as_ref().err().cloned(),
            mac: hop.map(|hop| hop.destination_mac.to_string()),
            interface: hop.and_then(|hop| self.reach.interfaces.get(&hop.interface_index).cloned()),
            source: hop.map(|hop| {
                let configured = self.desired.source(service.mode, backend.address);
                configured.unwrap_or(hop.source_address).to_string()
            }),
            weight: backend.weight,
            share,
            packets: counters.packets,
            bytes: counters.bytes,
            reply_packets: counters.reply_packets,
            reply_bytes: counters.reply_bytes,
            new_flows: counters.new_flows,
        })
    }

    fn flow_status(&self) -> Result<FlowStatus, EngineError> {
        let count = |table| {
            let mut flows = 0_u64;
            let mut add = |state: &FlowState| flows += u64::from(state.direction == FORWARD);
            let plane = &self.plane;
            plane.for_each_flow::<V4>(table, &mut |_, flow| add(flow.state()))?;
            plane.for_each_flow::<V6>(table, &mut |_, flow| add(flow.state()))?;
            Ok::<_, EngineError>(flows)
        };
        Ok(FlowStatus {
            established: count(FlowTable::Established)?,
            established_limit: self.desired.limits.flows.into(),
            half_open: count(FlowTable::HalfOpen)?,
            half_open_limit: self.desired.limits.half_open_flows.into(),
        })
    }
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
