//! A configuration whose words are understood, but whose sense is not checked yet.
//!
//! What could not be understood is absent here and already reported.

mod health;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use engine::desired::{
    Affinity, BackendState, ForwardingMode, Mac, NoBackend, Quic, QuicServerId, ServiceId, Track,
};

use super::problem::Problem;
use super::source::Span;
use super::words::{self, Mistake};
pub(super) use health::{CheckField, CheckWord, RawCheck, RawHealth};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

#[derive(Clone, Debug, Default)]
pub(super) struct RawConfig {
    pub(super) interfaces: Vec<At<String>>,
    pub(super) services: Vec<Arc<RawService>>,
    pub(super) nat_address: Option<At<IpAddr>>,
    pub(super) nat_address6: Option<At<IpAddr>>,
    pub(super) nat_ports: Option<RangeInclusive<u16>>,
    pub(super) tunnel_source: Option<At<IpAddr>>,
    pub(super) tunnel_source6: Option<At<IpAddr>>,
    pub(super) ttl: Option<u8>,
    pub(super) entropy: Option<bool>,
    pub(super) half_open: Option<Duration>,
    pub(super) established: Option<Duration>,
    pub(super) udp: Option<Duration>,
    pub(super) rest: Option<Duration>,
    pub(super) flows: Option<u32>,
    pub(super) half_open_flows: Option<u32>,
    pub(super) exceptions: Option<u32>,
    pub(super) exceptions_per_second: Option<u32>,
    pub(super) icmp_errors_per_second: Option<u32>,
    pub(super) rejections_per_second: Option<u32>,
    pub(super) seed: Option<u64>,
    pub(super) metrics_listen: Option<SocketAddr>,
    pub(super) metrics_per_backend: Option<bool>,
    pub(super) api_group: Option<At<String>>,
    pub(super) watch: Option<bool>,
}

#[derive(Debug, Default)]
pub(super) struct RawService {
    /// Its `[[service]]` header or its `--service` flag.
    pub(super) span: Span,
    pub(super) id: Option<At<ServiceId>>,
    /// `None` if it was not understood: then nothing that depends on it is checked.
    pub(super) mode: Option<ForwardingMode>,
    pub(super) affinity: Affinity,
    pub(super) track: Option<At<Track>>,
    pub(super) transition_window: Option<At<Duration>>,
    pub(super) echo: Option<At<bool>>,
    pub(super) no_backend: NoBackend,
    pub(super) quic: Option<At<Quic>>,
    pub(super) gue_port: Option<At<u16>>,
    pub(super) ring_slots: Option<At<u32>>,
    pub(super) backends: Vec<RawBackend>,
    /// Backends were listed, whether or not they could be understood.
    pub(super) has_backends: bool,
    pub(super) health: RawHealth,
}

#[derive(Debug)]
pub(super) struct RawBackend {
    pub(super) address: At<IpAddr>,
    pub(super) port: Option<At<u16>>,
    pub(super) mac: Option<At<Mac>>,
    pub(super) weight: u32,
    pub(super) state: BackendState,
    pub(super) gue_port: Option<At<u16>>,
    pub(super) quic_server_id: Option<At<QuicServerId>>,
}

/// A text of the source, with what it takes to point into it.
#[derive(Clone, Debug)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    /// All of it, quotes included.
    pub(super) span: Span,
    /// Offset in the source of the text's first byte; `None` when escapes make the two differ.
    pub(super) start: Option<usize>,
}

impl Word<'_> {
    /// Where `within` (bytes of the text) stands in the source.
    fn span_of(&self, within: Span) -> Span {
        match self.start {
            Some(start) => start + within.start..start + within.end,
            None => self.span.clone(),
        }
    }

    pub(super) fn problem(&self, mistake: Mistake) -> Problem {
        let mut problem = Problem::new(self.span_of(mistake.at), mistake.found, mistake.expected);
        problem.help = mistake.help;
        problem
    }

    /// Understands the word with one of the parsers of [`words`].
    pub(super) fn parse<T>(
        &self,
        parser: impl Fn(&str) -> Result<T, Mistake>,
        problems: &mut Vec<Problem>,
    ) -> Option<At<T>> {
        match parser(self.text) {
            Ok(value) => Some(At {
                value,
                span: self.span_of(0..self.text.len()),
            }),
            Err(mistake) => {
                problems.push(self.problem(mistake));
                None
            }
        }
    }

    /// Understands the word as one of a few.
    pub(super) fn choose<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        problems: &mut Vec<Problem>,
    ) -> Option<At<T>> {
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == self.text) {
            return Some(At {
                value: *value,
                span: self.span.clone(),
            });
        }
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        problems.push(Problem::new(
            self.span.clone(),
            format!("unknown {key} {:?}", self.text),
            format!("expected {}", either(&names)),
        ));
        None
    }

    /// Understands the word as a backend's short form, of weight 1.
    pub(super) fn backend(&self, problems: &mut Vec<Problem>) -> Option<RawBackend> {
        match words::backend(self.text) {
            Ok(parts) => {
                let (address, address_at) = parts.address;
                Some(RawBackend {
                    address: At {
                        value: address,
                        span: self.span_of(address_at),
                    },
                    port: parts.port.map(|(value, at)| At {
                        value,
                        span: self.span_of(at),
                    }),
                    mac: parts.mac.map(|(value, at)| At {
                        value,
                        span: self.span_of(at),
                    }),
                    weight: 1,
                    state: BackendState::default(),
                    gue_port: None,
                    quic_server_id: None,
                })
            }
            Err(mistakes) => {
                problems.extend(mistakes.into_iter().map(|mistake| self.problem(mistake)));
                None
            }
        }
    }
}

/// `a, b or c`.
fn either(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
