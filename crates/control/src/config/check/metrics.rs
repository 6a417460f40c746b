//! Whether metrics are served, and to whom.

use crate::config::raw::RawConfig;
use crate::metrics::MetricsSettings;

pub(super) fn settings(raw: &RawConfig) -> MetricsSettings {
    let default = MetricsSettings::default();
    MetricsSettings {
        listen: raw.metrics_listen,
        per_backend: raw.metrics_per_backend.unwrap_or(default.per_backend),
    }
}

/// There is no password, so who can connect can read.
pub(super) fn warning(settings: &MetricsSettings) -> Option<String> {
    let listen = settings
        .listen
        .filter(|listen| !listen.ip().is_loopback())?;
    Some(format!(
        "whoever reaches {listen} can read the metrics, names of services and backends among \
         them: see to it that only your Prometheus does"
    ))
}
