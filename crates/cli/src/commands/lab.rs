//! `evenkeel lab`.

mod clients;
mod demo;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use lab::serve::{ServeOptions, serve};
use lab::{Blueprint, Interrupt, Lab, LabId};

use crate::arguments::LabCommand;
use crate::output::stdout;

pub(crate) fn lab(command: LabCommand) -> Result<ExitCode> {
    match command {
        LabCommand::Up { name, dry_run, mtu } => up(&name, dry_run, &mtu)?,
        LabCommand::Down { name } => down(&name)?,
        LabCommand::List => list()?,
        LabCommand::Exec {
            name,
            host,
            command,
        } => exec(&name, &host, &command)?,
        LabCommand::Run { name } => demo::run(&name)?,
        LabCommand::Serve { name, listen } => {
            let interrupt = Interrupt::on_signals()?;
            serve(&ServeOptions { name, listen }, &interrupt, &mut stdout())?;
        }
        LabCommand::Fetch(arguments) => return clients::fetch(&arguments),
        LabCommand::Hold(arguments) => return clients::hold(&arguments),
    }
    Ok(ExitCode::SUCCESS)
}

fn blueprint(name: &str) -> Result<Blueprint> {
    let id: LabId = name.parse()?;
    Ok(Blueprint::of(id).pass_object(engine::object::PASS))
}

fn up(name: &str, dry_run: bool, mtus: &[(String, u16)]) -> Result<()> {
    let mut blueprint = blueprint(name)?;
    for (network, bytes) in mtus {
        blueprint = blueprint.mtu(network, *bytes)?;
    }
    if dry_run {
        write!(stdout(), "{}", blueprint.script())?;
        return Ok(());
    }
    let interrupt = Interrupt::on_signals()?;
    let mut lab = blueprint.interrupt(&interrupt).up()?;
    lab.keep();
    list()?;
    let mut out = stdout();
    writeln!(
        out,
        "\nrun something in it:  evenkeel lab exec {name} HOST COMMAND..."
    )?;
    writeln!(out, "take it down:         evenkeel lab down {name}")?;
    Ok(())
}

fn down(name: &str) -> Result<()> {
    let removed = lab::down(&name.parse()?)?;
    if removed.is_empty() {
        writeln!(stdout(), "lab {name} was not up")?;
    } else {
        writeln!(stdout(), "lab {name} is down")?;
    }
    Ok(())
}

fn list() -> Result<()> {
    let labs = lab::list()?;
    if labs.is_empty() {
        writeln!(
            stdout(),
            "no lab is up; `evenkeel lab up tutorial` brings one up"
        )?;
    }
    for lab in labs {
        write!(stdout(), "{lab}")?;
    }
    Ok(())
}

fn exec(name: &str, host: &str, command: &[String]) -> Result<()> {
    let lab = Lab::open(name.parse()?)?;
    let Some((program, arguments)) = command.split_first() else {
        bail!("expected a command");
    };
    // Does not come back unless it fails.
    Err(lab.host(host)?.exec(program, arguments).into())
}
