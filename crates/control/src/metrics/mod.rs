//! What Prometheus scrapes, made of a [`Status`] whenever it is asked for.
//!
//! - `settings`: what is configured.
//! - `family`: samples, by family.
//! - `instance`: the families about the instance as a whole.
//! - `service`: those about services and backends.
//! - `health`: those about what health checks found.
//! - `totals`: what services have had altogether.
//! - `server`: who answers scrapes.

mod family;
mod health;
mod instance;
mod server;
mod service;
mod settings;
mod totals;

#[cfg(test)]
mod tests;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

pub use server::{MetricsError, Source, bind, serve_metrics};
pub use settings::MetricsSettings;

use crate::status::Status;
use totals::{Totals, Traffic};

/// What every name begins with.
const PREFIX: &str = "evenkeel";

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0, which Prometheus asks for.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4, for those who do not ask.
    Prometheus,
}

impl Format {
    /// The value of the HTTP header `content-type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Makes metrics of one status after the other. It has to be the same one for all of a process'
/// life, because it remembers what backends had that are gone.
#[derive(Debug)]
pub struct Exporter {
    per_backend: bool,
    totals: Totals,
}

impl Exporter {
    /// Counts for services all that their backends have had.
    #[must_use]
    pub fn new(per_backend: bool) -> Self {
        Self {
            per_backend,
            totals: Totals::default(),
        }
    }

    /// Counts for services only what comes from now on: the counters of backends may be those of an
    /// earlier process, which also counted what backends had that are gone.
    pub fn begin(&mut self, status: &Status) {
        self.totals.begin(status);
    }

    /// The metrics of an instance that is like this now.
    #[must_use]
    pub fn render(&mut self, status: Status, format: Format) -> String {
        let snapshot = Snapshot {
            totals: self.totals.add(&status),
            status,
            per_backend: self.per_backend,
        };
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(snapshot));
        let mut text = String::new();
        let written = match format {
            Format::OpenMetrics => text::encode(&mut text, &registry),
            Format::Prometheus => prometheus_text::encode(&mut text, &registry),
        };
        // Only a writer can fail, and a string does not.
        debug_assert!(written.is_ok(), "a string takes everything");
        text
    }
}

/// What is told, in the order in which it is.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    /// In the order of the services.
    totals: Vec<Traffic>,
    per_backend: bool,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        instance::encode(&self.status, &mut encoder)?;
        service::encode_services(&self.status.services, &self.totals, &mut encoder)?;
        let backends = if self.per_backend {
            &self.status.services[..]
        } else {
            &[]
        };
        service::encode_backends(backends, &mut encoder)?;
        health::encode(backends, &mut encoder)
    }
}
