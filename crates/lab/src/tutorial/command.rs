//! What the demonstration runs. It knows neither the load balancer's arguments nor its config
//! files: whoever starts it says what they are.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::blueprint::Blueprint;

/// The config file, in the folder that all commands run in.
pub(super) const CONFIG: &str = "demo.toml";

/// What to run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The lab, with its pass object.
    pub blueprint: Blueprint,
    /// The program that has the subcommands below: the current executable.
    pub program: PathBuf,
    /// The program's arguments for a command.
    pub arguments: fn(&Command<'_>) -> Vec<String>,
    /// Text of the config file at the start: backends share the service's flows evenly.
    pub config: String,
    /// Text that replaces it: the second backend gets three of four new flows, and there is a
    /// service at `added_port`.
    pub changed_config: String,
    /// Port of the service and of the backends.
    pub port: u16,
    /// Port of the service that the change adds.
    pub added_port: u16,
    /// Requests through the load balancer, and as many directly, for the picture.
    pub requests: usize,
}

/// Something that the program does. All but the first two are run beside the second one.
#[derive(Debug, Clone, Copy)]
pub enum Command<'a> {
    /// Serves until it is ended, and writes a line that starts with `ready`.
    Serve {
        /// Who it says it is.
        name: &'a str,
        /// Where.
        listen: &'a [SocketAddr],
    },
    /// Balances, the same about `ready`. When its process ends or is killed, packets are
    /// balanced on, and the next one goes on with that.
    Balance {
        /// The config file.
        config: &'a str,
    },
    /// Prints the counters.
    Status,
    /// Prints a line for each backend, with `ADDRESS:PORT` first and a word that is `down` when
    /// it gets no flows because its health check failed.
    Backends,
    /// Gives a backend no new flows, and lets it keep those it has.
    Drain(IpAddr),
    /// Takes that back.
    Undrain(IpAddr),
    /// Says what a config file would change, in lines that start with `+ ~ - !` or spaces.
    Plan {
        /// The config file.
        config: &'a str,
    },
    /// Puts a config file in force.
    Apply {
        /// The config file.
        config: &'a str,
    },
    /// Ends the process that balances, but not the balancing.
    Leave,
    /// Ends both.
    Stop,
}
