//! `evenkeel completions` and `evenkeel man`: what packages ship, from the command line's definition.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};

use crate::arguments::{Arguments, Completions, Man};
use crate::output::stdout;

pub(crate) fn completions(arguments: &Completions) -> Result<ExitCode> {
    // Not all shells' scripts leave out what is hidden.
    let all = Arguments::command();
    let visible = all.get_subcommands().filter(|it| !it.is_hide_set());
    let name = env!("CARGO_PKG_NAME");
    let mut command = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(visible.cloned());
    clap_complete::generate(arguments.shell, &mut command, name, &mut stdout());
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(arguments: &Man) -> Result<ExitCode> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), directory))
        .with_context(|| format!("cannot write man pages into {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
