//! What a service says about health: each check on its own, and against the service.

use std::net::IpAddr;

use engine::desired::{Backend, Service, ServicePort};

use super::Checker;
use crate::config::raw::{CheckWord, RawCheck, RawHealth, RawService};
use crate::config::source::Span;
use crate::health::{
    Check, CheckKind, HttpCheck, HttpVersion, ServiceHealth, Timing, TlsSettings, Trust, Via,
};

/// Bytes of a command with its arguments; the kernel's limit is larger.
const MAX_COMMAND: usize = 4_096;

impl Checker<'_> {
    pub(super) fn health(&mut self, raw: &RawService, sorry: Vec<Backend>) -> ServiceHealth {
        let said = &raw.health;
        let check = said.check.as_ref();
        if let (Some(check), Some(agent)) = (check, &said.agent)
            && check.word == Some(CheckWord::Agent)
        {
            self.report_help(
                &agent.span,
                "`agent` beside health of type \"agent\"",
                "expected one of the two",
                "`agent` stands beside a check of another type, or alone",
            );
        }
        ServiceHealth {
            check: check.and_then(|check| self.check(raw, check)),
            agent: said.agent.as_ref().and_then(|agent| self.check(raw, agent)),
            on_down: said.on_down.as_ref().map(|at| at.value).unwrap_or_default(),
            slow_start: said
                .slow_start
                .as_ref()
                .map_or_else(Default::default, |at| at.value),
            panic_threshold: said.panic_threshold.as_ref().map_or(0, |at| at.value),
            sorry,
        }
    }

    fn check(&mut self, service: &RawService, raw: &RawCheck) -> Option<Check> {
        let word = raw.word?;
        for field in &raw.fields {
            if !field.value.types.contains(&word) {
                let types: Vec<&str> = field.value.types.iter().map(|word| word.word()).collect();
                self.report(
                    &field.span,
                    format!(
                        "`{}` in a check of type \"{}\"",
                        field.value.name,
                        word.word()
                    ),
                    format!("expected it only with type {}", types.join(", ")),
                );
            }
        }
        self.check_port(service, raw, word);
        if let Some(via) = raw.via.as_ref().filter(|via| via.value == Via::Service) {
            self.via_service(service, raw, word, &via.span);
        } else if let Some(address) = &raw.address {
            self.check_address(address.value, &address.span);
        }
        Some(Check {
            kind: self.check_kind(raw, word)?,
            address: raw.address.as_ref().map(|at| at.value),
            port: raw.port.as_ref().map(|at| at.value),
            via: raw.via.as_ref().map(|at| at.value).unwrap_or_default(),
            timing: self.timing(raw),
        })
    }

    /// Unlike a backend, what is checked may be on this host.
    fn check_address(&mut self, address: IpAddr, span: &Span) {
        if address.is_unspecified() || address.is_multicast() {
            self.report(
                span,
                format!("check address {address} is not that of one host"),
                "expected the address of one host",
            );
        }
    }

    fn check_port(&mut self, service: &RawService, raw: &RawCheck, word: CheckWord) {
        let any_port = matches!(&service.id, Some(id) if id.value.port == ServicePort::Any);
        // One that was not understood has been told.
        if raw.has_port || word == CheckWord::Command {
            return;
        }
        if word == CheckWord::Agent {
            self.report_help(
                &raw.span,
                "an agent without a port",
                "expected the port that the agents listen on",
                match self.source.file {
                    Some(_) => "write port = 9999 in its table",
                    None => "write it into a config file",
                },
            );
        } else if any_port {
            self.report_help(
                &raw.span,
                "a check without a port in a service of every port",
                "expected the port to check",
                match self.source.file {
                    Some(_) => format!("write health = {{ type = {:?}, port = 80 }}", word.word()),
                    None => "write it into a config file".to_owned(),
                },
            );
        }
    }

    /// What travels as clients' packets do is a single packet of ours, to the VIP.
    fn via_service(&mut self, service: &RawService, raw: &RawCheck, word: CheckWord, via: &Span) {
        if !matches!(word, CheckWord::Tcp | CheckWord::Udp) {
            self.report_help(
                via,
                format!("via = \"service\" in a check of type \"{}\"", word.word()),
                "expected it only with type tcp or udp",
                "such a check is one packet made by hand, not a connection: check the server \
                 directly, and the way to it with tcp",
            );
        }
        if word == CheckWord::Udp && raw.field("expect").is_none() {
            self.report(
                via,
                "via = \"service\" without `expect`",
                "expected `expect` beside it: a refusal would not come back",
            );
        }
        if let Some(mode) = service.mode.filter(|mode| mode.rewrites_destination()) {
            self.report_help(
                via,
                format!("via = \"service\" in mode \"{mode}\""),
                "expected it only in modes l2-dsr, ipip and gue",
                "in this mode packets go to the backend's own address, as a direct check does",
            );
        }
        let Some(id) = service.id.as_ref().map(|id| id.value) else {
            return;
        };
        match &raw.address {
            Some(address) if !id.address.contains(address.value) => self.report(
                &address.span,
                format!("check address {} is not in {}", address.value, id.address),
                "expected an address of the service, to which a check via = \"service\" goes",
            ),
            None if id.address.single().is_none() => self.report_help(
                via,
                format!("via = \"service\" for the prefix {}", id.address),
                "expected an `address` beside it",
                format!(
                    "a check goes to one address: write address = \"{}\", or another of the prefix",
                    id.address.address()
                ),
            ),
            _ => {}
        }
    }

    fn timing(&mut self, raw: &RawCheck) -> Timing {
        let default = Timing::default();
        let interval = raw.interval.as_ref();
        let interval = interval.map_or(default.interval, |at| at.value);
        if let Some(timeout) = raw.timeout.as_ref().filter(|at| at.value > interval) {
            self.report(
                &timeout.span,
                format!(
                    "`timeout` {:?} is longer than the interval, {interval:?}",
                    timeout.value
                ),
                "expected a run to end before the next begins",
            );
        }
        let timeout = raw.timeout.as_ref().map(|at| at.value);
        let jitter = raw.jitter_permille.as_ref();
        Timing {
            interval,
            timeout: timeout.unwrap_or(interval.min(Timing::TIMEOUT)),
            rise: raw.rise.as_ref().map_or(default.rise, |at| at.value),
            fall: raw.fall.as_ref().map_or(default.fall, |at| at.value),
            jitter_permille: jitter.map_or(default.jitter_permille, |at| at.value),
        }
    }

    fn check_kind(&mut self, raw: &RawCheck, word: CheckWord) -> Option<CheckKind> {
        let tls = self.tls(raw, word);
        let bytes = |field: &Option<super::At<Vec<u8>>>| field.as_ref().map(|at| at.value.clone());
        Some(match word {
            CheckWord::Tcp => CheckKind::Tcp,
            CheckWord::Http | CheckWord::Https => self.http(raw, HttpVersion::Http1, tls),
            CheckWord::Http2 => self.http(raw, HttpVersion::Http2, tls),
            CheckWord::Udp => {
                self.udp(raw);
                CheckKind::Udp {
                    send: bytes(&raw.send).unwrap_or_default(),
                    expect: bytes(&raw.expect),
                }
            }
            CheckWord::Grpc => CheckKind::Grpc {
                service: raw.service.clone().unwrap_or_default(),
                tls,
            },
            CheckWord::Command => {
                self.command(raw);
                CheckKind::Command {
                    command: raw.command.clone(),
                }
            }
            CheckWord::Agent => CheckKind::Agent {
                send: bytes(&raw.send).unwrap_or_default(),
            },
        })
    }

    fn http(
        &mut self,
        raw: &RawCheck,
        version: HttpVersion,
        tls: Option<TlsSettings>,
    ) -> CheckKind {
        let default = HttpCheck::default();
        if let (Some("HEAD"), Some(body)) = (raw.method.as_deref(), raw.field("body")) {
            self.report(
                body,
                "`body` with method HEAD",
                "expected none: an answer to HEAD has no body",
            );
        }
        CheckKind::Http(HttpCheck {
            version,
            tls,
            method: raw.method.clone().unwrap_or(default.method),
            path: raw.path.clone().unwrap_or(default.path),
            host: raw.host.clone(),
            status: raw.status.clone().unwrap_or_default(),
            body: raw.body.clone(),
        })
    }

    fn udp(&mut self, raw: &RawCheck) {
        if raw.field("send").is_none() && raw.field("expect").is_none() {
            self.report_help(
                &raw.span,
                "a udp check that neither sends nor expects anything",
                "expected `send`, `expect` or both",
                "write health = { type = \"udp\", send = \"ping\", expect = \"pong\" }, with what \
                 the server understands; without `expect` only a refusal is a failure",
            );
        }
        if let Some(expect) = raw.expect.as_ref().filter(|at| at.value.is_empty()) {
            self.report_help(
                &expect.span,
                "`expect` is empty",
                "expected text that an answer contains",
                "leave it out to accept whatever is not refused",
            );
        }
    }

    fn command(&mut self, raw: &RawCheck) {
        let span = raw.field("command").unwrap_or(&raw.span).clone();
        match raw.command.first() {
            None => self.report_help(
                &span,
                "a check of type \"command\" without a command",
                "expected `command`",
                "write command = [\"/usr/lib/check\", \"argument\"] in its table",
            ),
            Some(program) if !program.starts_with('/') => self.report(
                &span,
                format!("command {program:?}"),
                "expected the program's whole path, beginning with a slash",
            ),
            Some(_) => {
                let bytes: usize = raw.command.iter().map(|word| word.len() + 1).sum();
                if bytes > MAX_COMMAND || raw.command.iter().any(|word| word.contains('\0')) {
                    self.report(
                        &span,
                        format!("a command of {bytes} bytes"),
                        format!("expected at most {MAX_COMMAND}, without zero bytes"),
                    );
                }
            }
        }
    }

    fn tls(&mut self, raw: &RawCheck, word: CheckWord) -> Option<TlsSettings> {
        let on = match (word, &raw.tls) {
            (CheckWord::Https, Some(tls)) if !tls.value => {
                self.report(
                    &tls.span,
                    "`tls` is false in a check of type \"https\"",
                    "expected type \"http\" for that",
                );
                true
            }
            (CheckWord::Https, _) => true,
            (CheckWord::Http2 | CheckWord::Grpc, tls) => tls.as_ref().is_some_and(|at| at.value),
            _ => return None,
        };
        let unverified = raw.verify.as_ref().is_some_and(|verify| !verify.value);
        if !on {
            for name in ["sni", "ca", "verify"] {
                if let Some(span) = raw.field(name) {
                    self.report(
                        span,
                        format!("`{name}` without TLS"),
                        "expected tls = true beside it",
                    );
                }
            }
            return None;
        }
        if let Some(ca) = raw.ca.as_ref().filter(|_| unverified) {
            self.report(
                &ca.span,
                "`ca` with verify = false",
                "expected one of the two: without verifying nobody's signature is looked at",
            );
        }
        Some(TlsSettings {
            sni: raw.sni.clone(),
            trust: match &raw.ca {
                _ if unverified => Trust::Anybody,
                Some(ca) => Trust::File(ca.value.clone()),
                None => Trust::System,
            },
        })
    }
}

/// Fields that say what happens after a check, without a check.
pub(super) fn without_effect(raw: &RawHealth, service: &Service) -> Vec<String> {
    if raw.check.is_some() || raw.agent.is_some() {
        return Vec::new();
    }
    let given = [
        ("on_down", raw.on_down.is_some()),
        ("slow_start", raw.slow_start.is_some()),
        ("panic_threshold", raw.panic_threshold.is_some()),
    ];
    given
        .iter()
        .filter(|(_, given)| *given)
        .map(|(field, _)| {
            format!(
                "`{field}` of {} has no effect: its backends are not checked, add health = \"tcp\"",
                service.id
            )
        })
        .collect()
}
