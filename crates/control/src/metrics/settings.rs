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

impl MetricsSettings {
    /// What differs from the settings that are running, in a line: the listener is made at the
    /// start, and a reload leaves it as it is.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Option<String> {
        (self != new).then(|| format!("[metrics]: {self} is running, {new} is in the file"))
    }
}

impl std::fmt::Display for MetricsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.listen {
            Some(listen) => write!(f, "listen {listen}, per_backend {}", self.per_backend),
            None => f.write_str("no listener"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_with_both_values() {
        let silent = MetricsSettings::default();
        assert_eq!(silent.needs_restart(&silent), None);
        let served = MetricsSettings {
            listen: "127.0.0.1:9464".parse().ok(),
            ..silent
        };
        assert_eq!(
            silent.needs_restart(&served).as_deref(),
            Some(
                "[metrics]: no listener is running, listen 127.0.0.1:9464, per_backend true is in \
                 the file"
            )
        );
    }
}
