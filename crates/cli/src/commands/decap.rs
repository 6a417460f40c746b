//! `evenkeel decap`.

use std::io::stdout;
use std::process::ExitCode;

use abi::decap::{DecapAction, DecapReason};
use anyhow::Result;
use control::decap::{DecapRun, DecapStatus, fetch_status, run};
use control::instance::default_name;
use engine::decap::DecapOptions;

use super::log;
use crate::arguments::Decap;

pub(crate) fn decap(arguments: Decap) -> Result<ExitCode> {
    let name = arguments.instance.unwrap_or_else(default_name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if arguments.status {
        let status = runtime.block_on(fetch_status(&name))?;
        if arguments.json {
            println!("{}", serde_json::to_string_pretty(&status)?);
        } else {
            print_text(&status)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    log::start();
    let options = DecapRun {
        interfaces: arguments.interfaces,
        vips: arguments.vip.into_iter().collect(),
        options: DecapOptions {
            senders: arguments.from.into_iter().collect(),
            gue_port: arguments.gue_port,
        },
        mode: arguments.xdp.into(),
        name,
    };
    let status = runtime.block_on(run(options, &mut stdout()))?;
    print_counters(&status);
    Ok(ExitCode::SUCCESS)
}

fn print_text(status: &DecapStatus) -> Result<()> {
    println!(
        "decapsulation, instance {}, evenkeel {}, up {}",
        status.instance,
        status.version,
        super::status::duration(status.uptime_seconds)
    );
    for interface in &status.interfaces {
        let mac = interface.mac.as_deref().unwrap_or("-");
        println!(
            "interface {}  {} XDP  {mac}",
            interface.name, interface.mode
        );
    }
    status.describe_lists(&mut stdout())?;
    println!("gue port  {}\n", status.gue_port);
    print_counters(status);
    Ok(())
}

fn print_counters(status: &DecapStatus) {
    println!("packets by reason");
    if status.reasons.values().all(|count| *count == 0) {
        println!("  none yet");
    }
    for reason in DecapReason::ALL {
        let count = status.count(*reason);
        if count > 0 {
            println!("  {:<22}  {count:>12}  {}", reason.name(), action(*reason));
        }
    }
}

/// What the reason's packets met.
fn action(reason: DecapReason) -> &'static str {
    match reason.action() {
        DecapAction::Pass => "passed to the host as they were",
        DecapAction::Decapsulate => "taken: inner packet passed to the host",
        DecapAction::Drop => "DROPPED",
    }
}
