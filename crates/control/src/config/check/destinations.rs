//! Where rewritten packets go, against what every service takes: no loops, no ambiguous answers.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use engine::desired::{ForwardingMode, GUE_PORT, Prefix, Protocol, ServiceId, ServicePort};

use super::Checker;
use super::backends::endpoint;
use crate::config::raw::{RawBackend, RawService};
use crate::config::source::Span;

/// Where the packets of a service go at one of its backends.
struct Destination<'a> {
    service: &'a ServiceId,
    backend: &'a RawBackend,
    protocol: Protocol,
    address: IpAddr,
    /// `None`: the port the client asked for.
    port: Option<u16>,
}

impl<'a> Destination<'a> {
    /// `None` if packets to the backend keep the client's destination, or travel as a protocol
    /// that no service has (IPIP).
    fn of(raw: &RawService, service: &'a ServiceId, backend: &'a RawBackend) -> Option<Self> {
        let (protocol, port) = match raw.mode? {
            ForwardingMode::Nat | ForwardingMode::Dnat => (
                service.protocol,
                match (&backend.port, service.port) {
                    (Some(port), _) => Some(port.value),
                    (None, ServicePort::Exact(port)) => Some(port),
                    (None, ServicePort::Any) => None,
                },
            ),
            ForwardingMode::Gue => {
                let port = backend.gue_port.as_ref().or(raw.gue_port.as_ref());
                let port = port.map_or(GUE_PORT, |port| port.value);
                (Protocol::Udp, Some(port))
            }
            ForwardingMode::L2Dsr | ForwardingMode::Ipip => return None,
        };
        Some(Self {
            service,
            backend,
            protocol,
            address: backend.address.value,
            port,
        })
    }

    fn endpoint(&self) -> String {
        endpoint(self.address, self.port)
    }
}

/// The services by what it takes to find those that an address and port fall to.
struct Reachable {
    /// Lengths of the prefixes.
    lengths: BTreeSet<u8>,
    /// Some service of each prefix, whatever its port.
    by_prefix: HashMap<(Protocol, Prefix), ServiceId>,
}

impl Reachable {
    fn of<'a>(services: impl Iterator<Item = &'a ServiceId>) -> Self {
        let mut lengths = BTreeSet::new();
        let mut by_prefix = HashMap::new();
        for id in services {
            lengths.insert(id.address.length());
            // The smallest, so that messages do not depend on the order of a hash table.
            by_prefix
                .entry((id.protocol, id.address))
                .and_modify(|other: &mut ServiceId| *other = (*other).min(*id))
                .or_insert(*id);
        }
        Self { lengths, by_prefix }
    }

    /// The service that would take a packet to this destination.
    fn find(&self, services: &HashMap<ServiceId, Span>, to: &Destination) -> Option<ServiceId> {
        self.lengths.iter().rev().find_map(|length| {
            let address = Prefix::around(to.address, *length)?;
            let some = self.by_prefix.get(&(to.protocol, address))?;
            let Some(port) = to.port else {
                return Some(*some);
            };
            [ServicePort::Exact(port), ServicePort::Any]
                .map(|port| ServiceId { port, ..*some })
                .into_iter()
                .find(|id| services.contains_key(id))
        })
    }
}

/// Who gets a `dnat` backend's answers.
type Answers<'a> = HashMap<(Protocol, IpAddr, Option<u16>), Destination<'a>>;

impl Checker<'_> {
    pub(super) fn destinations(&mut self, services: &[Arc<RawService>]) {
        let reachable = Reachable::of(self.services.keys());
        let mut answers = Answers::new();
        // Backends of every port first: an answer from one port can be theirs, too.
        for any in [true, false] {
            for service in services {
                let Some(id) = &service.id else { continue };
                if any && id.value.port != ServicePort::Any {
                    continue;
                }
                for to in service
                    .backends
                    .iter()
                    .chain(&service.health.sorry)
                    .filter_map(|backend| Destination::of(service, &id.value, backend))
                    .filter(|to| to.port.is_none() == any)
                {
                    self.not_a_service(&reachable, &to);
                    if service.mode == Some(ForwardingMode::Dnat) {
                        self.one_way_back(&mut answers, to);
                    }
                }
            }
        }
    }

    fn not_a_service(&mut self, reachable: &Reachable, to: &Destination) {
        // Reported where the address is looked at.
        if to.service.address.single() == Some(to.address) {
            return;
        }
        if let Some(service) = reachable.find(&self.services, to) {
            self.report_help(
                &to.backend.address.span,
                format!("backend {} is reached through {service}", to.endpoint()),
                "expected a server's address, which this instance does not balance",
                "packets to it would be balanced again: write that service's backends here",
            );
        }
    }

    /// `dnat` has no table of flows: an answer's source is all that tells which VIP it gets.
    fn one_way_back<'a>(&mut self, answers: &mut Answers<'a>, to: Destination<'a>) {
        let clash = [to.port, None]
            .iter()
            .filter_map(|port| answers.get(&(to.protocol, to.address, *port)))
            // Both give the answer the same source: the service of every port, and one of its
            // ports that is not remapped.
            .find(|other| {
                other.service != to.service
                    && !(other.port.is_none()
                        && other.service.address == to.service.address
                        && to.port.map(ServicePort::Exact) == Some(to.service.port))
            });
        if let Some(other) = clash {
            let mention = self.source.mention(&other.backend.address.span);
            self.report_help(
                &to.backend.address.span,
                format!(
                    "backend {} answers for {} and for {}",
                    to.endpoint(),
                    other.service,
                    to.service
                ),
                format!("expected another port or address than {mention}"),
                "mode \"dnat\" tells by an answer's address and port which service it belongs to: \
                 give the backend a port for each service, or choose another mode",
            );
        }
        answers
            .entry((to.protocol, to.address, to.port))
            .or_insert(to);
    }
}
