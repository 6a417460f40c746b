//! What was changed by hand, beside the file: services and backends added and removed, backends
//! drained, weights. Pure: a list of overrides applied to a configuration gives another one, which
//! is checked as a file is.
//!
//! - `spec`: a service and a backend as the API takes them.
//! - `list`: the list, in which a later override takes the place of an earlier one.
//! - `edit`: what an override does to the text of a configuration.

mod edit;
mod list;
mod spec;
#[cfg(test)]
mod tests;

use std::fmt;

use engine::desired::BackendState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{ConfigError, NameError};
pub use list::Overrides;
pub(crate) use list::{Base, Effective};
pub use spec::{AffinityWord, BackendSpec, ModeWord, ServiceSpec, StateWord, TrackWord};

/// Overrides that one instance may have; what lasts belongs into the file.
pub const MAX_OVERRIDES: usize = 1_000;

/// Something that was changed by hand. Services are named as `tcp://10.0.0.10:443`, backends as
/// `10.0.0.2:443`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Override {
    /// A service that the file does not have.
    ServiceAdded {
        /// It.
        spec: ServiceSpec,
    },
    /// A service of the file that is not wanted.
    ServiceRemoved {
        /// Which.
        service: String,
    },
    /// A backend that the file does not have.
    BackendAdded {
        /// The service.
        service: String,
        /// It.
        spec: BackendSpec,
    },
    /// A backend of the file that is not wanted.
    BackendRemoved {
        /// The service.
        service: String,
        /// Which.
        backend: String,
    },
    /// Another state than the file's.
    BackendState {
        /// The service.
        service: String,
        /// The backend.
        backend: String,
        /// Its state.
        state: StateWord,
    },
    /// Another weight than the file's.
    BackendWeight {
        /// The service.
        service: String,
        /// The backend.
        backend: String,
        /// Its weight.
        #[schema(maximum = 65535)]
        weight: u32,
    },
}

impl Override {
    /// The service that it is about.
    #[must_use]
    pub fn service(&self) -> &str {
        match self {
            Self::ServiceAdded { spec } => &spec.address,
            Self::ServiceRemoved { service }
            | Self::BackendAdded { service, .. }
            | Self::BackendRemoved { service, .. }
            | Self::BackendState { service, .. }
            | Self::BackendWeight { service, .. } => service,
        }
    }

    /// The backend that it is about, if it is about one.
    fn backend(&self) -> Option<&str> {
        match self {
            Self::ServiceAdded { .. } | Self::ServiceRemoved { .. } => None,
            Self::BackendAdded { spec, .. } => Some(&spec.address),
            Self::BackendRemoved { backend, .. }
            | Self::BackendState { backend, .. }
            | Self::BackendWeight { backend, .. } => Some(backend),
        }
    }

    /// Whether it changes which services and backends there are.
    fn is_structural(&self) -> bool {
        !matches!(self, Self::BackendState { .. } | Self::BackendWeight { .. })
    }
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAdded { spec } => write!(f, "service {} added", spec.address),
            Self::ServiceRemoved { service } => write!(f, "service {service} removed"),
            Self::BackendAdded { service, spec } => {
                write!(f, "backend {} of {service} added", spec.address)
            }
            Self::BackendRemoved { service, backend } => {
                write!(f, "backend {backend} of {service} removed")
            }
            Self::BackendState {
                service,
                backend,
                state,
            } => write!(
                f,
                "backend {backend} of {service}: state {}",
                BackendState::from(*state)
            ),
            Self::BackendWeight {
                service,
                backend,
                weight,
            } => write!(f, "backend {backend} of {service}: weight {weight}"),
        }
    }
}

/// Why an override cannot be.
#[derive(Debug, thiserror::Error)]
pub enum OverrideError {
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It is about a service that is not there.
    #[error("there is no service {0}: `evenkeel service list` shows those there are")]
    NoService(String),
    /// It is about a backend that is not there.
    #[error(
        "there is no backend {backend} of {service}: `evenkeel backend list` shows those there are; \
         a sorry backend can be changed in the file only"
    )]
    NoBackend {
        /// The service.
        service: String,
        /// The backend.
        backend: String,
    },
    /// What is to be added is there already.
    #[error("{0} is there already: remove it first, or change its state or weight")]
    Exists(String),
    /// Nobody would get new flows, which is hardly what was meant.
    #[error(
        "every backend of {0} would have weight 0: give another backend a weight first, or drain this one"
    )]
    NoWeight(String),
    /// A weight that is none.
    #[error("weight {0}: expected an integer from 0 to {max}", max = crate::config::MAX_WEIGHT)]
    Weight(u32),
    /// There are too many.
    #[error(
        "{MAX_OVERRIDES} changes were made by hand: write them into the file, then `evenkeel reload --discard-overrides`"
    )]
    TooMany,
    /// What comes out is not a configuration.
    #[error("{0}\n\nnothing was changed")]
    Config(#[from] ConfigError),
}
