//! `evenkeel run`.

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use control::config::Host;
use control::instance::{self, RunOptions, default_name};

use super::log;
use super::source::{origin, read, warn};
use crate::arguments::{Run, Xdp};
use crate::output::stdout;

pub(crate) fn run(mut arguments: Run) -> Result<ExitCode> {
    // `--xdp` was `--mode` before there were several forwarding modes.
    let word = arguments.source.mode.as_deref();
    if let Some(xdp) = word.and_then(|word| Xdp::from_str(word, false).ok()) {
        arguments.xdp = xdp;
        arguments.source.mode = None;
    }
    let (checked, text) = read(&arguments.source, &arguments.interfaces)?;
    for warning in Host::read(&checked.desired).warnings(&checked.desired) {
        warn(&warning);
    }
    log::start(arguments.log_format);
    let options = RunOptions {
        origin: origin(&arguments.source, &arguments.interfaces),
        text,
        watch: arguments.watch,
        mode: arguments.xdp.into(),
        name: arguments.instance.unwrap_or_else(default_name),
        keep: arguments.keep,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(instance::run(options, &mut stdout()))?;
    Ok(ExitCode::SUCCESS)
}
