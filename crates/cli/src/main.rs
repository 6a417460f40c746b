//! `evenkeel`, the command. It parses arguments, calls `control` and `lab`, and prints.

#![forbid(unsafe_code)]

mod arguments;
mod commands;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(run) => commands::run::run(run),
        Command::Check(check) => commands::check::check(&check),
        Command::Status(status) => commands::status::status(&status),
        Command::Explain(explain) => commands::replay::explain(explain),
        Command::Replay(replay) => commands::replay::replay(replay),
        Command::Lab(lab) => commands::lab::lab(lab.command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
