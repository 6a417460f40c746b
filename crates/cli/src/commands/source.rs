//! Services from a file or from flags.

use anyhow::{Result, bail};
use control::config::{self, Checked, FlagInput, Origin};

use crate::arguments::Source;
use crate::output::tell;

/// The config file, if the services come from one; interfaces of the command line replace its own.
pub(crate) fn origin(source: &Source, interfaces: &[String]) -> Option<Origin> {
    source.config.as_ref().map(|file| Origin {
        file: file.clone(),
        interfaces: interfaces.to_vec(),
    })
}

/// The configuration, with its warnings told on standard error.
pub(crate) fn desired(source: &Source, interfaces: &[String]) -> Result<Checked> {
    Ok(read(source, interfaces)?.0)
}

/// The same, and the text of a file that says it.
pub(crate) fn read(source: &Source, interfaces: &[String]) -> Result<(Checked, String)> {
    let (checked, text) = match origin(source, interfaces) {
        Some(_) if source.mode.is_some() => {
            bail!("--mode goes with --service; in a config file each service has its `mode`")
        }
        Some(origin) => {
            let text = origin.text()?;
            (origin.check(&text)?, text)
        }
        None => {
            let input = FlagInput {
                interfaces,
                service: source.service.as_deref().unwrap_or_default(),
                mode: source.mode.as_deref(),
                backends: &source.backend,
                weights: &source.weight,
                health: source.health.as_deref(),
            };
            (config::from_flags(input)?, config::flags_text(input))
        }
    };
    for warning in &checked.warnings {
        warn(warning);
    }
    Ok((checked, text))
}

/// Tells of something that is worth a second look.
pub(crate) fn warn(text: &str) {
    tell(&format!("warning: {text}"));
}
