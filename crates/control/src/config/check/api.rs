//! Who may use the socket, and what the process does by itself.

use super::Checker;
use crate::config::raw::RawConfig;
use crate::config::settings::{ApiSettings, DaemonSettings};

/// The longest name that useradd(8) makes.
const MAX_GROUP: usize = 32;

impl Checker<'_> {
    pub(super) fn api(&mut self, raw: &RawConfig) -> ApiSettings {
        let Some(group) = &raw.api_group else {
            return ApiSettings::default();
        };
        let name = &group.value;
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte);
        if name.is_empty() || name.len() > MAX_GROUP || !name.bytes().all(good) {
            self.report(
                &group.span,
                format!("{name:?} cannot be a group's name"),
                "expected a name such as \"evenkeel\", or a number",
            );
        }
        ApiSettings {
            group: Some(name.clone()),
        }
    }
}

pub(super) fn daemon(raw: &RawConfig) -> DaemonSettings {
    DaemonSettings {
        watch: raw.watch.unwrap_or_default(),
    }
}
