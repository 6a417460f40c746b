//! `evenkeel lab fetch` and `hold`: the tools for clients.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use lab::Interrupt;
use lab::fetch::{self, Datagram, FetchOptions, HoldOptions, HoldReport, Protocol, Target};

use crate::arguments::{Fetch, Hold};
use crate::output::stdout;

/// What a client holds on for that was told no end: a year.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) fn fetch(arguments: &Fetch) -> Result<ExitCode> {
    let target: Target = arguments.url.parse()?;
    let bytes = usize::from(arguments.bytes);
    let options = FetchOptions {
        requests: arguments.requests,
        concurrency: arguments.concurrency,
        keep_alive: arguments.keep_alive,
        datagram: match (bytes, arguments.short_answers) {
            (0, _) => Datagram::Short,
            (_, true) => Datagram::Hashed(bytes),
            (_, false) => Datagram::Echoed(bytes),
        },
        interrupt: Interrupt::on_signals()?,
        ..FetchOptions::new(target)
    };
    let report = if arguments.udp {
        fetch::udp(&options)?
    } else {
        fetch::fetch(&options)?
    };
    if arguments.json {
        writeln!(
            stdout(),
            "{}",
            serde_json::to_string_pretty(&report.summary)?
        )?;
    } else {
        write!(stdout(), "{}", report.summary)?;
    }
    Ok(success(report.summary.failed == 0))
}

pub(super) fn hold(arguments: &Hold) -> Result<ExitCode> {
    let target: Target = arguments.url.parse()?;
    let (sender, opened) = mpsc::channel();
    let options = HoldOptions {
        protocol: if arguments.udp {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        lasting: arguments.lasting.map_or(FOREVER, Duration::from_secs),
        every: Duration::from_millis(arguments.every),
        opened: Some(sender),
        ..HoldOptions::new(FetchOptions {
            concurrency: arguments.connections,
            interrupt: Interrupt::on_signals()?,
            ..FetchOptions::new(target)
        })
    };
    let (watch, json) = (options.watch.clone(), arguments.json);
    lab::on_usr1(move || {
        let _ = show(&watch.report(), json);
    })?;
    let wanted = arguments.connections;
    thread::spawn(move || {
        if let Ok(opened) = opened.recv() {
            // The connections matter more than being told of them.
            let _ = writeln!(stdout(), "ready {opened} of {wanted} connections are open");
        }
    });
    let report = fetch::hold(&options)?;
    show(&report, json)?;
    Ok(success(report.broken.is_empty()))
}

fn show(report: &HoldReport, json: bool) -> io::Result<()> {
    match serde_json::to_string(report) {
        Ok(line) if json => writeln!(stdout(), "{line}"),
        _ => write!(stdout(), "{report}"),
    }
}

fn success(all_well: bool) -> ExitCode {
    if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
