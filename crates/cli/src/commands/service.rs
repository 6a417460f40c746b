//! `evenkeel service`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use control::api;
use control::overrides::{BackendSpec, ServiceSpec};
use control::status::ServiceStatus;

use super::live::{each_service, name, told, wait};
use crate::arguments::live::{Of, Service, ServiceCommand};
use crate::output::stdout;

pub(crate) fn service(arguments: Service) -> Result<ExitCode> {
    match arguments.command {
        ServiceCommand::Add {
            service,
            backend,
            mode,
            affinity,
            of,
        } => {
            let spec = ServiceSpec {
                address: service,
                mode: mode.map(Into::into),
                affinity: affinity.map(Into::into),
                backends: backend
                    .into_iter()
                    .map(|address| BackendSpec {
                        address,
                        ..BackendSpec::default()
                    })
                    .collect(),
                ..ServiceSpec::default()
            };
            told(&wait(api::add_service(&name(&of), &spec))??)?;
        }
        ServiceCommand::Remove { service, of } => {
            told(&wait(api::remove_service(&name(&of), &service))??)?;
        }
        ServiceCommand::List { json, of } => list(json, &of)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(json: bool, of: &Of) -> Result<()> {
    if !json {
        writeln!(
            stdout(),
            "{:<32} {:<7} {:>8} {:>10}",
            "service",
            "mode",
            "backends",
            "new flows"
        )?;
    }
    each_service(of, |service| write(service, json))
}

fn write(service: &ServiceStatus, json: bool) -> Result<()> {
    if json {
        writeln!(stdout(), "{}", serde_json::to_string(service)?)?;
        return Ok(());
    }
    let flows: u64 = service.backends.iter().map(|it| it.new_flows).sum();
    writeln!(
        stdout(),
        "{:<32} {:<7} {:>8} {flows:>10}",
        service.service,
        service.mode,
        service.backends.len(),
    )?;
    Ok(())
}
