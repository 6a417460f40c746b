//! Which configuration is in force, and where it came from.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::RunOptions;
use crate::config::{Checked, ConfigError, Origin};
use crate::overrides::{Base, Effective, Override, OverrideError, Overrides};
use crate::status::ConfigurationStatus;

/// Overrides that a status names; the rest are counted.
const NAMED: usize = 50;
/// Longest name of a text that somebody sent.
const MAX_SOURCE: usize = 4_096;

/// What is in force: a text, and what was changed by hand beside it.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// The instance's own file; `None`: it came from flags.
    origin: Option<Origin>,
    /// Where `base` came from.
    source: String,
    /// Milliseconds since 1970-01-01 00:00 UTC.
    applied_ms: u64,
    base: Arc<Base>,
    overrides: Overrides,
    effective: Effective,
}

impl Configuration {
    /// What an instance starts with, what was changed by hand under an earlier process included. Second: what of it cannot be any more.
    pub(super) fn at_start(
        options: &RunOptions,
        mut overrides: Overrides,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let source = match &options.origin {
            Some(origin) => origin.file.display().to_string(),
            None => "the command line".into(),
        };
        let interfaces = match &options.origin {
            Some(origin) => origin.interfaces.clone(),
            None => Vec::new(),
        };
        let base = Base::parse(&source, options.text.clone(), interfaces)?;
        let (effective, dropped) = overrides.fit(&base);
        let configuration = Self {
            origin: options.origin.clone(),
            source,
            applied_ms: now_ms(),
            base: base.into(),
            overrides,
            effective,
        };
        Ok((configuration, dropped))
    }

    /// The same with the file as it is now, or `None` if there is none. Second: what was changed by
    /// hand and cannot be any more.
    pub(crate) fn reread(&self, discard: bool) -> Result<Option<(Self, Vec<String>)>, ConfigError> {
        let Some(origin) = &self.origin else {
            return Ok(None);
        };
        let source = origin.file.display().to_string();
        self.with_text(&source, origin.text()?, discard).map(Some)
    }

    /// The same with another text.
    pub(crate) fn with_text(
        &self,
        source: &str,
        text: String,
        discard: bool,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let printable = source.chars().filter(|c| !c.is_control());
        let source: String = printable.take(MAX_SOURCE).collect();
        let base = self.base.with_text(&source, text)?;
        let mut overrides = match discard {
            true => Overrides::default(),
            false => self.overrides.clone(),
        };
        let (effective, dropped) = overrides.fit(&base);
        let configuration = Self {
            origin: self.origin.clone(),
            source,
            applied_ms: now_ms(),
            base: base.into(),
            overrides,
            effective,
        };
        Ok((configuration, dropped))
    }

    /// The same with something else changed by hand.
    pub(super) fn with_override(&self, change: Override) -> Result<Self, OverrideError> {
        let (overrides, effective) = self.overrides.with(&self.base, &self.effective, change)?;
        Ok(Self {
            overrides,
            effective,
            ..self.clone()
        })
    }

    /// The same with nothing changed by hand.
    pub(super) fn without_overrides(&self) -> Self {
        Self {
            overrides: Overrides::default(),
            effective: Effective::of(&self.base),
            ..self.clone()
        }
    }

    /// What is in force.
    pub(crate) fn checked(&self) -> &Checked {
        &self.effective.checked
    }

    /// The same, for whoever needs it while the instance is somebody else's.
    pub(super) fn shared(&self) -> Arc<Checked> {
        Arc::clone(&self.effective.checked)
    }

    /// What was changed by hand.
    pub(crate) fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// The text that says what is in force: as it was written, unless something was changed by hand.
    pub(crate) fn text(&self) -> String {
        self.overrides.text(&self.base)
    }

    /// The instance's own file.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// For the status.
    pub(super) fn status(&self) -> ConfigurationStatus {
        ConfigurationStatus {
            file: self
                .origin
                .as_ref()
                .map(|origin| origin.file.display().to_string()),
            source: self.source.clone(),
            applied_ms: self.applied_ms,
            overrides: self.overrides.as_slice().len() as u64,
            differs: self.differs(),
        }
    }

    /// How what is in force differs from the file, a sentence each.
    fn differs(&self) -> Vec<String> {
        let mut differs = Vec::new();
        if let Some(origin) = &self.origin {
            let file = origin.file.display().to_string();
            match origin.text() {
                Ok(text) if text == self.base.text() => {}
                Ok(_) if self.source == file => {
                    differs.push(format!("{file} has changed since it was applied"));
                }
                Ok(_) => differs.push(format!("{} is in force, not {file}", self.source)),
                Err(_) => differs.push(format!("{file} cannot be read")),
            }
        }
        let changes = self.overrides.as_slice();
        let named = changes.iter().take(NAMED);
        differs.extend(named.map(|change| format!("by hand: {change}")));
        if changes.len() > NAMED {
            differs.push(format!("by hand: {} more", changes.len() - NAMED));
        }
        differs
    }
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| time.as_millis() as u64)
}
