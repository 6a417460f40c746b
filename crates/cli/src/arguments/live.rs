//! The arguments of what is done to a running instance.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use control::overrides::{AffinityWord, ModeWord};

/// Which instance.
#[derive(Clone, Debug, Args)]
pub(crate) struct Of {
    /// Name of the instance; default: that of the network namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Config file; default: the one that the instance was started with
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) of: Of,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Config file; default: the one that the instance was started with
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Also if flows would break
    #[arg(long)]
    pub(crate) allow_disruption: bool,
    #[command(flatten)]
    pub(crate) of: Of,
}

#[derive(Debug, Args)]
pub(crate) struct Service {
    #[command(subcommand)]
    pub(crate) command: ServiceCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Add a service, until the file is applied without what was changed by hand
    Add {
        /// What clients reach, as tcp://10.0.0.10:443
        service: String,
        /// A server behind it; repeat for more
        #[arg(long, value_name = "ADDRESS[:PORT][@MAC]", required = true)]
        backend: Vec<String>,
        /// How packets get to the backends
        #[arg(long, value_enum)]
        mode: Option<Mode>,
        /// Which connections belong together
        #[arg(long, value_enum)]
        affinity: Option<Affinity>,
        #[command(flatten)]
        of: Of,
    },
    /// Remove a service; its connections break
    Remove {
        /// As tcp://10.0.0.10:443
        service: String,
        #[command(flatten)]
        of: Of,
    },
    /// List the services
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    Nat,
    Dnat,
    L2Dsr,
    Ipip,
    Gue,
}

impl From<Mode> for ModeWord {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Nat => Self::Nat,
            Mode::Dnat => Self::Dnat,
            Mode::L2Dsr => Self::L2Dsr,
            Mode::Ipip => Self::Ipip,
            Mode::Gue => Self::Gue,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Affinity {
    None,
    Source,
    SourceDestination,
}

impl From<Affinity> for AffinityWord {
    fn from(affinity: Affinity) -> Self {
        match affinity {
            Affinity::None => Self::None,
            Affinity::Source => Self::Source,
            Affinity::SourceDestination => Self::SourceDestination,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Backend {
    #[command(subcommand)]
    pub(crate) command: BackendCommand,
}

/// Which backend of which service.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// As tcp://10.0.0.10:443
    pub(crate) service: String,
    /// As 10.0.0.2 or 10.0.0.2:8443
    #[arg(value_name = "ADDRESS[:PORT]")]
    pub(crate) backend: String,
    #[command(flatten)]
    pub(crate) of: Of,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackendCommand {
    /// Add a backend, until the file is applied without what was changed by hand
    Add {
        /// As tcp://10.0.0.10:443
        service: String,
        /// The server
        #[arg(value_name = "ADDRESS[:PORT][@MAC]")]
        backend: String,
        /// Its share of new flows relative to the others'; default 1
        #[arg(long, value_name = "N")]
        weight: Option<u32>,
        #[command(flatten)]
        of: Of,
    },
    /// Remove a backend; it keeps its connections until they are over
    Remove(Which),
    /// Give a backend no new connections; it keeps those it has
    Drain {
        #[command(flatten)]
        which: Which,
        /// Wait until it has none left
        #[arg(long)]
        wait: bool,
        /// Give up waiting after this time, with exit code 1; it drains on
        #[arg(long, value_name = "TIME", requires = "wait", value_parser = time)]
        timeout: Option<Duration>,
    },
    /// Give a backend new connections again
    Undrain(Which),
    /// Give a backend another share of new connections
    Weight {
        /// As tcp://10.0.0.10:443
        service: String,
        /// As 10.0.0.2 or 10.0.0.2:8443
        #[arg(value_name = "ADDRESS[:PORT]")]
        backend: String,
        /// Its share relative to the others'
        #[arg(value_name = "N")]
        weight: u32,
        #[command(flatten)]
        of: Of,
    },
    /// List the backends of a service, or of all
    List {
        /// As tcp://10.0.0.10:443
        service: Option<String>,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        of: Of,
    },
}

/// Which flows: those that all of it is true of.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Of this service, as tcp://10.0.0.10:443
    #[arg(long, value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Of this backend
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub(crate) backend: Option<String>,
    /// Of these clients
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub(crate) client: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Flows {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Print a JSON object a line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) of: Of,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["service", "backend", "client", "all"]))]
pub(crate) struct Flush {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// All of them
    #[arg(long, conflicts_with_all = ["service", "backend", "client"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) of: Of,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on with those to come, until Ctrl-C or the instance's end
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Print a JSON object a line instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) of: Of,
}

/// `30s`, `5m` or `2h`; a number alone means seconds.
fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let seconds = match unit {
        "h" => 3_600,
        "m" => 60,
        _ => 1,
    };
    let number: Option<u64> = number.parse().ok();
    let seconds = number.and_then(|number| number.checked_mul(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a time such as 30s, 5m or 2h".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit_or_of_seconds() {
        for (text, seconds) in [("30", 30), ("0s", 0), ("5m", 300), ("2h", 7_200)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "5 m", "-1", "1d", "18446744073709551615h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
