//! What is running.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant as Clock;

use engine::dataplane::{AttachMode, Attachment, DataPlane};
use engine::desired::{Backend, Desired, ForwardingMode, Limits, NextHop, Service};
use engine::image::Image;
use engine::live::{Applied, Live, Preview};
use engine::maps::Maps as _;
use engine::sweep::Ages;
use engine::{EngineError, Settings};
use nix::net::if_::if_indextoname;
use tracing::debug;

use super::Configuration;
use super::counted::Counted;
use super::health::Conditions;
use super::interfaces::LastTold;
use crate::event::{Events, What};
use crate::health::BoardReader;
use crate::nexthop::{Interface, Resolution, Target, targets};
use crate::plan::{self, PlanReport};
use crate::status::ApplyStatus;

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
    pub(super) interfaces: BTreeMap<u32, String>,
    pub(super) resolutions: BTreeMap<IpAddr, Resolution>,
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
    pub(super) fn resolve(&self, service: &Service, backend: &Backend) -> Result<NextHop, String> {
        let (hop, gateway) = self.look_up(backend.address)?;
        match gateway {
            Some(gateway) if service.mode == ForwardingMode::L2Dsr => Err(format!(
                "l2-dsr needs the backend on the same network, but the route leads through \
                 {gateway}: use mode ipip or gue"
            )),
            _ => Ok(hop),
        }
    }

    /// The addresses whose next hops are known.
    pub(super) fn known(&self) -> Vec<(IpAddr, NextHop)> {
        let addresses = self.resolutions.keys();
        let known = |address: &IpAddr| Some((*address, self.look_up(*address).ok()?.0));
        addresses.filter_map(known).collect()
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
                "reached through {}, which evenkeel does not run on: name it, too",
                name_of(hop.interface_index)
            ));
        }
        Ok((hop, gateway))
    }
}

/// An interface as people call it.
fn name_of(index: u32) -> String {
    if_indextoname(index).map_or_else(
        |_| format!("interface {index}"),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What a change may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Whatever it has to.
    ToBreakFlows,
    /// Nothing that breaks flows, or might.
    ToBreakNothing,
}

impl Leave {
    pub(super) fn of(disruption: bool) -> Self {
        match disruption {
            true => Self::ToBreakFlows,
            false => Self::ToBreakNothing,
        }
    }

    /// What forbids the change, if anything does.
    fn refusal(
        self,
        plane: &DataPlane,
        between: [&Desired; 2],
        preview: impl FnOnce() -> Result<Preview, EngineError>,
    ) -> Result<Option<Outcome>, EngineError> {
        if self == Self::ToBreakFlows {
            return Ok(None);
        }
        let report = plan::disruption(&preview()?, between, plane)?;
        Ok(report.map(|report| Outcome::WouldBreak(Box::new(report))))
    }
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was made.
    Applied(Applied),
    /// Flows would break, or might, and there was no leave for that: nothing has changed.
    WouldBreak(Box<PlanReport>),
}

/// A running instance.
#[derive(Debug)]
pub struct Instance {
    pub(super) name: String,
    pub(super) started: Clock,
    pub(super) plane: DataPlane,
    pub(super) live: Live,
    pub(super) attached: Vec<Attached>,
    /// How to attach.
    pub(super) mode: AttachMode,
    pub(super) reach: Reach,
    /// Whether the maps do not say yet what `reach` does.
    pub(super) is_behind: bool,
    pub(super) ages: Ages,
    /// What the tables were made for.
    pub(super) limits: Limits,
    pub(super) events: Events,
    pub(super) told: LastTold,
    pub(crate) configuration: Configuration,
    /// What is known of the backends' health.
    pub(super) board: BoardReader,
    pub(super) conditions: Conditions,
    /// How configurations have been applied.
    pub(super) applies: ApplyStatus,
    /// How often the kernel's notifications came too fast.
    pub(super) netlink_overruns: u64,
    /// Flows of each backend, for the status.
    pub(super) counted: Counted,
}

impl Instance {
    /// What is configured.
    pub(super) fn desired(&self) -> &Desired {
        self.live.desired()
    }

    /// Takes changed next hops over. After an error, the next sweep tries again.
    pub(super) fn follow(&mut self, changes: Vec<(IpAddr, Resolution)>) -> Result<(), EngineError> {
        for (address, resolution) in changes {
            let old = self.reach.look_up(address);
            self.reach.resolutions.insert(address, resolution);
            let new = self.reach.look_up(address);
            if old == new {
                continue;
            }
            self.is_behind = true;
            self.events.tell(What::NextHop {
                address: address.to_string(),
                mac: new
                    .as_ref()
                    .ok()
                    .map(|(hop, _)| hop.destination_mac.to_string()),
                problem: new.err(),
            });
        }
        self.catch_up()
    }

    pub(super) fn catch_up(&mut self) -> Result<(), EngineError> {
        if !self.is_behind {
            return Ok(());
        }
        let reach = &self.reach;
        self.live
            .apply_next_hops(&mut self.plane, &|service, backend| {
                reach.next_hop(service, backend)
            })?;
        self.is_behind = false;
        Ok(())
    }

    /// What has to be reached: the backends that are configured, and those that were and still
    /// have flows.
    pub(super) fn targets(&self) -> Vec<Target> {
        targets(self.desired().backends().chain(self.live.leaving()))
    }

    /// Makes another configuration the one in force. On an error nothing has changed.
    pub(super) fn apply(
        &mut self,
        desired: &Desired,
        resolutions: BTreeMap<IpAddr, Resolution>,
        leave: Leave,
    ) -> Result<Outcome, EngineError> {
        let before = std::mem::replace(&mut self.reach.resolutions, resolutions);
        let outcome = self.try_apply(desired, leave);
        match outcome {
            Ok(Outcome::Applied(_)) => self.ages = Ages::of(&desired.timeouts),
            Ok(Outcome::WouldBreak(_)) | Err(_) => self.reach.resolutions = before,
        }
        outcome
    }

    /// Applies; if the program lacks something for it, or the maps have no room, with another program.
    pub(super) fn try_apply(
        &mut self,
        desired: &Desired,
        leave: Leave,
    ) -> Result<Outcome, EngineError> {
        if let Some(settings) = self.other_settings(desired)? {
            if let Some(refusal) = self.refusal(desired, leave)? {
                return Ok(refusal);
            }
            self.exchange(desired, settings, false)?;
            self.limits.clone_from(&desired.limits);
            self.exchanged("other settings");
        }
        match self.apply_in_room(desired, leave) {
            Err(error) if error.is_for_room() && self.plane.can_be_replaced() => {}
            result => return result,
        }
        if let Some(refusal) = self.refusal(desired, leave)? {
            return Ok(refusal);
        }
        self.exchange(desired, self.plane.settings(), true)?;
        self.exchanged("more room");
        self.apply_in_room(desired, Leave::ToBreakFlows)
    }

    /// What the program has to be loaded with, unless it or its tables are as they should be.
    fn other_settings(&self, desired: &Desired) -> Result<Option<Settings>, EngineError> {
        let other = self.live.other_settings(desired)?;
        let tables = (self.limits != desired.limits).then(|| self.plane.settings());
        Ok(other.or(tables))
    }

    /// Applies with the program that there is, if its maps have the room.
    fn apply_in_room(&mut self, desired: &Desired, leave: Leave) -> Result<Outcome, EngineError> {
        let reach = &self.reach;
        let next_hop = |service: &Service, backend: &Backend| reach.next_hop(service, backend);
        let change = self.live.prepare(&mut self.plane, desired, &next_hop)?;
        match leave.refusal(&self.plane, change.between(), || {
            Ok(change.preview(&self.plane))
        })? {
            Some(refusal) => Ok(refusal),
            None => change.make(&mut self.plane).map(Outcome::Applied),
        }
    }

    /// What forbids a change that takes another program.
    fn refusal(&self, desired: &Desired, leave: Leave) -> Result<Option<Outcome>, EngineError> {
        let reach = &self.reach;
        let next_hop = |service: &Service, backend: &Backend| reach.next_hop(service, backend);
        let preview = || self.live.preview(&self.plane, desired, &next_hop);
        leave.refusal(&self.plane, [self.desired(), desired], preview)
    }

    fn exchange(
        &mut self,
        desired: &Desired,
        settings: Settings,
        more: bool,
    ) -> Result<(), EngineError> {
        let reach = &self.reach;
        let next_hop = |service: &Service, backend: &Backend| reach.next_hop(service, backend);
        let image = Image::build(desired, next_hop)?;
        self.plane.replace(settings, &desired.limits, &image, more)
    }

    fn exchanged(&mut self, reason: &str) {
        self.live.rebase(self.plane.settings(), self.plane.room());
        self.events.tell(What::ProgramExchanged {
            reason: reason.into(),
        });
    }

    /// Lets go of flows that are over, and lets slots settle.
    pub(super) fn sweep(&mut self) -> Result<(), EngineError> {
        self.catch_up()?;
        let swept = self.live.sweep(&mut self.plane, &self.ages)?;
        debug!(?swept, "swept the tables of flows");
        Ok(())
    }

    /// Takes the program off every interface, and leaves nothing behind.
    pub(super) fn stop(&mut self) -> Result<(), EngineError> {
        self.plane.detach()
    }
}
