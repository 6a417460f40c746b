//! What commands to a running instance share.

use std::future::Future;
use std::io::Write;

use anyhow::Result;
use control::instance::default_name;
use control::status::Reloaded;

use super::source::warn;
use crate::arguments::live::Of;
use crate::output::stdout;

/// The instance's name.
pub(super) fn name(of: &Of) -> String {
    of.instance.clone().unwrap_or_else(default_name)
}

/// Waits for an answer.
pub(super) fn wait<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}

/// Says what a change did.
pub(super) fn told(reloaded: &Reloaded) -> Result<()> {
    for warning in &reloaded.warnings {
        warn(warning);
    }
    writeln!(stdout(), "{reloaded}")?;
    Ok(())
}
