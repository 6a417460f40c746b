//! `evenkeel check`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use control::config::{self, Host, Verdict};

use super::source::warn;
use crate::arguments::Check;
use crate::output::stdout;

pub(crate) fn check(arguments: &Check) -> Result<ExitCode> {
    if arguments.json {
        return check_json(arguments);
    }
    let checked = config::load(&arguments.file)?;
    for warning in checked
        .warnings
        .into_iter()
        .chain(Host::read(&checked.desired).warnings(&checked.desired))
    {
        warn(&warning);
    }
    let services = &checked.desired.services;
    let backends: usize = services.iter().map(|service| service.backends.len()).sum();
    writeln!(
        stdout(),
        "{}: valid; services: {}, backends: {backends}, interfaces: {}",
        arguments.file.display(),
        services.len(),
        if checked.desired.interfaces.is_empty() {
            "none (name them to `evenkeel run`)".into()
        } else {
            checked.desired.interfaces.join(", ")
        }
    )?;
    Ok(ExitCode::SUCCESS)
}

fn check_json(arguments: &Check) -> Result<ExitCode> {
    let result = config::load(&arguments.file);
    let mut verdict = Verdict::of(&arguments.file, &result);
    if let Ok(checked) = &result {
        verdict
            .warnings
            .extend(Host::read(&checked.desired).warnings(&checked.desired));
    }
    writeln!(stdout(), "{}", serde_json::to_string_pretty(&verdict)?)?;
    Ok(match verdict.valid {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
