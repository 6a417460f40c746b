//! `evenkeel lab`.

mod clients;

use std::env::current_exe;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Result, bail};
use lab::serve::{ServeOptions, serve};
use lab::topology::TUTORIAL;
use lab::tutorial::{self, Style};
use lab::{Blueprint, Interrupt, Lab, LabId};

use crate::arguments::LabCommand;
use crate::output::stdout;

/// Port of the tutorial's service and backends.
const TUTORIAL_PORT: u16 = 8000;

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
        LabCommand::Run { name } => run(&name)?,
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

fn run(name: &str) -> Result<()> {
    let blueprint = blueprint(name)?;
    if *blueprint.id() != LabId::new(&TUTORIAL, None)? {
        bail!(
            "expected `tutorial`, found {name:?}: the other labs are brought up with `evenkeel lab up {name}`"
        );
    }
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let balance = format!(
        "run veth6 --service tcp://10.0.0.10:{TUTORIAL_PORT} --backend 10.0.0.2 --backend 10.0.0.3"
    );
    let run = tutorial::Run {
        blueprint,
        program: current_exe()?,
        serve: serve_arguments,
        balance: words(&balance),
        status: words("status"),
        port: TUTORIAL_PORT,
        requests: 100,
    };
    let interrupt = Interrupt::on_signals()?;
    tutorial::run(
        &run,
        &interrupt,
        Style::detect(&io::stdout()),
        &mut stdout(),
    )?;
    Ok(())
}

fn serve_arguments(name: &str, listen: SocketAddr) -> Vec<String> {
    let listen = listen.to_string();
    ["lab", "serve", "--name", name, "--listen", &listen]
        .map(str::to_owned)
        .into()
}
