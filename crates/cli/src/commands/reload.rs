//! `evenkeel reload`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use control::api::request_reload;
use control::instance::default_name;

use super::source::warn;
use crate::arguments::Reload;
use crate::output::stdout;

pub(crate) fn reload(arguments: &Reload) -> Result<ExitCode> {
    let name = arguments.instance.clone().unwrap_or_else(default_name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let reloaded = runtime.block_on(request_reload(&name, arguments.discard_overrides))?;
    for warning in &reloaded.warnings {
        warn(warning);
    }
    writeln!(stdout(), "reloaded: {reloaded}")?;
    Ok(ExitCode::SUCCESS)
}
