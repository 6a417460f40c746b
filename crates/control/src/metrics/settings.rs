//! What is configured: `[metrics]`.

use std::net::SocketAddr;

/// Whether metrics are served, where, and how much they tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where Prometheus scrapes; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Whether each backend has samples of its own, beside those of its service.
    pub per_backend: bool,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            listen: None,
            per_backend: true,
        }
    }
}
