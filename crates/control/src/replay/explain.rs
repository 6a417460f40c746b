//! One packet in words.

mod probe;

use abi::reason::Reason;
use engine::desired::{Backend, BackendState, Desired, Service};

use super::trial::{Outcome, Trial};
use super::{ReplayError, packet, stand_in};
pub use probe::{Probe, ProbeEndpoint, ProbeTransport};

/// Runs the packet through the program, with no flows known, and tells what happened and why.
///
/// # Errors
/// The packet cannot be made (two families, an unknown flag), or the kernel does not run the program.
pub fn explain(desired: &Desired, probe: &Probe) -> Result<String, ReplayError> {
    let frame = probe.build()?;
    let mut trial = Trial::new(desired, stand_in::OUR_MAC)?;
    let outcome = trial.run(0, &frame)?;
    Ok(describe(desired, probe, &outcome, &frame))
}

fn describe(desired: &Desired, probe: &Probe, outcome: &Outcome, frame: &[u8]) -> String {
    let record = &outcome.record;
    let service = desired
        .services
        .iter()
        .find(|service| Some(service.id.to_string()) == record.service);
    let reason = Reason::named(record.reason);

    let mut lines = vec![("packet", format!("{probe}, {} bytes", frame.len()))];
    match service {
        None if probe.transport == ProbeTransport::Echo => {
            lines.push((
                "service",
                "none: an echo request is about an address".into(),
            ));
        }
        None => lines.push((
            "service",
            "none of the configured ones has this destination".into(),
        )),
        Some(service) => {
            lines.push(("service", describe_service(service)));
            lines.push(("backend", describe_backend(service, outcome)));
        }
    }
    let changed = outcome.frame.as_deref().filter(|out| *out != frame);
    let mode = service.map(|service| service.mode);
    let becomes = changed.and_then(|out| packet::describe(out, mode));
    for (line, label) in becomes.iter().flatten().zip(["becomes", ""]) {
        lines.push((label, line.clone()));
    }
    lines.push(("verdict", format!("{}: {}", record.action, record.reason)));
    lines.push(("because", reason.map_or("", Reason::explanation).to_owned()));
    lines.push((
        "note",
        "asked of the real program, with no flows known; MACs and our own address are\n         \
         stand-ins where the config gives none"
            .into(),
    ));
    lines
        .iter()
        .map(|(label, value)| format!("{label:<9}{value}\n"))
        .collect()
}

fn describe_service(service: &Service) -> String {
    let backends = service.backends.len();
    let plural = if backends == 1 { "" } else { "s" };
    format!(
        "{} ({}, {backends} backend{plural})",
        service.id, service.mode
    )
}

fn describe_backend(service: &Service, outcome: &Outcome) -> String {
    let backend = outcome
        .place
        .and_then(|place| service.backends.get(place.1));
    let (Some(backend), Some(name)) = (backend, &outcome.record.backend) else {
        return "none".into();
    };
    let takes_new = |backend: &&Backend| backend.state == BackendState::Up;
    let takers = service.backends.iter().filter(takes_new);
    let total: u64 = takers.map(|taker| u64::from(taker.weight)).sum();
    let weight = backend.weight;
    let share = 100.0 * f64::from(weight) / (total.max(1) as f64);
    format!("{name}, by the flow's hash (weight {weight}, {share:.1} % of the slots)")
}
