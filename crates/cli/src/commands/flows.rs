//! `evenkeel flows` and `evenkeel flush`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use control::api;
use control::api::model::{Flow, FlowQuery, FlowState, FlowTable, FlushRequest, MAX_FLOWS};

use super::live::{name, wait};
use crate::arguments::live::{Flows, Flush};
use crate::output::stdout;

pub(crate) fn flows(arguments: Flows) -> Result<ExitCode> {
    let name = name(&arguments.of);
    let mut query = FlowQuery {
        service: arguments.filter.service,
        backend: arguments.filter.backend,
        client: arguments.filter.client,
        limit: Some(MAX_FLOWS),
        after: None,
    };
    if !arguments.json {
        writeln!(
            stdout(),
            "{:<5} {:<24} {:<24} {:<24} {:<11} {:>8}",
            "",
            "client",
            "asks for",
            "backend",
            "state",
            "idle"
        )?;
    }
    loop {
        let page = wait(api::fetch_flows(&name, &query))??;
        for flow in &page.flows {
            match arguments.json {
                true => writeln!(stdout(), "{}", serde_json::to_string(flow)?)?,
                false => write(flow)?,
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn write(flow: &Flow) -> Result<()> {
    let state = match (flow.table, flow.state) {
        (FlowTable::Exception, FlowState::Established) => "remembered",
        (_, FlowState::HalfOpen) => "half-open",
        (_, FlowState::Established) => "established",
        (_, FlowState::Closing) => "closing",
        (_, FlowState::Closed) => "closed",
    };
    writeln!(
        stdout(),
        "{:<5} {:<24} {:<24} {:<24} {state:<11} {:>6} s",
        flow.protocol,
        flow.client,
        flow.destination,
        flow.backend.as_deref().unwrap_or("-"),
        flow.idle_seconds,
    )?;
    Ok(())
}

pub(crate) fn flush(arguments: Flush) -> Result<ExitCode> {
    let request = FlushRequest {
        service: arguments.filter.service,
        backend: arguments.filter.backend,
        client: arguments.filter.client,
    };
    let flushed = wait(api::flush(&name(&arguments.of), &request))??;
    writeln!(
        stdout(),
        "forgotten: {} flows of mode nat, {} in the exception table",
        flushed.nat,
        flushed.exceptions
    )?;
    Ok(ExitCode::SUCCESS)
}
