//! One packet in words.

use std::net::{SocketAddr, SocketAddrV4};

use abi::reason::Reason;
use engine::desired::{Desired, Mac, Service};
use etherparse::PacketBuilder;

use super::trial::{Outcome, Trial, endpoints};
use super::{ReplayError, stand_in};

/// The client's MAC in the made-up packet.
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const TTL: u8 = 64;
const WINDOW: u16 = 64_240;

/// Transport of a made-up packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTransport {
    /// UDP with an empty payload.
    Udp,
    /// TCP with these flags, by name: `syn`, `ack`, `fin`, `rst`, `psh`.
    Tcp(Vec<String>),
}

/// A packet to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// What it carries.
    pub transport: ProbeTransport,
}

/// Runs the packet through the program, with no flows known, and tells what happened and why.
///
/// # Errors
/// The packet cannot be made (IPv6, an unknown flag), or the kernel does not run the program.
pub fn explain(desired: &Desired, probe: &Probe) -> Result<String, ReplayError> {
    let frame = build(probe)?;
    let mut trial = Trial::new(desired, stand_in::OUR_MAC)?;
    let outcome = trial.run(0, &frame)?;
    Ok(describe(desired, probe, &outcome, &frame))
}

fn build(probe: &Probe) -> Result<Vec<u8>, ReplayError> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (probe.from, probe.to) else {
        return Err(ReplayError::Probe(format!(
            "expected IPv4 addresses, found {} and {}: IPv6 comes with the next version",
            probe.from, probe.to
        )));
    };
    let ip = ip_header(from, to);
    let mut frame = Vec::new();
    let written = match &probe.transport {
        ProbeTransport::Udp => ip.udp(from.port(), to.port()).write(&mut frame, &[]),
        ProbeTransport::Tcp(flags) => {
            let mut tcp = ip.tcp(from.port(), to.port(), 1, WINDOW);
            for flag in flags {
                tcp = match flag.as_str() {
                    "syn" => tcp.syn(),
                    "ack" => tcp.ack(1),
                    "fin" => tcp.fin(),
                    "rst" => tcp.rst(),
                    "psh" => tcp.psh(),
                    other => {
                        return Err(ReplayError::Probe(format!(
                            "expected TCP flags out of syn, ack, fin, rst, psh (joined by commas), found {other:?}"
                        )));
                    }
                };
            }
            tcp.write(&mut frame, &[])
        }
    };
    written.map_err(|error| ReplayError::Probe(error.to_string()))?;
    Ok(frame)
}

fn ip_header(
    from: SocketAddrV4,
    to: SocketAddrV4,
) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2(CLIENT_MAC, stand_in::OUR_MAC.0).ipv4(
        from.ip().octets(),
        to.ip().octets(),
        TTL,
    )
}

fn describe(desired: &Desired, probe: &Probe, outcome: &Outcome, frame: &[u8]) -> String {
    let record = &outcome.record;
    let what = match &probe.transport {
        ProbeTransport::Udp => "udp".to_owned(),
        ProbeTransport::Tcp(flags) => format!("tcp {}", flags.join(",")),
    };
    let (from, to, length) = (probe.from, probe.to, frame.len());
    let service = desired
        .services
        .iter()
        .find(|service| Some(service.id.to_string()) == record.service);
    let reason = Reason::ALL
        .iter()
        .find(|reason| reason.name() == record.reason);

    let mut lines = vec![("packet", format!("{what} {from} > {to}, {length} bytes"))];
    match service {
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
    if let Some(text) = changed.and_then(describe_change) {
        lines.push(("becomes", text));
    }
    lines.push(("verdict", format!("{}: {}", record.action, record.reason)));
    lines.push((
        "because",
        reason.map_or("", |reason| reason.explanation()).to_owned(),
    ));
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
    let weight = backend.weight;
    let total: u64 = service.backends.iter().map(|b| u64::from(b.weight)).sum();
    let share = 100.0 * f64::from(weight) / (total.max(1) as f64);
    format!("{name}, by the flow's hash (weight {weight}, {share:.1} % of the slots)")
}

fn describe_change(out: &[u8]) -> Option<String> {
    let (from, to, ttl) = endpoints(out)?;
    let mac = Mac(*out.first_chunk()?);
    Some(format!("{from} > {to}, TTL {ttl}, to {mac}"))
}
