//! `evenkeel lab run tutorial`: the whole thing once. A picture of an ordinary day, then a story
//! of everything that may happen while requests flow, and what it cost them.

mod command;
mod picture;
mod stage;
mod story;
mod style;
mod telling;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::fetch::{Counts, FetchOptions, HoldReport, Summary, Target, fetch};
use crate::interrupt::Interrupt;
use crate::lab::Lab;

pub use command::{Command, Run};
pub use picture::{Picture, bar};
use stage::Stage;
use story::Ending;
pub use style::Style;
use telling::Teller;

/// What the requests showed.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Requests through the load balancer before anything happened.
    pub balanced: Summary,
    /// Requests to the first backend directly.
    pub direct: Summary,
    /// Requests that flowed while things happened.
    pub flowing: Counts,
    /// Connections that were held meanwhile.
    pub held: HoldReport,
}

/// Brings the lab up, shows the load balancer at work, and takes the lab down, whatever
/// happens. An error if a single request failed, a held connection broke, or requests went
/// where they should not.
pub fn run(run: &Run, interrupt: &Interrupt, style: Style, out: &mut dyn Write) -> Result<Shown> {
    let id = run.blueprint.id().clone();
    let mut teller = Teller::new(out, style);
    teller.progress(&format!("bringing up lab {id} ..."))?;
    let lab = run.blueprint.clone().interrupt(interrupt).up()?;
    let shown = play(run, &lab, interrupt, &mut teller)?;
    lab.down()?;
    if teller.complaints.is_empty() {
        return Ok(shown);
    }
    Err(Error::Run {
        found: teller.complaints.join(", "),
        lab: id.to_string(),
    })
}

fn play(run: &Run, lab: &Lab, interrupt: &Interrupt, teller: &mut Teller<'_>) -> Result<Shown> {
    let mut stage = Stage::new(run, lab, interrupt)?;
    teller.progress("sending requests ...\n")?;
    for backend in stage.backends {
        stage.serve(backend)?;
    }
    let [first, _] = stage.backends;
    let direct = requests(&stage, (first.address(), run.port).into())?;
    stage.write_config(&run.config)?;
    stage.balance()?;
    let balanced = requests(&stage, stage.service(run.port))?;
    let picture = Picture {
        topology: lab.id().topology(),
        port: run.port,
        balanced: &balanced,
        direct: &direct,
        style: teller.style,
    };
    teller.write(&picture.to_string())?;
    // Without this much there is no story to tell.
    judge(&stage, &balanced, &direct)?;
    let ending = story::tell(&mut stage, teller)?;
    teller.sum_up(&ending)?;
    let status = stage.ask(Command::Status)?;
    teller.write(&picture::status(&status, teller.style))?;
    stage.end_balancer(Command::Stop)?;
    let Ending { flowing, held, .. } = ending;
    Ok(Shown {
        balanced,
        direct,
        flowing,
        held,
    })
}

fn requests(stage: &Stage<'_>, to: SocketAddr) -> Result<Summary> {
    let options = FetchOptions {
        requests: stage.run.requests,
        interrupt: stage.interrupt().clone(),
        timeout: Duration::from_secs(2),
        ..FetchOptions::new(Target::root(to))
    };
    let report = stage.client()?.inside(|| fetch(&options))??;
    stage.check()?;
    Ok(report.summary)
}

/// Whether the requests of the picture are what a load balancer should make of them.
fn judge(stage: &Stage<'_>, balanced: &Summary, direct: &Summary) -> Result<()> {
    let mut found = Vec::new();
    for (what, summary) in [("directly", direct), ("through lb", balanced)] {
        if summary.answered != stage.run.requests {
            let reasons: Vec<_> = summary.failures.keys().map(String::as_str).collect();
            let missing = stage.run.requests - summary.answered;
            let reasons = reasons.join("; ");
            found.push(format!("{missing} requests {what} failed ({reasons})"));
        }
    }
    for backend in stage.backends {
        if !balanced.by_server.contains_key(backend.name) {
            found.push(format!("{} got no request", backend.name));
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(stage.failure(found.join(", "))),
    }
}
