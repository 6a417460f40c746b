//! The flows that are known one by one: to look at, to forget, and whether there are any left.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use engine::EngineError;
use engine::desired::{Backend, Prefix, Service, ServiceId};
use engine::flows::{self, FlowFilter, FlowKind, FlowName, FlowPhase, KnownFlow};

use super::{Instance, Running, lock};
use crate::api::model::{Flow, FlowState, FlowTable, Flushed};
use crate::config::Checked;
use crate::config::{BackendName, backend_name};
use crate::event::What;
use crate::plan::{self, PlanReport};
use crate::status::ServiceStatus;

/// Which flows are meant: those that all of it is true of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Of this service.
    pub(crate) service: Option<ServiceId>,
    /// Of this backend, whatever service it is of.
    pub(crate) backend: Option<BackendName>,
    /// Of clients there.
    pub(crate) client: Option<Prefix>,
}

/// What is wanted is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlowError {
    /// A service.
    #[error("there is no service {0}")]
    NoService(ServiceId),
    /// A backend.
    #[error("no service has a backend {0}")]
    NoBackend(String),
    /// A map.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Instance {
    /// The first `limit` flows behind `after`, in the order of their names.
    pub(crate) fn flows(
        &mut self,
        wanted: &Wanted,
        after: Option<FlowName>,
        limit: usize,
    ) -> Result<Vec<Flow>, FlowError> {
        let filter = self.filter(wanted)?;
        let found = flows::list(&mut self.plane, &filter, after, limit)?;
        let names = self.names();
        Ok(found.iter().map(|flow| told(flow, &names)).collect())
    }

    /// Forgets flows, and says how many.
    pub(crate) fn flush(&mut self, wanted: &Wanted) -> Result<Flushed, FlowError> {
        let filter = self.filter(wanted)?;
        let flushed = flows::flush(&mut self.plane, &filter)?;
        self.counted.forget();
        Ok(Flushed {
            nat: flushed.nat,
            exceptions: flushed.exceptions,
        })
    }

    fn filter(&self, wanted: &Wanted) -> Result<FlowFilter, FlowError> {
        let of_service =
            |id: ServiceId| move |view: &engine::live::ServiceView<'_>| view.desired().id == id;
        let services = match wanted.service {
            None => None,
            Some(id) => {
                let found: HashSet<u32> = self
                    .live
                    .services()
                    .filter(of_service(id))
                    .map(engine::live::ServiceView::index)
                    .collect();
                if found.is_empty() {
                    return Err(FlowError::NoService(id));
                }
                Some(found)
            }
        };
        let backends = match wanted.backend {
            None => None,
            Some(name) => {
                let found: HashSet<u32> = self
                    .live
                    .services()
                    .flat_map(|view| {
                        let service = view.desired();
                        view.backends().filter(move |it| {
                            let port = service.backend_port(it.desired);
                            it.desired.address == name.address
                                && (name.port.is_none() || name.port == port)
                        })
                    })
                    .map(|it| it.index)
                    .collect();
                if found.is_empty() {
                    return Err(FlowError::NoBackend(name.to_string()));
                }
                Some(found)
            }
        };
        Ok(FlowFilter {
            services,
            backends,
            clients: wanted.client,
        })
    }

    fn names(&self) -> Names {
        let mut names = Names::default();
        for view in self.live.services() {
            let service = view.desired();
            names.services.insert(view.index(), service.id.to_string());
            for backend in view.backends() {
                let name = backend_name(service, backend.desired);
                names.backends.insert(backend.index, name);
            }
        }
        names
    }

    /// What another configuration would change.
    pub(crate) fn plan(&self, checked: &Checked) -> Result<PlanReport, EngineError> {
        let desired = &self.target(checked).desired;
        let reach = &self.reach;
        let next_hop = |service: &Service, backend: &Backend| reach.next_hop(service, backend);
        let mut report = plan::report(&self.live, &self.plane, desired, &next_hop)?;
        let now = self.configuration.checked();
        report.settings.extend(plan::of_the_process(now, checked));
        Ok(report)
    }

    /// The services behind `after` in the order of the configuration, at most `limit`; or only one.
    pub(crate) fn services(
        &self,
        after: Option<ServiceId>,
        limit: usize,
    ) -> Result<Vec<ServiceStatus>, EngineError> {
        let look = self.look()?;
        let mut services = self.live.services();
        if let Some(after) = after {
            services.find(|view| view.desired().id == after);
        }
        let services = services.take(limit);
        services
            .map(|view| self.service_status(view, &look))
            .collect()
    }

    /// A service.
    pub(crate) fn service(&self, id: ServiceId) -> Result<Option<ServiceStatus>, EngineError> {
        let found = self.live.services().find(|view| view.desired().id == id);
        let Some(view) = found else { return Ok(None) };
        let look = self.look()?;
        self.service_status(view, &look).map(Some)
    }

    /// Whether there is such a service.
    pub(crate) fn has_service(&self, id: ServiceId) -> bool {
        self.live.services().any(|view| view.desired().id == id)
    }
}

impl Running {
    /// Tells of backends whose last flow has ended.
    pub(super) fn tell_drained(&self) {
        let mut instance = lock(&self.instance);
        for drained in instance.live.drained() {
            let (service, backend) = (&drained.service, &drained.backend);
            // It has nothing to go for: it waits until it is needed.
            if instance.is_sorry(service, backend) {
                continue;
            }
            self.events.tell(What::Drained {
                service: drained.service.id.to_string(),
                backend: backend_name(&drained.service, &drained.backend),
            });
        }
    }
}

/// Names of services and backends, by their indices.
#[derive(Default)]
struct Names {
    services: HashMap<u32, String>,
    backends: HashMap<u32, String>,
}

fn told(flow: &KnownFlow, names: &Names) -> Flow {
    let name = &flow.name;
    Flow {
        protocol: match name.protocol {
            wire_tcp::TCP => "tcp".into(),
            wire_tcp::UDP => "udp".into(),
            other => other.to_string(),
        },
        client: name.client.to_string(),
        destination: name.destination.to_string(),
        service: names.services.get(&flow.service).cloned(),
        backend: names.backends.get(&flow.backend).cloned(),
        table: match name.kind {
            FlowKind::Nat => FlowTable::Nat,
            FlowKind::Exception => FlowTable::Exception,
        },
        state: match flow.phase {
            FlowPhase::HalfOpen => FlowState::HalfOpen,
            FlowPhase::Established => FlowState::Established,
            FlowPhase::Closing => FlowState::Closing,
            FlowPhase::Closed => FlowState::Closed,
        },
        idle_seconds: flow.idle.as_secs(),
    }
}

/// IP protocol numbers (IANA).
mod wire_tcp {
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
}

/// A flow's name in one word, which stands for its place in the list.
pub(crate) fn cursor(flow: &Flow) -> String {
    let table = match flow.table {
        FlowTable::Nat => "nat",
        FlowTable::Exception => "exception",
    };
    format!(
        "{},{},{},{table}",
        flow.protocol, flow.client, flow.destination
    )
}

/// The place that such a word stands for.
pub(crate) fn from_cursor(text: &str) -> Option<FlowName> {
    let mut words = text.split(',');
    let protocol = match words.next()? {
        "tcp" => wire_tcp::TCP,
        "udp" => wire_tcp::UDP,
        number => number.parse().ok()?,
    };
    let mut address = || words.next()?.parse::<SocketAddr>().ok();
    let (client, destination) = (address()?, address()?);
    let kind = match words.next()? {
        "nat" => FlowKind::Nat,
        "exception" => FlowKind::Exception,
        _ => return None,
    };
    Some(FlowName {
        client,
        destination,
        protocol,
        kind,
    })
    .filter(|_| words.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_the_flow_that_it_was_made_of() {
        let flow = Flow {
            protocol: "udp".into(),
            client: "[2001:db8::7]:4000".into(),
            destination: "[2001:db8::1]:53".into(),
            service: None,
            backend: None,
            table: FlowTable::Exception,
            state: FlowState::Established,
            idle_seconds: 0,
        };
        let name = from_cursor(&cursor(&flow)).unwrap();
        assert_eq!(name.client.to_string(), flow.client);
        assert_eq!(name.destination.to_string(), flow.destination);
        assert_eq!((name.protocol, name.kind), (17, FlowKind::Exception));
        for bad in [
            "",
            "tcp",
            "tcp,1,2,nat",
            "tcp,1.2.3.4:5,1.2.3.4:5,nat,",
            "x,y,z,nat",
        ] {
            assert_eq!(from_cursor(bad), None, "{bad}");
        }
    }
}
