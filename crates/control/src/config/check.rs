//! From words that are understood to a configuration that makes sense.

mod backends;

use std::collections::HashMap;
use std::net::IpAddr;

use engine::desired::{
    Backend, Desired, ForwardingMode, Limits, Mac, NatSettings, Service, ServiceId, Timeouts,
};

use super::Checked;
use super::limits::{DEFAULT_SEED, MAX_INTERFACES, MAX_SERVICES};
use super::problem::{ConfigError, Problem, Problems};
use super::raw::{At, RawConfig, RawService};
use super::source::{Source, Span};

/// The longest name the kernel gives an interface (IFNAMSIZ less its zero).
const MAX_INTERFACE_NAME: usize = 15;

/// Adds what makes no sense to `problems`; without any, the configuration is good.
pub(super) fn check(
    source: Source,
    raw: RawConfig,
    problems: Vec<Problem>,
) -> Result<Checked, ConfigError> {
    let mut checker = Checker {
        source: &source,
        problems,
        services: HashMap::new(),
        macs: HashMap::new(),
        backends: 0,
    };
    let interfaces = checker.interfaces(&raw.interfaces);
    let services: Vec<Service> = raw
        .services
        .iter()
        .enumerate()
        .filter_map(|(index, service)| checker.service(index, service))
        .collect();
    let nat = checker.nat(&raw);
    let problems = checker.problems;
    if !problems.is_empty() {
        return Err(ConfigError::Invalid(Problems::new(source, problems)));
    }
    let desired = Desired {
        interfaces,
        services,
        nat,
        timeouts: timeouts(&raw),
        limits: limits(&raw),
        seed: raw.seed.unwrap_or(DEFAULT_SEED),
    };
    Ok(Checked {
        warnings: warnings(&desired),
        desired,
    })
}

fn timeouts(raw: &RawConfig) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        half_open: raw.half_open.unwrap_or(default.half_open),
        established: raw.established.unwrap_or(default.established),
        udp: raw.udp.unwrap_or(default.udp),
        rest: raw.rest.unwrap_or(default.rest),
    }
}

fn limits(raw: &RawConfig) -> Limits {
    let default = Limits::default();
    Limits {
        flows: raw.flows.unwrap_or(default.flows),
        half_open_flows: raw.half_open_flows.unwrap_or(default.half_open_flows),
    }
}

fn warnings(desired: &Desired) -> Vec<String> {
    let mut warnings = Vec::new();
    if desired.services.is_empty() {
        warnings.push("no services: every packet passes untouched; add a [[service]]".to_owned());
    }
    warnings
}

struct Checker<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
    /// Where each service was first given.
    services: HashMap<ServiceId, Span>,
    /// The MAC given for an address, and where.
    macs: HashMap<IpAddr, (Mac, Span)>,
    /// Backends so far, of all services.
    backends: usize,
}

impl Checker<'_> {
    fn report(&mut self, span: &Span, found: impl Into<String>, expected: impl Into<String>) {
        self.problems
            .push(Problem::new(span.clone(), found, expected));
    }

    fn report_help(
        &mut self,
        span: &Span,
        found: impl Into<String>,
        expected: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems
            .push(Problem::new(span.clone(), found, expected).help(help));
    }

    fn interfaces(&mut self, raw: &[At<String>]) -> Vec<String> {
        let mut first: HashMap<&str, Span> = HashMap::new();
        for At { value: name, span } in raw {
            let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
            if name.is_empty() || name == "." || name == ".." || name.contains(bad) {
                self.report(
                    span,
                    format!("{name:?} cannot be an interface's name"),
                    "expected a name such as eth0",
                );
            } else if name.len() > MAX_INTERFACE_NAME {
                self.report(
                    span,
                    format!("interface name {name:?} has {} bytes", name.len()),
                    format!("expected at most {MAX_INTERFACE_NAME}, the kernel's limit"),
                );
            } else if let Some(earlier) = first.get(name.as_str()) {
                let mention = self.source.mention(earlier);
                self.report(
                    span,
                    format!("interface {name} is given twice"),
                    format!("expected it once; first {mention}"),
                );
            } else {
                first.insert(name, span.clone());
            }
        }
        if let Some(At { span, .. }) = raw.get(MAX_INTERFACES) {
            self.report(
                span,
                format!("{} interfaces", raw.len()),
                format!("expected at most {MAX_INTERFACES}"),
            );
        }
        raw.iter().map(|name| name.value.clone()).collect()
    }

    fn nat(&mut self, raw: &RawConfig) -> NatSettings {
        let default = NatSettings::default();
        let address = match &raw.nat_address {
            Some(At {
                value: IpAddr::V4(address),
                span,
            }) => {
                self.host_address(IpAddr::V4(*address), span, "NAT address");
                Some(*address)
            }
            Some(At { value, span }) => {
                self.report(
                    span,
                    format!("NAT address {value} is IPv6, which this version does not support"),
                    "expected an IPv4 address",
                );
                None
            }
            None => None,
        };
        let (first_port, last_port) = raw
            .nat_ports
            .as_ref()
            .map_or((default.first_port, default.last_port), |range| {
                (*range.start(), *range.end())
            });
        NatSettings {
            address,
            first_port,
            last_port,
        }
    }

    /// An address that one host can have and others can send to.
    fn host_address(&mut self, address: IpAddr, span: &Span, role: &str) {
        let kind = if address.is_unspecified() {
            "the unspecified address"
        } else if address.is_multicast() {
            "a multicast address"
        } else if address == IpAddr::from([255; 4]) {
            "the broadcast address"
        } else if address.is_loopback() {
            "a loopback address, which no packet on a wire has"
        } else if matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0) {
            "in 0.0.0.0/8, which no host may have"
        } else {
            return;
        };
        self.report(
            span,
            format!("{role} {address} is {kind}"),
            "expected the address of one host",
        );
    }

    fn service(&mut self, index: usize, raw: &RawService) -> Option<Service> {
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
        }
        if !raw.has_backends {
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
        let backends = self.backends(raw);
        let ring_log2 = raw
            .ring_slots
            .as_ref()
            .map(|slots| self.ring_log2(slots, &backends));
        Some(Service {
            id: raw.id.as_ref()?.value,
            mode: ForwardingMode::Nat,
            affinity: raw.affinity,
            backends,
            ring_log2,
        })
    }

    fn service_address(&mut self, id: &At<ServiceId>) {
        let At { value, span } = id;
        if value.address.is_ipv6() {
            self.report(
                span,
                format!("service {value} is IPv6, which this version does not support"),
                "expected an IPv4 address",
            );
            return;
        }
        self.host_address(value.address, span, "service address");
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
