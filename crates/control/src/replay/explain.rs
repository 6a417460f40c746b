//! One packet in words.

use std::fmt::Write;
use std::net::{SocketAddr, SocketAddrV4};

use abi::reason::Reason;
use engine::desired::{Desired, Mac};
use etherparse::PacketBuilder;

use super::trial::{Record, Trial, endpoints};
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
    let (record, out) = trial.run(0, &frame)?;
    Ok(describe(&trial, probe, &record, &frame, out.as_deref()))
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

fn describe(
    trial: &Trial,
    probe: &Probe,
    record: &Record,
    frame: &[u8],
    out: Option<&[u8]>,
) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{label:<9}{value}");
    };
    let what = match &probe.transport {
        ProbeTransport::Udp => "udp".to_owned(),
        ProbeTransport::Tcp(flags) => format!("tcp {}", flags.join(",")),
    };
    line(
        "packet",
        format!(
            "{what} {} > {}, {} bytes",
            probe.from,
            probe.to,
            frame.len()
        ),
    );
    let desired = trial.desired();
    let service = desired
        .services
        .iter()
        .find(|service| Some(service.id.to_string()) == record.service);
    match service {
        None => line(
            "service",
            format!("none of {} has this destination", desired.services.len()),
        ),
        Some(service) => {
            let backends = service.backends.len();
            line(
                "service",
                format!("{} ({}, {backends} backends)", service.id, service.mode),
            );
            let total: u64 = service.backends.iter().map(|b| u64::from(b.weight)).sum();
            match &record.backend {
                None => line("backend", "none".into()),
                Some(name) => {
                    let weight = service
                        .backends
                        .iter()
                        .find(|b| name.starts_with(&format!("{}:", b.address)))
                        .map_or(0, |backend| backend.weight);
                    let share = 100.0 * f64::from(weight) / (total.max(1) as f64);
                    line(
                        "backend",
                        format!(
                            "{name}, by the flow's hash (weight {weight}, {share:.1} % of the slots)"
                        ),
                    );
                }
            }
        }
    }
    if let Some((from, to, ttl)) = out.filter(|out| *out != frame).and_then(endpoints) {
        let mac = out
            .and_then(|out| out.first_chunk::<6>())
            .map_or(Mac([0; 6]), |mac| Mac(*mac));
        line("becomes", format!("{from} > {to}, TTL {ttl}, to {mac}"));
    }
    let reason = Reason::ALL
        .iter()
        .find(|reason| reason.name() == record.reason);
    let explanation = reason.map_or("", |reason| reason.explanation());
    line("verdict", format!("{}: {}", record.action, record.reason));
    line("because", explanation.to_owned());
    line("note", "asked of the real program with empty flow tables; MACs and the source address are\n         stand-ins where the config gives none".into());
    text
}
