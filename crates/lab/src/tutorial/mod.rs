//! `evenkeel lab run tutorial`: the whole thing once, with a picture at the end.

mod picture;
mod style;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::blueprint::Blueprint;
use crate::error::{Error, Result};
use crate::fetch::{FetchOptions, Summary, Target, fetch};
use crate::interrupt::Interrupt;
use crate::lab::Lab;
use crate::process::HostProcess;
use crate::topology::{HostSpec, Role};

pub use picture::{Picture, bar};
pub use style::Style;

/// How long a program may take until it is ready, and `status` until it is done.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The lab, with its pass object.
    pub blueprint: Blueprint,
    /// The program that has the subcommands below: the current executable.
    pub program: PathBuf,
    /// Arguments that serve as this name on this address; has to write a line that starts
    /// with `ready`.
    pub serve: fn(name: &str, listen: SocketAddr) -> Vec<String>,
    /// Arguments that balance, run in the load balancer's host; the same about `ready`.
    pub balance: Vec<String>,
    /// Arguments that print the counters, run in the same host while it balances.
    pub status: Vec<String>,
    /// Port of the service and of the backends.
    pub port: u16,
    /// Requests through the load balancer, and as many directly.
    pub requests: usize,
}

/// What the requests showed.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Requests through the load balancer.
    pub balanced: Summary,
    /// Requests to the first backend directly.
    pub direct: Summary,
    /// What `status` wrote.
    pub status: String,
}

/// Brings the lab up, shows the load balancer at work, and takes the lab down, whatever
/// happens. An error if a single request failed or a backend got none.
pub fn run(run: &Run, interrupt: &Interrupt, style: Style, out: &mut dyn Write) -> Result<Shown> {
    let id = run.blueprint.id().clone();
    let mut tell = |text: &str| {
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(Error::io("write to standard output"))
    };
    tell(&style.faint(&format!("bringing up lab {id} ...\n")))?;
    let lab = run.blueprint.clone().interrupt(interrupt).up()?;
    tell(&style.faint("sending requests ...\n\n"))?;
    let shown = measure(run, &lab, interrupt)?;
    lab.down()?;
    let picture = Picture {
        topology: id.topology(),
        port: run.port,
        shown: &shown,
        style,
    };
    tell(&picture.to_string())?;
    judge(run, &shown).map(|()| shown)
}

fn measure(run: &Run, lab: &Lab, interrupt: &Interrupt) -> Result<Shown> {
    let topology = lab.id().topology();
    let mut servers = Vec::new();
    for backend in topology.with_role(Role::Backend) {
        let arguments = (run.serve)(backend.name, (backend.address(), run.port).into());
        servers.push(start(run, lab, backend, &arguments, interrupt)?);
    }
    let direct = match topology.with_role(Role::Backend).next() {
        Some(backend) => requests(run, lab, (backend.address(), run.port).into(), interrupt)?,
        None => Summary::default(),
    };
    let mut balancers = Vec::new();
    let mut status = String::new();
    let mut balanced = Summary::default();
    for host in topology.with_role(Role::Balancer) {
        balancers.push(start(run, lab, host, &run.balance, interrupt)?);
        balanced = requests(run, lab, (topology.vip, run.port).into(), interrupt)?;
        status = ask_status(run, lab, host)?;
    }
    // In this order, each with time to leave cleanly: the load balancer first.
    for process in balancers.iter_mut().chain(&mut servers) {
        process.stop()?;
    }
    Ok(Shown {
        balanced,
        direct,
        status,
    })
}

fn start(
    run: &Run,
    lab: &Lab,
    host: &HostSpec,
    arguments: &[String],
    interrupt: &Interrupt,
) -> Result<HostProcess> {
    let mut process = lab.host(host.name)?.spawn(&run.program, arguments)?;
    process.wait_for_line("ready", PATIENCE, interrupt)?;
    Ok(process)
}

fn requests(run: &Run, lab: &Lab, to: SocketAddr, interrupt: &Interrupt) -> Result<Summary> {
    let Some(client) = lab.id().topology().with_role(Role::Client).next() else {
        return Ok(Summary::default());
    };
    let options = FetchOptions {
        requests: run.requests,
        interrupt: interrupt.clone(),
        timeout: Duration::from_secs(2),
        ..FetchOptions::new(Target::root(to))
    };
    let report = lab.host(client.name)?.inside(|| fetch(&options))??;
    interrupt.check()?;
    Ok(report.summary)
}

fn ask_status(run: &Run, lab: &Lab, host: &HostSpec) -> Result<String> {
    let mut process = lab.host(host.name)?.spawn(&run.program, &run.status)?;
    let ended = process.wait(PATIENCE)?;
    if ended.is_some_and(|status| status.success()) {
        return Ok(process.output());
    }
    let how = ended.map_or_else(|| "no end".to_owned(), |status| status.to_string());
    Err(Error::Run {
        found: format!(
            "`{}` ended with {how}: {}",
            run.status.join(" "),
            process.output()
        ),
        lab: lab.id().to_string(),
    })
}

/// Whether this is what a load balancer should do.
fn judge(run: &Run, shown: &Shown) -> Result<()> {
    let topology = run.blueprint.id().topology();
    let mut found = Vec::new();
    for (what, summary) in [("directly", &shown.direct), ("through lb", &shown.balanced)] {
        if summary.answered != run.requests {
            let reasons = summary
                .failures
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>();
            let missing = run.requests - summary.answered;
            found.push(format!(
                "{missing} requests {what} failed ({})",
                reasons.join("; ")
            ));
        }
    }
    for backend in topology.with_role(Role::Backend) {
        if !shown.balanced.by_server.contains_key(backend.name) {
            found.push(format!("{} got no request", backend.name));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::Run {
        found: found.join(", "),
        lab: run.blueprint.id().to_string(),
    })
}
