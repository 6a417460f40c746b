//! `health`, `agent` and the other fields of a service that are about health.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::service::backends;
use super::{number, word};
use crate::config::problem::Problem;
use crate::config::raw::{At, CheckField, CheckWord, RawCheck, RawHealth, Word};
use crate::config::reader::{Reader, Table};
use crate::config::words;
use crate::health::{OnDown, StatusRanges, Via};

/// Results in a row that may be asked for.
const MAX_COUNT: u8 = 100;
/// Methods a check may use.
const METHODS: [(&str, &str); 3] = [("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS")];
const EXAMPLE: &str = "\"tcp\", or { type = \"http\", path = \"/healthz\" }";

pub(super) fn health<'a>(reader: &mut Reader<'a>, service: Table<'a>) -> RawHealth {
    RawHealth {
        check: check(reader, service),
        agent: agent(reader, service),
        on_down: reader.choice(service, "on_down", &OnDown::ALL),
        slow_start: word(reader, service, "slow_start", "30s", words::slow_start),
        panic_threshold: number(reader, service, "panic_threshold", 0, 100),
        sorry: backends(reader, service, "sorry"),
    }
}

/// `health = "tcp"`, or a table for what is not as usual.
fn check<'a>(reader: &mut Reader<'a>, service: Table<'a>) -> Option<RawCheck> {
    let value = service.get("health")?;
    match value.get_ref() {
        DeValue::String(_) => {
            let text = reader.text_value(value, "health", "tcp")?;
            Some(short(&text, &mut reader.problems))
        }
        DeValue::Table(fields) => {
            let table = service.inner("health", fields)?;
            if !fields.contains_key("type") {
                reader.missing(value.span(), "health", "type", "\"http\"");
            }
            let word = reader.choice(table, "type", &CheckWord::ALL);
            reader.deny_unknown(table);
            Some(table_check(reader, table, value, word.map(|at| at.value)))
        }
        _ => {
            reader.wrong_type(value, "health", EXAMPLE);
            None
        }
    }
}

/// A check given by its type alone.
pub(in crate::config) fn short(text: &Word<'_>, problems: &mut Vec<Problem>) -> RawCheck {
    let word = text.choose("type of check", &CheckWord::ALL, problems);
    RawCheck::new(text.span.clone(), word.map(|at| at.value))
}

/// `agent = { port = 9999 }`, beside a check.
fn agent<'a>(reader: &mut Reader<'a>, service: Table<'a>) -> Option<RawCheck> {
    let value = service.get("agent")?;
    let DeValue::Table(fields) = value.get_ref() else {
        reader.wrong_type(value, "agent", "a table such as { port = 9999 }");
        return None;
    };
    let table = service.inner("agent", fields)?;
    reader.deny_unknown(table);
    Some(any_check(reader, table, value, Some(CheckWord::Agent)))
}

/// What `agent` and every `health` may have.
fn any_check<'a>(
    reader: &mut Reader<'a>,
    table: Table<'a>,
    value: &'a Spanned<DeValue<'a>>,
    word_: Option<CheckWord>,
) -> RawCheck {
    let given = |field: &CheckField| {
        let (key, _) = table.fields.get_key_value(field.name)?;
        Some(At {
            value: *field,
            span: key.span(),
        })
    };
    RawCheck {
        fields: CheckField::ALL.iter().filter_map(given).collect(),
        send: word(reader, table, "send", "ping", words::payload),
        has_port: table.fields.contains_key("port"),
        port: number(reader, table, "port", 1, u16::MAX),
        address: word(reader, table, "address", "10.0.0.2", words::ip_address),
        interval: word(reader, table, "interval", "2s", words::interval),
        timeout: word(reader, table, "timeout", "1s", words::check_timeout),
        jitter_permille: jitter(reader, table),
        ..RawCheck::new(value.span(), word_)
    }
}

fn table_check<'a>(
    reader: &mut Reader<'a>,
    table: Table<'a>,
    value: &'a Spanned<DeValue<'a>>,
    word_: Option<CheckWord>,
) -> RawCheck {
    RawCheck {
        method: reader
            .choice(table, "method", &METHODS)
            .map(|at| at.value.to_owned()),
        path: word(reader, table, "path", "/healthz", words::path).map(|at| at.value),
        host: word(reader, table, "host", "www.example.org", words::host).map(|at| at.value),
        status: status(reader, table),
        body: text(reader, table, "body", "ok"),
        tls: reader.boolean(table, "tls"),
        sni: word(reader, table, "sni", "www.example.org", words::server_name).map(|at| at.value),
        ca: reader
            .text(table, "ca", "/etc/ssl/private-ca.pem")
            .map(|text| At {
                value: PathBuf::from(text.text),
                span: text.span,
            }),
        verify: reader.boolean(table, "verify"),
        expect: word(reader, table, "expect", "pong", words::payload),
        service: reader
            .text(table, "service", "my.package.Service")
            .map(|text| text.text.to_owned()),
        command: command(reader, table),
        via: reader.choice(table, "via", &Via::ALL),
        rise: number(reader, table, "rise", 1, MAX_COUNT),
        fall: number(reader, table, "fall", 1, MAX_COUNT),
        ..any_check(reader, table, value, word_)
    }
}

/// Text that must not be empty.
fn text<'a>(reader: &mut Reader<'a>, table: Table<'a>, key: &str, example: &str) -> Option<String> {
    let text = reader.text(table, key, example)?;
    if text.text.is_empty() {
        reader.problems.push(Problem::new(
            text.span,
            format!("`{key}` is empty"),
            format!("expected text such as \"{example}\", or no `{key}`"),
        ));
        return None;
    }
    Some(text.text.to_owned())
}

/// A number, or text with ranges.
fn status<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Option<StatusRanges> {
    let value = table.get("status")?;
    match value.get_ref() {
        DeValue::Integer(_) => {
            let code = number::<u16>(reader, table, "status", 100, 599)?.value;
            Some(StatusRanges(vec![(code, code)]))
        }
        _ => word(reader, table, "status", "200-299", words::status).map(|at| at.value),
    }
}

/// Part of the interval, in thousandths.
fn jitter<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Option<At<u16>> {
    const EXPECTED: &str = "a number from 0.0 to 0.5, a part of the interval";
    let value = table.get("jitter")?;
    let part: Option<f64> = match value.get_ref() {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(integer) => integer.as_str().parse().ok(),
        _ => {
            reader.wrong_type(value, "jitter", EXPECTED);
            return None;
        }
    };
    let permille = part
        .map(|part| part * 1_000.0)
        .filter(|permille| (0.0..=500.0).contains(permille))
        .map(|permille| permille.round() as u16);
    if permille.is_none() {
        let written = &reader.text[value.span()];
        reader.problems.push(Problem::new(
            value.span(),
            format!("`jitter` is {written}"),
            format!("expected {EXPECTED}"),
        ));
    }
    Some(At {
        value: permille?,
        span: value.span(),
    })
}

fn command<'a>(reader: &mut Reader<'a>, table: Table<'a>) -> Vec<String> {
    let example = "[\"/usr/lib/check\", \"--fast\"]";
    let Some(array) = reader.array(table, "command", example) else {
        return Vec::new();
    };
    array
        .iter()
        .filter_map(|value| {
            let word = reader.text_value(value, "command", "/usr/lib/check")?;
            Some(word.text.to_owned())
        })
        .collect()
}
