//! A service's backends: each on its own, and against the others.

use std::collections::HashMap;
use std::net::IpAddr;

use engine::desired::{Backend, ForwardingMode, GUE_PORT, ServicePort};

use super::Checker;
use super::address::family;
use crate::config::limits::MAX_BACKENDS;
use crate::config::raw::{At, RawBackend, RawService};
use crate::config::source::Span;

impl Checker<'_> {
    /// The service's backends, and those it falls back on.
    pub(super) fn backends(&mut self, service: &RawService) -> (Vec<Backend>, Vec<Backend>) {
        let mut first = HashMap::new();
        let backends = self.backend_list(service, &service.backends, &mut first);
        let sorry = self.backend_list(service, &service.health.sorry, &mut first);
        self.check_weights(&backends, "backend", &service.span);
        if let Some(one) = service.health.sorry.first() {
            self.check_weights(&sorry, "sorry backend", &one.address.span);
        }
        (backends, sorry)
    }

    fn check_weights(&mut self, list: &[Backend], what: &str, span: &Span) {
        if !list.is_empty() && list.iter().all(|backend| backend.weight == 0) {
            self.report(
                span,
                format!("every {what} has weight 0"),
                format!("expected at least one {what} with a weight above 0"),
            );
        }
    }

    fn backend_list(
        &mut self,
        service: &RawService,
        list: &[RawBackend],
        first: &mut HashMap<(IpAddr, Option<u16>), Span>,
    ) -> Vec<Backend> {
        let mut result = Vec::with_capacity(list.len());
        for raw in list {
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
            self.gue_port(service.mode, raw.gue_port.as_ref());
            let gue_port = raw.gue_port.as_ref().or(service.gue_port.as_ref());
            let backend = Backend {
                address: raw.address.value,
                port: raw.port.as_ref().map(|port| port.value),
                weight: raw.weight,
                mac: raw.mac.as_ref().map(|mac| mac.value),
                state: raw.state,
                gue_port: gue_port.map_or(GUE_PORT, |port| port.value),
                quic_server_id: raw.quic_server_id.as_ref().map(|id| id.value),
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
            (Some(ServicePort::Exact(expected)), Some(port)) => {
                self.remapped(service.mode, expected, port);
                Some(port.value)
            }
            (None, Some(port)) => Some(port.value),
            (Some(ServicePort::Exact(port)), None) => Some(port),
            (Some(ServicePort::Any) | None, None) => None,
        }
    }

    /// Only modes that rewrite the destination can change its port.
    fn remapped(&mut self, mode: Option<ForwardingMode>, expected: u16, port: &At<u16>) {
        let Some(mode) = mode.filter(|mode| !mode.rewrites_destination()) else {
            return;
        };
        if port.value == expected {
            return;
        }
        let outer = match mode {
            ForwardingMode::Gue => "; the outer header's port is `gue_port`",
            _ => "",
        };
        self.report_help(
            &port.span,
            format!("backend port {} in mode \"{mode}\"", port.value),
            format!("expected no port, or the service's, {expected}"),
            format!(
                "the backend gets the packet as the client sent it; \
                 only \"nat\" and \"dnat\" can change its port{outer}"
            ),
        );
    }

    fn backend_address(&mut self, service: &RawService, raw: &RawBackend) {
        let At {
            value: address,
            span,
        } = &raw.address;
        self.reachable((*address).into(), span, "backend address");
        let vip = service.id.as_ref().map(|id| id.value.address);
        // Without a service address, the first backend says which family the others have.
        let (expected, of) = match vip {
            Some(vip) => (vip.is_ipv6(), "its service"),
            None => {
                let first = service.backends.first().unwrap_or(raw);
                (first.address.value.is_ipv6(), "the first backend")
            }
        };
        if vip == Some((*address).into()) {
            self.report(
                span,
                format!("backend {address} is the service's own address"),
                "expected the address of a server behind it",
            );
        } else if let Some(mode) = service.mode
            && !mode.encapsulates()
            && address.is_ipv6() != expected
        {
            self.report_help(
                span,
                format!(
                    "backend {address} is {}, {of} {}",
                    family(!expected),
                    family(expected)
                ),
                format!("expected an {} address", family(expected)),
                format!(
                    "mode \"{mode}\" cannot cross from one family to the other; \
                     \"ipip\" and \"gue\" can"
                ),
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

/// As in `10.0.0.2:80`; without a port the address only.
pub(super) fn endpoint(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (_, None) => address.to_string(),
        (IpAddr::V4(v4), Some(port)) => format!("{v4}:{port}"),
        (IpAddr::V6(v6), Some(port)) => format!("[{v6}]:{port}"),
    }
}
