//! `[[service]]` and its backends.

use std::sync::Arc;

use engine::desired::{
    Affinity, BackendState, ForwardingMode, NoBackend, Quic, QuicServerId, Track,
};
use toml::Spanned;
use toml::de::DeValue;

use super::health::health;
use super::{number, word};
use crate::config::limits::{MAX_QUIC_CONFIG, MAX_RING_SLOTS, MAX_WEIGHT, MIN_RING_SLOTS};
use crate::config::problem::Problem;
use crate::config::raw::{At, RawBackend, RawService};
use crate::config::reader::{Reader, Table};
use crate::config::source::Span;
use crate::config::words;

const BACKENDS_EXAMPLE: &str = "[\"10.0.0.2\", \"10.0.0.3\"]";

pub(super) fn services<'a>(reader: &mut Reader<'a>, root: Table<'a>) -> Vec<Arc<RawService>> {
    let Some(value) = root.get("service") else {
        return Vec::new();
    };
    // `[service]` is the usual slip.
    let Some(array) = value.get_ref().as_array() else {
        reader.problems.push(
            Problem::new(
                value.span(),
                "`service` is not a list",
                "expected [[service]]",
            )
            .help("there can be several services: write [[service]] with two brackets"),
        );
        return Vec::new();
    };
    array
        .iter()
        .filter_map(|value| Some(service(reader, root, value)?.into()))
        .collect()
}

fn service<'a>(
    reader: &mut Reader<'a>,
    root: Table<'a>,
    value: &'a Spanned<DeValue<'a>>,
) -> Option<RawService> {
    let span = value.span();
    let Some(fields) = value.get_ref().as_table() else {
        reader.problems.push(Problem::new(
            span,
            "a service is not a table",
            "expected [[service]]",
        ));
        return None;
    };
    let table = root.inner("service", fields)?;
    reader.deny_unknown(table);
    let example = "tcp://10.0.0.10:80";
    if !fields.contains_key("address") {
        let example = format!("{example:?}");
        reader.missing(span.clone(), "a service", "address", &example);
    }
    let mode = match fields.contains_key("mode") {
        true => reader
            .choice(table, "mode", &ForwardingMode::ALL)
            .map(|at| at.value),
        false => Some(ForwardingMode::default()),
    };
    let affinity = reader.choice(table, "affinity", &Affinity::ALL);
    let no_backend = reader.choice(table, "no_backend", &NoBackend::ALL);
    Some(RawService {
        id: word(reader, table, "address", example, words::service_id),
        mode,
        affinity: affinity.map(|at| at.value).unwrap_or_default(),
        track: reader.choice(table, "track", &Track::ALL),
        transition_window: word(
            reader,
            table,
            "transition_window",
            "15m",
            words::transition_window,
        ),
        echo: reader.boolean(table, "echo"),
        no_backend: no_backend.map(|at| at.value).unwrap_or_default(),
        quic: quic(reader, table),
        gue_port: number(reader, table, "gue_port", 1, u16::MAX),
        ring_slots: number(reader, table, "ring_slots", MIN_RING_SLOTS, MAX_RING_SLOTS),
        has_backends: match fields.get("backends").map(Spanned::get_ref) {
            Some(DeValue::Array(array)) => !array.is_empty(),
            Some(_) => true,
            None => false,
        },
        backends: backends(reader, table, "backends"),
        health: health(reader, table),
        span,
    })
}

/// `quic = true`, or a table for what is not as usual.
fn quic<'a>(reader: &mut Reader<'a>, service: Table<'a>) -> Option<At<Quic>> {
    let value = service.get("quic")?;
    let quic = match value.get_ref() {
        DeValue::Boolean(false) => return None,
        DeValue::Boolean(true) => Quic::default(),
        DeValue::Table(fields) => {
            let table = service.inner("quic", fields)?;
            reader.deny_unknown(table);
            let longest = QuicServerId::MAX_LENGTH.to_le_bytes()[0];
            let length = number(reader, table, "server_id_length", 1, longest);
            let default = Quic::default();
            Quic {
                server_id_length: length.map_or(default.server_id_length, |at| at.value),
                config: number(reader, table, "config", 0, MAX_QUIC_CONFIG)
                    .map_or(default.config, |at| at.value),
            }
        }
        _ => {
            reader.wrong_type(
                value,
                "quic",
                "true, or { server_id_length = 4, config = 0 }",
            );
            return None;
        }
    };
    Some(At {
        value: quic,
        span: value.span(),
    })
}

/// The backends under `key`.
pub(super) fn backends<'a>(
    reader: &mut Reader<'a>,
    service: Table<'a>,
    key: &str,
) -> Vec<RawBackend> {
    let Some(array) = reader.array(service, key, BACKENDS_EXAMPLE) else {
        return Vec::new();
    };
    array
        .iter()
        .filter_map(|value| match value.get_ref() {
            DeValue::Table(fields) => {
                backend_table(reader, service.inner("backends", fields)?, value)
            }
            _ => reader
                .text_value(value, key, "10.0.0.2:8000")?
                .backend(&mut reader.problems),
        })
        .collect()
}

/// The long form of a backend. Its address may be the short form, as long as nothing is said twice.
fn backend_table<'a>(
    reader: &mut Reader<'a>,
    table: Table<'a>,
    value: &'a Spanned<DeValue<'a>>,
) -> Option<RawBackend> {
    reader.deny_unknown(table);
    if !table.fields.contains_key("address") {
        reader.missing(value.span(), "a backend", "address", "\"10.0.0.2\"");
    }
    let port = number(reader, table, "port", 1, u16::MAX);
    let mac = word(reader, table, "mac", "de:ad:be:ef:00:02", words::mac);
    let weight = number(reader, table, "weight", 0, MAX_WEIGHT);
    let state = reader.choice(table, "state", &BackendState::ALL);
    let gue_port = number(reader, table, "gue_port", 1, u16::MAX);
    let quic_server_id = word(
        reader,
        table,
        "quic_server_id",
        "0a0b0c0d",
        words::quic_server_id,
    );
    let address = reader.text(table, "address", "10.0.0.2")?;
    let mut backend = address.backend(&mut reader.problems)?;
    if let Some(At { value, span }) = port {
        if backend.port.is_some() {
            reader.problems.push(twice(&span, "port"));
        }
        backend.port = Some(At { value, span });
    }
    if let Some(mac) = mac {
        if backend.mac.is_some() {
            reader.problems.push(twice(&mac.span, "MAC"));
        }
        backend.mac = Some(mac);
    }
    if let Some(weight) = weight {
        backend.weight = weight.value;
    }
    backend.state = state.map(|at| at.value).unwrap_or_default();
    backend.gue_port = gue_port;
    backend.quic_server_id = quic_server_id;
    Some(backend)
}

fn twice(span: &Span, what: &str) -> Problem {
    Problem::new(
        span.clone(),
        format!("the backend's {what} is given twice"),
        "expected it here or in `address`, not in both",
    )
}
