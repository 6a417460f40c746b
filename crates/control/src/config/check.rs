//! From words that are understood to a configuration that makes sense.

mod address;
mod api;
mod backends;
mod destinations;
mod health;
mod metrics;
mod quic;
mod service;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use engine::desired::{
    Backend, BackendState, Desired, ForwardingMode, Limits, Mac, Prefix, Service, ServiceId,
    Timeouts,
};

use super::Checked;
use super::limits::{DEFAULT_SEED, MAX_INTERFACES};
use super::problem::{ConfigError, Problem, Problems};
use super::raw::{At, RawConfig, RawService};
use super::source::{Source, Span};
use crate::health::ServiceHealth;

/// The longest name the kernel gives an interface (IFNAMSIZ less its zero).
const MAX_INTERFACE_NAME: usize = 15;

/// Adds what makes no sense to `problems`; without any, the configuration is good.
pub(super) fn check(
    source: Source,
    raw: &RawConfig,
    problems: Vec<Problem>,
) -> Result<Checked, ConfigError> {
    let mut checker = Checker {
        source: &source,
        problems,
        services: HashMap::new(),
        echo: HashMap::new(),
        macs: HashMap::new(),
        prefixes: [0; 2],
        backends: 0,
        quic_servers: 0,
    };
    let interfaces = checker.interfaces(&raw.interfaces);
    let mut services: Vec<Service> = Vec::with_capacity(raw.services.len());
    let mut health = BTreeMap::new();
    for (index, raw) in raw.services.iter().enumerate() {
        let Some((service, said)) = checker.service(index, raw) else {
            continue;
        };
        if said != ServiceHealth::default() {
            health.insert(service.id, said);
        }
        services.push(service);
    }
    for service in &mut services {
        let said = checker.echo.get(&service.id.address);
        service.echo = said.is_none_or(|(echo, _)| *echo);
    }
    checker.destinations(&raw.services);
    let nat = checker.nat(raw);
    let tunnel = checker.tunnel(raw);
    let api = checker.api(raw);
    let problems = checker.problems;
    if !problems.is_empty() {
        return Err(ConfigError::Invalid(Problems::new(source, problems)));
    }
    let desired = Desired {
        interfaces,
        services,
        nat,
        tunnel,
        timeouts: timeouts(raw),
        limits: limits(raw),
        seed: raw.seed.unwrap_or(DEFAULT_SEED),
    };
    let metrics = metrics::settings(raw);
    let mut warnings = warnings(raw, &desired);
    warnings.extend(metrics::warning(&metrics));
    Ok(Checked {
        desired,
        metrics,
        health,
        api,
        daemon: api::daemon(raw),
        warnings,
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
        exceptions: raw.exceptions.unwrap_or(default.exceptions),
        exceptions_per_second: raw
            .exceptions_per_second
            .unwrap_or(default.exceptions_per_second),
        icmp_errors_per_second: raw
            .icmp_errors_per_second
            .unwrap_or(default.icmp_errors_per_second),
        rejections_per_second: raw
            .rejections_per_second
            .unwrap_or(default.rejections_per_second),
    }
}

fn warnings(raw: &RawConfig, desired: &Desired) -> Vec<String> {
    let mut warnings = Vec::new();
    if desired.services.is_empty() {
        warnings.push("no services: every packet passes untouched; add a [[service]]".to_owned());
    }
    for (raw, service) in raw.services.iter().zip(&desired.services) {
        let takes_new = |backend: &Backend| backend.state == BackendState::Up && backend.weight > 0;
        if !service.backends.iter().any(takes_new) {
            warnings.push(format!(
                "no backend of {} takes new connections: all drain, are down or have weight 0",
                service.id
            ));
        }
        warnings.extend(without_effect(raw, service));
        warnings.extend(health::without_effect(&raw.health, service));
    }
    warnings
}

/// Mode `nat` has a table of all its flows, so what is said about the exception table is idle.
fn without_effect(raw: &RawService, service: &Service) -> Option<String> {
    let field = match (&raw.track, &raw.transition_window) {
        (Some(_), _) => "track",
        (None, Some(_)) => "transition_window",
        (None, None) => return None,
    };
    (service.mode == ForwardingMode::Nat).then(|| {
        format!(
            "`{field}` of {} has no effect: mode \"nat\" keeps every flow at its backend anyway",
            service.id
        )
    })
}

struct Checker<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
    /// Where each service was first given.
    services: HashMap<ServiceId, Span>,
    /// What the services of an address say about echo requests, and where.
    echo: HashMap<Prefix, (bool, Span)>,
    /// The MAC given for an address, and where.
    macs: HashMap<IpAddr, (Mac, Span)>,
    /// Services of a prefix so far: IPv4, IPv6.
    prefixes: [usize; 2],
    /// Backends so far, of all services.
    backends: usize,
    /// Those of them with a QUIC server id.
    quic_servers: usize,
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
}
