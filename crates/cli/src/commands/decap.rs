//! `evenkeel decap`.

use std::io::{self, Write};
use std::process::ExitCode;

use abi::decap::{DecapAction, DecapReason};
use anyhow::Result;
use control::decap::{DecapRun, DecapStatus, fetch_status, run};
use control::instance::default_name;
use engine::decap::DecapOptions;

use super::log;
use super::reasons::{Counted, write_reasons};
use crate::arguments::Decap;
use crate::arguments::LogFormat;
use crate::output::stdout;

pub(crate) fn decap(arguments: Decap) -> Result<ExitCode> {
    let name = arguments.instance.unwrap_or_else(default_name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if arguments.status {
        let status = runtime.block_on(fetch_status(&name))?;
        if arguments.json {
            writeln!(stdout(), "{}", serde_json::to_string_pretty(&status)?)?;
        } else {
            write_text(&mut stdout(), &status)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    log::start(LogFormat::Auto);
    let options = DecapRun {
        interfaces: arguments.interfaces.into_iter().collect(),
        vips: arguments.vip.into_iter().collect(),
        options: DecapOptions {
            senders: arguments.from.into_iter().collect(),
            gue_port: arguments.gue_port,
        },
        mode: arguments.xdp.into(),
        name,
    };
    let status = runtime.block_on(run(options, &mut stdout()))?;
    write_reasons(&mut stdout(), counters(&status))?;
    Ok(ExitCode::SUCCESS)
}

fn write_text(out: &mut impl Write, status: &DecapStatus) -> io::Result<()> {
    writeln!(
        out,
        "decapsulation, instance {}, evenkeel {}, up {}",
        status.instance,
        status.version,
        super::status::duration(status.uptime_seconds)
    )?;
    for interface in &status.interfaces {
        let mac = interface.mac.as_deref().unwrap_or("-");
        writeln!(
            out,
            "interface {}  {} XDP  {mac}",
            interface.name, interface.mode
        )?;
    }
    status.describe_lists(out)?;
    writeln!(out, "gue port  {}\n", status.gue_port)?;
    write_reasons(out, counters(status))
}

fn counters(status: &DecapStatus) -> impl Iterator<Item = Counted> {
    DecapReason::ALL.iter().map(|reason| Counted {
        name: reason.name(),
        count: status.count(*reason),
        action: action(*reason),
    })
}

/// What the reason's packets met.
fn action(reason: DecapReason) -> &'static str {
    match reason.action() {
        DecapAction::Pass => "passed to the host as they were",
        DecapAction::Decapsulate => "taken: inner packet passed to the host",
        DecapAction::Drop => "DROPPED",
    }
}
