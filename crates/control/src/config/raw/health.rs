//! Health as far as its words are understood.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{At, RawBackend};
use crate::config::source::Span;
use crate::health::{OnDown, StatusRanges, Via};

/// What a service says about health.
#[derive(Debug, Default)]
pub(in crate::config) struct RawHealth {
    pub(in crate::config) check: Option<RawCheck>,
    pub(in crate::config) agent: Option<RawCheck>,
    pub(in crate::config) on_down: Option<At<OnDown>>,
    pub(in crate::config) slow_start: Option<At<Duration>>,
    pub(in crate::config) panic_threshold: Option<At<u8>>,
    pub(in crate::config) sorry: Vec<RawBackend>,
}

impl RawHealth {
    /// Of which nothing but a check is said.
    pub(in crate::config) fn of(check: Option<RawCheck>) -> Self {
        Self {
            check,
            ..Self::default()
        }
    }
}

/// The types of checks by their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum CheckWord {
    Tcp,
    Http,
    Https,
    Http2,
    Udp,
    Grpc,
    Command,
    Agent,
}

impl CheckWord {
    pub(in crate::config) const ALL: [(&'static str, Self); 8] = [
        ("tcp", Self::Tcp),
        ("http", Self::Http),
        ("https", Self::Https),
        ("http2", Self::Http2),
        ("udp", Self::Udp),
        ("grpc", Self::Grpc),
        ("command", Self::Command),
        ("agent", Self::Agent),
    ];

    pub(in crate::config) fn word(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, other)| *other == self)
            .map_or("", |(word, _)| word)
    }
}

/// A field that only some types of checks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct CheckField {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) types: &'static [CheckWord],
}

impl CheckField {
    pub(in crate::config) const ALL: [Self; 14] = {
        use CheckWord::{Agent, Command, Grpc, Http, Http2, Https, Tcp, Udp};
        const REQUESTS: &[CheckWord] = &[Http, Https, Http2];
        const TLS: &[CheckWord] = &[Https, Http2, Grpc];
        const REMOTE: &[CheckWord] = &[Tcp, Http, Https, Http2, Udp, Grpc, Agent];
        const fn field(name: &'static str, types: &'static [CheckWord]) -> CheckField {
            CheckField { name, types }
        }
        [
            field("method", REQUESTS),
            field("path", REQUESTS),
            field("host", REQUESTS),
            field("status", REQUESTS),
            field("body", REQUESTS),
            field("tls", TLS),
            field("sni", TLS),
            field("ca", TLS),
            field("verify", TLS),
            field("send", &[Udp, Agent]),
            field("expect", &[Udp]),
            field("service", &[Grpc]),
            field("command", &[Command]),
            field("via", REMOTE),
        ]
    };
}

/// A check: its type, and whatever was said beside it.
#[derive(Debug)]
pub(in crate::config) struct RawCheck {
    /// The word, or the table.
    pub(in crate::config) span: Span,
    /// `None` if it was not understood.
    pub(in crate::config) word: Option<CheckWord>,
    /// Which of [`CheckField::ALL`] are there, understood or not, and where.
    pub(in crate::config) fields: Vec<At<CheckField>>,
    pub(in crate::config) method: Option<String>,
    pub(in crate::config) path: Option<String>,
    pub(in crate::config) host: Option<String>,
    pub(in crate::config) status: Option<StatusRanges>,
    pub(in crate::config) body: Option<String>,
    pub(in crate::config) tls: Option<At<bool>>,
    pub(in crate::config) sni: Option<String>,
    pub(in crate::config) ca: Option<At<PathBuf>>,
    pub(in crate::config) verify: Option<At<bool>>,
    pub(in crate::config) send: Option<At<Vec<u8>>>,
    pub(in crate::config) expect: Option<At<Vec<u8>>>,
    pub(in crate::config) service: Option<String>,
    pub(in crate::config) command: Vec<String>,
    pub(in crate::config) via: Option<At<Via>>,
    /// Whether there is a `port`, understood or not.
    pub(in crate::config) has_port: bool,
    pub(in crate::config) port: Option<At<u16>>,
    pub(in crate::config) address: Option<At<IpAddr>>,
    pub(in crate::config) interval: Option<At<Duration>>,
    pub(in crate::config) timeout: Option<At<Duration>>,
    pub(in crate::config) rise: Option<At<u8>>,
    pub(in crate::config) fall: Option<At<u8>>,
    pub(in crate::config) jitter_permille: Option<At<u16>>,
}

impl RawCheck {
    /// A check of which nothing but its type is said.
    pub(in crate::config) fn new(span: Span, word: Option<CheckWord>) -> Self {
        Self {
            span,
            word,
            fields: Vec::new(),
            method: None,
            path: None,
            host: None,
            status: None,
            body: None,
            tls: None,
            sni: None,
            ca: None,
            verify: None,
            send: None,
            expect: None,
            service: None,
            command: Vec::new(),
            via: None,
            has_port: false,
            port: None,
            address: None,
            interval: None,
            timeout: None,
            rise: None,
            fall: None,
            jitter_permille: None,
        }
    }

    /// Where a field was given.
    pub(in crate::config) fn field(&self, name: &str) -> Option<&Span> {
        let given = self.fields.iter().find(|field| field.value.name == name);
        given.map(|field| &field.span)
    }
}
