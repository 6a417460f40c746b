//! A service on its own, and against the others of its address.

use engine::desired::{Backend, ForwardingMode, Service, ServiceId};

use super::Checker;
use crate::config::limits::{MAX_PREFIXES, MAX_SERVICES};
use crate::config::raw::{At, RawService};
use crate::health::ServiceHealth;

impl Checker<'_> {
    pub(super) fn service(
        &mut self,
        index: usize,
        raw: &RawService,
    ) -> Option<(Service, ServiceHealth)> {
        if index == MAX_SERVICES {
            self.report_help(
                &raw.span,
                format!("more than {MAX_SERVICES} services"),
                format!("expected at most {MAX_SERVICES}"),
                "one with port * covers every port of its address; or spread them over instances",
            );
        }
        if let Some(id) = &raw.id {
            self.service_address(id);
            self.mode(raw.mode, id);
            self.echo(raw, id);
        }
        self.has_backends(raw);
        self.gue_port(raw.mode, raw.gue_port.as_ref());
        self.quic(raw);
        let (backends, sorry) = self.backends(raw);
        let health = self.health(raw, sorry);
        let ring_log2 = raw
            .ring_slots
            .as_ref()
            .map(|slots| self.ring_log2(slots, &backends));
        let service = Service {
            mode: raw.mode?,
            affinity: raw.affinity,
            track: raw.track.as_ref().map(|at| at.value).unwrap_or_default(),
            transition_window: raw
                .transition_window
                .as_ref()
                .map_or(Service::TRANSITION_WINDOW, |at| at.value),
            no_backend: raw.no_backend,
            quic: raw.quic.as_ref().map(|at| at.value),
            ring_log2,
            ..Service::new(raw.id.as_ref()?.value, backends)
        };
        Some((service, health))
    }

    fn has_backends(&mut self, raw: &RawService) {
        if raw.has_backends {
            return;
        }
        let name = raw
            .id
            .as_ref()
            .map_or("a service".into(), |id| id.value.to_string());
        self.report_help(
            &raw.span,
            format!("{name} has no backends"),
            "expected at least one backend",
            match self.source.file {
                Some(_) => "write backends = [\"10.0.0.2\", \"10.0.0.3\"]",
                None => "add --backend 10.0.0.2",
            },
        );
    }

    fn service_address(&mut self, id: &At<ServiceId>) {
        let At { value, span } = id;
        self.reachable(value.address, span, "service address");
        if value.address.single().is_none() {
            let count = &mut self.prefixes[usize::from(value.address.is_ipv6())];
            *count += 1;
            if *count == MAX_PREFIXES + 1 {
                self.report(
                    span,
                    format!("more than {MAX_PREFIXES} services of a prefix"),
                    format!("expected at most {MAX_PREFIXES} in each family"),
                );
            }
        }
        if let Some(earlier) = self.services.get(value) {
            let mention = self.source.mention(earlier);
            self.report_help(
                span,
                format!("service {value} is given twice"),
                format!("expected another address, port or protocol; first {mention}"),
                "put all its backends into one service",
            );
        } else {
            self.services.insert(*value, span.clone());
        }
    }

    fn mode(&mut self, mode: Option<ForwardingMode>, id: &At<ServiceId>) {
        let address = id.value.address;
        if mode == Some(ForwardingMode::Dnat) && address.single().is_none() {
            self.report_help(
                &id.span,
                format!("mode \"dnat\" for the prefix {address}"),
                "expected one address",
                "a backend's answer would not tell which address of the prefix the client asked \
                 for: choose another mode, or write a service for each address",
            );
        }
    }

    /// Echo requests name no service, so the services of an address have to agree.
    fn echo(&mut self, raw: &RawService, id: &At<ServiceId>) {
        let Some(At { value, span }) = &raw.echo else {
            return;
        };
        let address = id.value.address;
        match self.echo.get(&address) {
            Some((earlier, earlier_span)) if earlier != value => {
                let mention = self.source.mention(earlier_span);
                self.report_help(
                    span,
                    format!("`echo` is both {earlier} and {value} for {address}"),
                    format!("expected {earlier}, given {mention}"),
                    "it is about the address: one service of the address says it for all of them",
                );
            }
            Some(_) => {}
            None => {
                self.echo.insert(address, (*value, span.clone()));
            }
        }
    }

    pub(super) fn gue_port(&mut self, mode: Option<ForwardingMode>, port: Option<&At<u16>>) {
        if let (Some(mode), Some(port)) = (mode, port)
            && mode != ForwardingMode::Gue
        {
            self.report(
                &port.span,
                format!("`gue_port` in mode \"{mode}\""),
                "expected it only with mode = \"gue\"",
            );
        }
    }

    fn ring_log2(&mut self, slots: &At<u32>, backends: &[Backend]) -> u8 {
        let At { value, span } = slots;
        if !value.is_power_of_two() {
            let below = 1 << value.ilog2();
            self.report_help(
                span,
                format!("`ring_slots` is {value}"),
                "expected a power of two",
                format!("write {below} or {}", below * 2),
            );
        } else if backends.len() > *value as usize {
            self.report(
                span,
                format!("{value} slots for {} backends", backends.len()),
                "expected at least one slot for each backend, better 128",
            );
        }
        // At most 20, so nothing is lost.
        value.ilog2().to_le_bytes()[0]
    }
}
