//! What an override does to the text of a configuration.

use engine::desired::{BackendState, ServiceId};

use super::{BackendSpec, Override, OverrideError};
use crate::config::tree::{Fields, Node};
use crate::config::{BackendName, NameError, service_name};

/// Does it.
pub(super) fn edit(tree: &mut Fields, change: &Override) -> Result<(), OverrideError> {
    let services = services(tree);
    let id = service_name(change.service())?;
    let known = services
        .iter()
        .position(|node| service_of(node) == Some(id));
    if let Override::ServiceAdded { spec } = change {
        if known.is_some() {
            return Err(OverrideError::Exists(format!("service {id}")));
        }
        services.extend(spec.node());
        return Ok(());
    }
    let index = known.ok_or_else(|| OverrideError::NoService(id.to_string()))?;
    if let Override::ServiceRemoved { .. } = change {
        services.remove(index);
        return Ok(());
    }
    match services.get_mut(index) {
        Some(Node::Table(service)) => edit_backends(service, id, change),
        _ => Err(OverrideError::NoService(id.to_string())),
    }
}

fn edit_backends(
    service: &mut Fields,
    id: ServiceId,
    change: &Override,
) -> Result<(), OverrideError> {
    let Some(text) = change.backend() else {
        return Ok(());
    };
    let none = || OverrideError::NoBackend {
        service: id.to_string(),
        backend: text.to_owned(),
    };
    let backends = service.list("backends").ok_or_else(none)?;
    if let Override::BackendAdded { spec, .. } = change {
        let name = spec_name(spec)?;
        if find(backends, id, &name).is_some() {
            return Err(OverrideError::Exists(format!("backend {text} of {id}")));
        }
        backends.extend(spec.node());
        return Ok(());
    }
    let index = find(backends, id, &BackendName::parse(text)?).ok_or_else(none)?;
    match change {
        Override::BackendState { state, .. } => {
            let word = BackendState::from(*state).to_string();
            set(&mut backends[index], "state", Node::Text(word));
        }
        Override::BackendWeight { weight, .. } => {
            set(
                &mut backends[index],
                "weight",
                Node::Word(weight.to_string()),
            );
        }
        _ => {
            backends.remove(index);
        }
    }
    Ok(())
}

fn services(tree: &mut Fields) -> &mut Vec<Node> {
    if !matches!(tree.get("service"), None | Some(Node::List(_))) {
        // Not what a checked configuration has.
        tree.set("service", Node::List(Vec::new()));
    }
    match tree.list("service") {
        Some(list) => list,
        None => unreachable!("it was made a list"),
    }
}

fn service_of(node: &Node) -> Option<ServiceId> {
    match node {
        Node::Table(fields) => service_name(fields.text("address")?).ok(),
        _ => None,
    }
}

fn find(backends: &[Node], id: ServiceId, name: &BackendName) -> Option<usize> {
    name.choose(id.port, backends.iter().map(node_name))
}

fn node_name(node: &Node) -> Option<BackendName> {
    let (text, port) = match node {
        Node::Text(text) => (text.as_str(), None),
        Node::Table(fields) => {
            let port = match fields.get("port") {
                Some(Node::Word(port)) => port.parse().ok(),
                _ => None,
            };
            (fields.text("address")?, port)
        }
        _ => return None,
    };
    written(text, port).ok()
}

/// The name of a backend to come.
pub(super) fn spec_name(spec: &BackendSpec) -> Result<BackendName, OverrideError> {
    Ok(written(&spec.address, spec.port)?)
}

/// The name of a backend that is written as `ADDRESS[:PORT][@MAC]`, with its port there or in a field
/// of its own.
fn written(text: &str, port: Option<u16>) -> Result<BackendName, NameError> {
    let place = text.split_once('@').map_or(text, |(place, _)| place);
    let name = BackendName::parse(place)?;
    Ok(BackendName {
        port: name.port.or(port),
        ..name
    })
}

/// Sets a field of a backend, which may be in its short form.
fn set(backend: &mut Node, key: &str, value: Node) {
    if let Node::Text(_) = backend {
        let mut fields = Fields::default();
        fields.set("address", backend.clone());
        *backend = Node::Table(fields);
    }
    if let Node::Table(fields) = backend {
        fields.set(key, value);
    }
}
