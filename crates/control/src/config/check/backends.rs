//! A service's backends: each on its own, and against the others.

use std::collections::HashMap;
use std::net::IpAddr;

use engine::desired::{Backend, ServicePort};

use super::Checker;
use crate::config::limits::MAX_BACKENDS;
use crate::config::raw::{At, RawBackend, RawService};
use crate::config::source::Span;

impl Checker<'_> {
    pub(super) fn backends(&mut self, service: &RawService) -> Vec<Backend> {
        let mut first: HashMap<(IpAddr, Option<u16>), Span> = HashMap::new();
        let mut result = Vec::with_capacity(service.backends.len());
        for raw in &service.backends {
            self.backends += 1;
            if self.backends == MAX_BACKENDS + 1 {
                self.report(
                    &raw.address.span,
                    format!("more than {MAX_BACKENDS} backends"),
                    format!("expected at most {MAX_BACKENDS}, over all services"),
                );
            }
            self.backend_address(service, raw);
            self.backend_mac(raw);
            let backend = Backend {
                address: raw.address.value,
                port: raw.port.as_ref().map(|port| port.value),
                weight: raw.weight,
                mac: raw.mac.as_ref().map(|mac| mac.value),
            };
            let port = self.backend_port(service, raw);
            if let Some(earlier) = first.get(&(backend.address, port)) {
                let mention = self.source.mention(earlier);
                self.report_help(
                    &raw.address.span,
                    format!("backend {} is given twice", endpoint(backend.address, port)),
                    format!("expected another address or port; first {mention}"),
                    "for a larger share give it a larger weight",
                );
            } else {
                first.insert((backend.address, port), raw.address.span.clone());
            }
            result.push(backend);
        }
        if !result.is_empty() && result.iter().all(|backend| backend.weight == 0) {
            self.report(
                &service.span,
                "every backend has weight 0",
                "expected at least one backend with a weight above 0",
            );
        }
        result
    }

    /// The port the backend is reached on, which a port of its own must not contradict.
    fn backend_port(&mut self, service: &RawService, raw: &RawBackend) -> Option<u16> {
        let service_port = service.id.as_ref().map(|id| id.value.port);
        match (service_port, &raw.port) {
            (Some(ServicePort::Any), Some(port)) => {
                self.report_help(
                    &port.span,
                    format!("backend port {} in a service of every port", port.value),
                    "expected no port",
                    "the backend gets the port the client asked for; \
                     with one port for all, it could not tell them apart",
                );
                Some(port.value)
            }
            (_, Some(port)) => Some(port.value),
            (Some(ServicePort::Exact(port)), None) => Some(port),
            (Some(ServicePort::Any) | None, None) => None,
        }
    }

    fn backend_address(&mut self, service: &RawService, raw: &RawBackend) {
        let At {
            value: address,
            span,
        } = &raw.address;
        self.host_address(*address, span, "backend address");
        let vip = service.id.as_ref().map(|id| id.value.address);
        // Without a service address, the first backend says which family the others have.
        let (family, of) = match vip {
            Some(vip) => (vip.is_ipv6(), "its service"),
            None => (
                service.backends[0].address.value.is_ipv6(),
                "the first backend",
            ),
        };
        let name = |v6: bool| if v6 { "IPv6" } else { "IPv4" };
        if vip == Some(*address) {
            self.report(
                span,
                format!("backend {address} is the service's own address"),
                "expected the address of a server behind it",
            );
        } else if address.is_ipv6() != family {
            self.report_help(
                span,
                format!(
                    "backend {address} is {}, {of} {}",
                    name(!family),
                    name(family)
                ),
                format!("expected an {} address", name(family)),
                "mode \"nat\" cannot cross from one family to the other",
            );
        }
    }

    /// One address has one next hop, whatever services it is behind.
    fn backend_mac(&mut self, raw: &RawBackend) {
        let Some(mac) = &raw.mac else { return };
        let address = raw.address.value;
        match self.macs.get(&address) {
            Some((earlier, span)) if *earlier != mac.value => {
                let mention = self.source.mention(span);
                let found = format!("two MACs for backend {address}");
                let expected = format!("expected {earlier}, given {mention}");
                self.report(&mac.span, found, expected);
            }
            Some(_) => {}
            None => {
                self.macs.insert(address, (mac.value, mac.span.clone()));
            }
        }
    }
}

fn endpoint(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (_, None) => address.to_string(),
        (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
        (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
    }
}
