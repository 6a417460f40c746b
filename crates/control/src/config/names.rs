//! Names of services and backends, as people type them.

use std::fmt;
use std::net::IpAddr;

use engine::desired::{Backend, Service, ServiceId};

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
        let backends = || service.backends.iter().enumerate();
        let of_port = |port| {
            backends().find(|(_, backend)| {
                backend.address == self.address && service.backend_port(backend) == port
            })
        };
        if self.port.is_some() {
            return of_port(self.port).map(|(index, _)| index);
        }
        let own = Backend::new(self.address);
        let mut only = backends().filter(|(_, backend)| backend.address == self.address);
        let found = of_port(service.backend_port(&own)).or_else(|| {
            let first = only.next();
            first.filter(|_| only.next().is_none())
        });
        found.map(|(index, _)| index)
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
