//! Services from a file or from flags.

use anyhow::{Result, bail};
use control::config::{self, Checked, FlagInput};

use crate::arguments::Source;

/// The configuration, with its warnings told on standard error.
pub(crate) fn desired(source: &Source, interfaces: &[String]) -> Result<Checked> {
    let checked = match (&source.config, &source.service) {
        (Some(_), _) if source.mode.is_some() => {
            bail!("--mode goes with --service; in a config file each service has its `mode`")
        }
        (Some(file), _) => {
            let mut checked = config::load(file)?;
            if !interfaces.is_empty() {
                checked.desired.interfaces = interfaces.to_vec();
            }
            checked
        }
        (None, service) => config::from_flags(FlagInput {
            interfaces,
            service: service.as_deref().unwrap_or_default(),
            mode: source.mode.as_deref(),
            backends: &source.backend,
            weights: &source.weight,
        })?,
    };
    for warning in &checked.warnings {
        warn(warning);
    }
    Ok(checked)
}

/// Tells of something that is worth a second look.
pub(crate) fn warn(text: &str) {
    eprintln!("warning: {text}");
}
