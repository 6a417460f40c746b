//! One frame through the loaded program.

use std::net::SocketAddr;

use abi::reason::{Action, Reason};
use engine::EngineError;
use engine::dataplane::DataPlane;
use engine::desired::{Desired, Mac};
use engine::image::{self, Image};
use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use serde::Serialize;

use super::stand_in;

/// Shortest frame that `BPF_PROG_TEST_RUN` takes: an Ethernet header.
const MIN_FRAME: usize = 14;

/// What became of one packet: one line of `evenkeel replay`. Fields may be added; those that are
/// here keep their meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Place in the capture, from 0.
    pub index: u64,
    /// `tx`, `redirect`, `pass` or `drop`.
    pub action: &'static str,
    /// [`Reason::name`].
    pub reason: &'static str,
    /// The service the packet belongs to, as `tcp://10.0.0.10:8000`.
    pub service: Option<String>,
    /// The backend it went to or came from, as `10.0.0.2:8000`.
    pub backend: Option<String>,
    /// Length in bytes of the frame that comes out; 0 if none does.
    pub out_len: usize,
}

/// What became of one packet, for us.
pub(super) struct Outcome {
    /// For the reader.
    pub(super) record: Record,
    /// The service it belongs to and the backend within it, if it has one.
    pub(super) place: Option<(usize, usize)>,
    /// The frame that comes out, if one does.
    pub(super) frame: Option<Vec<u8>>,
}

/// The program, loaded without interfaces, and what its indices mean.
pub(super) struct Trial {
    plane: DataPlane,
    desired: Desired,
    /// (service, backend within it) by backend index.
    backends: Vec<(usize, usize)>,
}

impl Trial {
    pub(super) fn new(desired: &Desired, our_mac: Mac) -> Result<Self, EngineError> {
        let image = Image::build(desired, |service, backend| {
            Some(stand_in::next_hop(our_mac, service, backend))
        })?;
        let mut plane = DataPlane::load(desired, &image, true)?;
        plane.write(&image)?;
        let backends = image::first_backends(&desired.services)
            .windows(2)
            .enumerate()
            .flat_map(|(service, range)| {
                (0..range[1] - range[0]).map(move |b| (service, b as usize))
            })
            .collect();
        Ok(Self {
            plane,
            desired: desired.clone(),
            backends,
        })
    }

    /// Runs a frame and tells what became of it.
    pub(super) fn run(&mut self, index: u64, frame: &[u8]) -> Result<Outcome, EngineError> {
        let mut record = Record {
            index,
            action: "pass",
            reason: Reason::Truncated.name(),
            service: None,
            backend: None,
            out_len: frame.len(),
        };
        if frame.len() < MIN_FRAME {
            return Ok(Outcome {
                record,
                place: None,
                frame: Some(frame.to_vec()),
            });
        }
        let outcome = self.plane.test_run(frame, 1)?;
        let report = self.plane.last_report()?;
        let reason = Reason::from_number(report.reason).unwrap_or(Reason::Inconsistent);
        record.reason = reason.name();
        record.action = match reason.action() {
            Action::Pass => "pass",
            Action::Drop => "drop",
            Action::Forward if report.interface == stand_in::INTERFACE => "tx",
            Action::Forward => "redirect",
        };
        let place = self.backends.get(report.backend as usize).copied();
        let service = self.desired.services.get(report.service as usize);
        record.service = service.map(|service| service.id.to_string());
        // A reply's frame shows the backend before the rewrite, any other after it.
        let is_reply = reason == Reason::Replied;
        let shown = if is_reply { frame } else { &outcome.frame };
        record.backend = place.and_then(|place| self.backend_name(place, shown, is_reply));
        let comes_out = reason.action() != Action::Drop;
        record.out_len = if comes_out { outcome.frame.len() } else { 0 };
        Ok(Outcome {
            record,
            place,
            frame: comes_out.then_some(outcome.frame),
        })
    }

    /// `ADDRESS:PORT`; the port is the frame's if the backend serves whatever was asked for.
    fn backend_name(&self, place: (usize, usize), frame: &[u8], as_source: bool) -> Option<String> {
        let service = self.desired.services.get(place.0)?;
        let backend = service.backends.get(place.1)?;
        let port = service.backend_port(backend).or_else(|| {
            let (source, destination) = ports(frame)?;
            Some(if as_source { source } else { destination })
        })?;
        Some(SocketAddr::new(backend.address, port).to_string())
    }
}

/// Source and destination port of a frame.
fn ports(frame: &[u8]) -> Option<(u16, u16)> {
    match LaxSlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Tcp(tcp) => Some((tcp.source_port(), tcp.destination_port())),
        TransportSlice::Udp(udp) => Some((udp.source_port(), udp.destination_port())),
        _ => None,
    }
}

/// Source, destination and hops left of an IPv4 frame, for the reader of `explain`.
pub(super) fn endpoints(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, u8)> {
    let packet = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let (source, destination) = ports(frame)?;
    let Some(LaxNetSlice::Ipv4(ip)) = packet.net else {
        return None;
    };
    let header = ip.header();
    Some((
        (header.source_addr(), source).into(),
        (header.destination_addr(), destination).into(),
        header.ttl(),
    ))
}
