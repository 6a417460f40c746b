//! What can differ between two services, or two backends, with one identity. A field that is added
//! is missed here by the compiler.

use super::FieldChange;
use crate::desired::{Backend, Service};

/// Names of fields and their values.
pub(super) type Fields = Vec<(&'static str, String)>;

pub(super) fn differences(old: &Fields, new: &Fields) -> Vec<FieldChange> {
    let both = old.iter().zip(new).filter(|(old, new)| old != new);
    let change = |(old, new): (&(&'static str, String), &(&'static str, String))| FieldChange {
        field: new.0,
        old: old.1.clone(),
        new: new.1.clone(),
    };
    both.map(change).collect()
}

fn or_default<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "default".into(), |value| value.to_string())
}

pub(super) fn service_fields(service: &Service) -> Fields {
    let Service {
        id: _,
        mode: _,
        affinity,
        track,
        transition_window,
        echo,
        no_backend,
        quic,
        backends: _,
        ring_log2,
    } = service;
    let quic = quic.map(|quic| {
        let (length, config) = (quic.server_id_length, quic.config);
        format!("{{ server_id_length = {length}, config = {config} }}")
    });
    vec![
        ("affinity", affinity.to_string()),
        ("track", track.to_string()),
        (
            "transition_window",
            format!("{}s", transition_window.as_secs()),
        ),
        ("echo", echo.to_string()),
        ("no_backend", no_backend.to_string()),
        ("quic", quic.unwrap_or_else(|| "false".into())),
        (
            "ring_slots",
            or_default(ring_log2.map(|log2| 1_u64 << log2)),
        ),
    ]
}

pub(super) fn backend_fields(backend: &Backend) -> Fields {
    let Backend {
        address: _,
        port: _,
        weight,
        mac,
        state,
        gue_port,
        quic_server_id,
    } = backend;
    vec![
        ("weight", weight.to_string()),
        ("mac", or_default(*mac)),
        ("state", state.to_string()),
        ("gue_port", gue_port.to_string()),
        ("quic_server_id", or_default(*quic_server_id)),
    ]
}
