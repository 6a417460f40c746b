//! One frame through the loaded program.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use abi::reason::{Action, Reason};
use engine::EngineError;
use engine::dataplane::DataPlane;
use engine::desired::{Backend, Desired, Mac, Service};
use engine::live::Live;
use serde::Serialize;

use super::{packet, stand_in};

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
    /// The service's forwarding mode.
    pub mode: Option<String>,
    /// The backend it went to or came from, as `10.0.0.2:8000`, or `10.0.0.2:*` if the service is
    /// of every port and the packet tells none (a fragment, an ICMP error).
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
    /// Place in the configuration by service index.
    services: HashMap<u32, usize>,
    /// Service and backend within it by backend index.
    backends: HashMap<u32, (usize, usize)>,
}

impl Trial {
    pub(super) fn new(desired: &Desired, our_mac: Mac) -> Result<Self, EngineError> {
        let next_hop = |service: &Service, backend: &Backend| {
            Some(stand_in::next_hop(our_mac, service, backend))
        };
        let (live, plane) = Live::load(desired, &next_hop, true)?;
        let mut trial = Self {
            plane,
            desired: desired.clone(),
            services: HashMap::new(),
            backends: HashMap::new(),
        };
        for (place, view) in live.services().enumerate() {
            trial.services.insert(view.index(), place);
            for (within, backend) in view.desired().backends.iter().enumerate() {
                if let Some(known) = view.backend(backend) {
                    trial.backends.insert(known.index, (place, within));
                }
            }
        }
        Ok(trial)
    }

    /// Runs a frame and tells what became of it.
    pub(super) fn run(&mut self, index: u64, frame: &[u8]) -> Result<Outcome, EngineError> {
        let mut record = Record {
            index,
            action: "pass",
            reason: Reason::Truncated.name(),
            service: None,
            mode: None,
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
        let service = self.services.get(&report.service).copied();
        let is_reply = matches!(
            reason,
            Reason::Replied | Reason::RepliedByHost | Reason::IcmpReplied
        );
        let place = match self.backends.get(&report.backend) {
            Some(place) => Some(*place),
            None if is_reply => service.and_then(|service| self.sender(service, frame)),
            None => None,
        };
        if let Some(service) = service.and_then(|place| self.desired.services.get(place)) {
            record.service = Some(service.id.to_string());
            record.mode = Some(service.mode.to_string());
        }
        record.backend = place.and_then(|place| self.backend_name(place, frame, is_reply));
        let comes_out = reason.action() != Action::Drop;
        record.out_len = if comes_out { outcome.frame.len() } else { 0 };
        Ok(Outcome {
            record,
            place,
            frame: comes_out.then_some(outcome.frame),
        })
    }

    /// The backend that sent the frame: in mode `dnat` the program need not know which it was.
    fn sender(&self, service: usize, frame: &[u8]) -> Option<(usize, usize)> {
        let source = packet::source(frame)?;
        let port = packet::ports(frame).map(|(source, _)| source);
        let of = self.desired.services.get(service)?;
        let within = of.backends.iter().position(|backend| {
            let expected = of.backend_port(backend);
            backend.address == source && (expected.is_none() || expected == port)
        });
        Some((service, within?))
    }

    /// `ADDRESS:PORT`. A service of every port never changes it, so it is the one that the frame
    /// came with: the source's of a reply, else the destination's.
    fn backend_name(&self, place: (usize, usize), frame: &[u8], is_reply: bool) -> Option<String> {
        let service = self.desired.services.get(place.0)?;
        let backend = service.backends.get(place.1)?;
        let asked = || {
            let (source, destination) = packet::ports(frame)?;
            Some(if is_reply { source } else { destination })
        };
        Some(match service.backend_port(backend).or_else(asked) {
            Some(port) => SocketAddr::new(backend.address, port).to_string(),
            None => match backend.address {
                IpAddr::V4(address) => format!("{address}:*"),
                IpAddr::V6(address) => format!("[{address}]:*"),
            },
        })
    }
}
