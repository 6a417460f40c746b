//! `evenkeel`, the command. It parses arguments, calls `control` and `lab`, and prints.

#![forbid(unsafe_code)]
// `println!` panics when nobody reads any more; `output` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod commands;
mod output;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(run) => commands::run::run(run),
        Command::Check(check) => commands::check::check(&check),
        Command::Config(config) => commands::config::config(&config.command),
        Command::Plan(plan) => commands::plan::plan(&plan),
        Command::Apply(apply) => commands::apply::apply(&apply),
        Command::Service(service) => commands::service::service(service),
        Command::Backend(backend) => commands::backend::backend(backend),
        Command::Flows(flows) => commands::flows::flows(flows),
        Command::Flush(flush) => commands::flows::flush(flush),
        Command::Events(events) => commands::events::events(events),
        Command::Reload(reload) => commands::reload::reload(&reload),
        Command::Stop(stop) => commands::stop::stop(stop),
        Command::Status(status) => commands::status::status(&status),
        Command::Top(top) => commands::top::top(&top),
        Command::Explain(explain) => commands::replay::explain(explain),
        Command::Replay(replay) => commands::replay::replay(replay),
        Command::Decap(decap) => commands::decap::decap(decap),
        Command::Lab(lab) => commands::lab::lab(lab.command),
        Command::Completions(shell) => commands::generate::completions(&shell),
        Command::Man(man) => commands::generate::man(&man),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::tell(&describe(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with those of its causes that it does not mention itself.
fn describe(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    // Errors of a config come as a list, each with its own headline.
    if text.starts_with("error") {
        return text;
    }
    format!("error: {text}")
}
