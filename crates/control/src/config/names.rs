//! Names of services and backends, as people type them.

use std::fmt;
use std::net::IpAddr;

use engine::desired::{Backend, Service, ServiceId, ServicePort};

use super::words::{self, Mistake};
use crate::health::Endpoint;

/// A text that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found}: {expected}{}", help.as_ref().map(|help| format!("; {help}")).unwrap_or_default())]
pub struct NameError {
    /// What is wrong with it.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl From<Mistake> for NameError {
    fn from(mistake: Mistake) -> Self {
        Self {
            found: mistake.found,
            expected: mistake.expected,
            help: mistake.help,
        }
    }
}

/// The service that `tcp://10.0.0.10:443` names.
///
/// # Errors
/// It names none.
pub fn service_name(text: &str) -> Result<ServiceId, NameError> {
    words::service_id(text).map_err(NameError::from)
}

/// A backend of a service: `10.0.0.2`, `10.0.0.2:443`, `[2001:db8::2]:443`, `10.0.0.2:*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendName {
    /// Its address.
    pub address: IpAddr,
    /// Its port; without one, the service's or the only one there is.
    pub port: Option<u16>,
}

impl BackendName {
    /// The backend that a text names.
    ///
    /// # Errors
    /// It names none.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix(":*").unwrap_or(text);
        // An IPv6 address need not be in brackets as long as there is no port.
        if let Ok(address) = text.parse() {
            let port = None;
            return Ok(Self { address, port });
        }
        match words::backend(text) {
            Ok(parts) if parts.mac.is_none() => Ok(Self {
                address: parts.address.0,
                port: parts.port.map(|(port, _)| port),
            }),
            Ok(_) => Err(NameError {
                found: format!("a MAC in {text:?}"),
                expected: "expected ADDRESS or ADDRESS:PORT".into(),
                help: None,
            }),
            Err(mut mistakes) => Err(mistakes.swap_remove(0).into()),
        }
    }

    /// Which of the service's backends it means.
    #[must_use]
    pub fn find(&self, service: &Service) -> Option<usize> {
        let backends = service.backends.iter().map(|backend| Self {
            address: backend.address,
            port: backend.port,
        });
        self.choose(service.id.port, backends.map(Some))
    }

    /// Which of the backends that are called so it means; `service` is their service's port. Without
    /// a port: the one with the service's own, or the only one there is.
    #[must_use]
    pub fn choose(
        &self,
        service: ServicePort,
        backends: impl IntoIterator<Item = Option<Self>>,
    ) -> Option<usize> {
        let own = match service {
            ServicePort::Exact(port) => Some(port),
            ServicePort::Any => None,
        };
        let same: Vec<(usize, Option<u16>)> = (0..)
            .zip(backends)
            .filter_map(|(index, it)| Some((index, it?)))
            .filter(|(_, it)| it.address == self.address)
            .map(|(index, it)| (index, it.port.or(own)))
            .collect();
        match (self.port, &*same) {
            (None, [(only, _)]) => Some(*only),
            (port, _) => {
                let found = same.iter().find(|(_, it)| *it == port.or(own));
                found.map(|(index, _)| *index)
            }
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(_) => {
                let Self { address, port } = *self;
                Endpoint { address, port }.fmt(f)
            }
            None => self.address.fmt(f),
        }
    }
}

/// How a service's backend is called: `10.0.0.2:443`, with `*` for the port the client asked for.
#[must_use]
pub fn backend_name(service: &Service, backend: &Backend) -> String {
    Endpoint::of(service, backend).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_port_means_the_services_own_or_the_only_backend_there_is() {
        let names = |texts: &[&str]| -> Vec<Option<BackendName>> {
            let parsed = texts.iter().map(|text| BackendName::parse(text).ok());
            parsed.collect()
        };
        let both = names(&["10.0.0.2:8080", "10.0.0.3", "10.0.0.2:80"]);
        let alone = names(&["10.0.0.3:80", "10.0.0.2:8080"]);
        let neither = names(&["10.0.0.2:8080", "10.0.0.2:8081"]);
        let any = names(&["10.0.0.3:*", "?", "10.0.0.2:*"]);
        let (exact, every) = (ServicePort::Exact(80), ServicePort::Any);
        for (name, port, backends, index) in [
            ("10.0.0.2", exact, &both, Some(2)),
            ("10.0.0.2:80", exact, &both, Some(2)),
            ("10.0.0.2:8080", exact, &both, Some(0)),
            ("10.0.0.3", exact, &both, Some(1)),
            ("10.0.0.3:80", exact, &both, Some(1)),
            ("10.0.0.2", exact, &alone, Some(1)),
            ("10.0.0.2:80", exact, &alone, None),
            ("10.0.0.2", exact, &neither, None),
            ("10.0.0.2", every, &any, Some(2)),
            ("10.0.0.2:*", every, &any, Some(2)),
            ("10.0.0.2:80", every, &any, None),
        ] {
            let wanted = BackendName::parse(name).unwrap();
            let found = wanted.choose(port, backends.iter().copied());
            assert_eq!(found, index, "{name} of {backends:?}");
        }
    }
}
