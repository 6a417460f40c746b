//! `evenkeel config`: what a configuration file can say.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use control::config;

use crate::arguments::ConfigCommand;
use crate::output::stdout;

pub(crate) fn config(command: &ConfigCommand) -> Result<ExitCode> {
    let mut out = stdout();
    match command {
        ConfigCommand::Example => write!(out, "{}", config::EXAMPLE)?,
        ConfigCommand::Schema => {
            let schema = serde_json::to_string_pretty(&config::json_schema())?;
            writeln!(out, "{schema}")?;
        }
        ConfigCommand::Reference => write!(out, "{}", config::reference())?,
    }
    Ok(ExitCode::SUCCESS)
}
