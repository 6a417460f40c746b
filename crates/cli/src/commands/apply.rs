//! `evenkeel apply`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use control::api::model::ApplyRequest;
use control::api::{self, ApiError};
use control::config;

use super::live::{name, told, wait};
use super::plan::BREAKS;
use crate::arguments::live::Apply;
use crate::output::{stdout, tell};

/// The text of a file and what it is called, unless it is the instance's own.
pub(super) fn text(file: Option<&Path>) -> Result<(Option<String>, Option<String>)> {
    let Some(file) = file else {
        return Ok((None, None));
    };
    // The status names it to people who are somewhere else.
    let name = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    Ok((Some(config::read(file)?), Some(name.display().to_string())))
}

pub(crate) fn apply(arguments: &Apply) -> Result<ExitCode> {
    let (config, source) = text(arguments.file.as_deref())?;
    let request = ApplyRequest {
        config,
        name: source,
        allow_disruption: arguments.allow_disruption,
    };
    match wait(api::apply(&name(&arguments.of), &request))? {
        Ok(reloaded) => {
            told(&reloaded)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(ApiError::Refused(failure)) if failure.plan.is_some() => {
            if let Some(plan) = &failure.plan {
                writeln!(stdout(), "{plan}")?;
            }
            tell(
                "error: nothing was changed, because flows would break, or might; \
                 --allow-disruption applies it all the same",
            );
            Ok(ExitCode::from(BREAKS))
        }
        Err(error) => Err(error.into()),
    }
}
