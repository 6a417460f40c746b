//! `evenkeel stop`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use control::instance::{self, Stopped, default_name};

use crate::arguments::Stop;
use crate::output::stdout;

pub(crate) fn stop(arguments: Stop) -> Result<ExitCode> {
    let name = arguments.instance.unwrap_or_else(default_name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let what = match runtime.block_on(instance::stop(&name, arguments.keep))? {
        Stopped::Both => "stopped",
        Stopped::Process => "its process has ended, packets are balanced on",
        Stopped::Balancing => "stopped: no process was running, what one had left is off",
    };
    writeln!(stdout(), "instance {name}: {what}")?;
    Ok(ExitCode::SUCCESS)
}
