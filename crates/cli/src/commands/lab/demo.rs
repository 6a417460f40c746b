//! `evenkeel lab run tutorial`: what the demonstration runs.

use std::env::current_exe;
use std::io;

use anyhow::{Result, bail};
use lab::topology::TUTORIAL;
use lab::tutorial::{self, Command, Style};
use lab::{Interrupt, LabId};

use super::blueprint;
use crate::output::stdout;

/// Port of the service and of the backends.
const PORT: u16 = 8000;
/// Port of the service that comes with the change.
const ADDED_PORT: u16 = 8001;
/// The service, as commands name it.
const SERVICE: &str = "tcp://10.0.0.10:8000";

pub(super) fn run(name: &str) -> Result<()> {
    let blueprint = blueprint(name)?;
    if *blueprint.id() != LabId::new(&TUTORIAL, None)? {
        bail!(
            "expected `tutorial`, found {name:?}: the other labs are brought up with `evenkeel lab up {name}`"
        );
    }
    let run = tutorial::Run {
        blueprint,
        program: current_exe()?,
        arguments,
        config: config(1),
        changed_config: changed_config(),
        port: PORT,
        added_port: ADDED_PORT,
        requests: 100,
    };
    let interrupt = Interrupt::on_signals()?;
    let style = Style::detect(&io::stdout());
    tutorial::run(&run, &interrupt, style, &mut stdout())?;
    Ok(())
}

fn arguments(command: &Command<'_>) -> Vec<String> {
    let line = match command {
        Command::Serve { name, listen } => {
            let listen = listen.iter().map(|at| format!(" --listen {at}"));
            format!("lab serve --name {name}{}", listen.collect::<String>())
        }
        Command::Balance { config } => format!("run --config {config} --keep"),
        Command::Status => "status".into(),
        Command::Backends => format!("backend list {SERVICE}"),
        Command::Drain(backend) => format!("backend drain {SERVICE} {backend}"),
        Command::Undrain(backend) => format!("backend undrain {SERVICE} {backend}"),
        Command::Plan { config } => format!("plan {config}"),
        Command::Apply { config } => format!("apply {config}"),
        Command::Leave => "stop --keep".into(),
        Command::Stop => "stop".into(),
    };
    line.split_whitespace().map(str::to_owned).collect()
}

fn config(weight: u32) -> String {
    format!(
        r#"interfaces = ["veth6"]

[[service]]
address = "{SERVICE}"
backends = ["10.0.0.2", {{ address = "10.0.0.3", weight = {weight} }}]

[service.health]
type = "http"
interval = "200ms"
"#
    )
}

fn changed_config() -> String {
    let added = format!(
        r#"
[[service]]
address = "tcp://10.0.0.10:{ADDED_PORT}"
backends = ["10.0.0.2:{PORT}", "10.0.0.3:{PORT}"]
"#
    );
    config(3) + &added
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn the_configs_are_valid() {
        for text in [config(1), changed_config()] {
            let checked = control::config::parse("demo.toml", &text);
            assert!(checked.is_ok(), "{text}");
        }
    }

    #[test]
    fn every_command_is_one_of_this_program() {
        let at: SocketAddr = "10.0.0.2:8000".parse().unwrap();
        let config = "demo.toml";
        for command in [
            Command::Serve {
                name: "h2",
                listen: &[at, at],
            },
            Command::Balance { config },
            Command::Status,
            Command::Backends,
            Command::Drain(at.ip()),
            Command::Undrain(at.ip()),
            Command::Plan { config },
            Command::Apply { config },
            Command::Leave,
            Command::Stop,
        ] {
            let words = ["evenkeel".to_owned()]
                .into_iter()
                .chain(arguments(&command));
            Arguments::try_parse_from(words).unwrap();
        }
    }
}
