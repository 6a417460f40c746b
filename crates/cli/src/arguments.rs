//! The command line.

pub(crate) mod live;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use control::decap::prefix;
use control::replay::ProbeEndpoint;
use engine::dataplane::AttachMode;
use engine::desired::Prefix;

/// A layer-4 load balancer with an XDP data plane.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Balance, in the foreground, until Ctrl-C
    Run(Run),
    /// Say whether a config file is valid, and everything that is wrong with it
    Check(Check),
    /// Print what a config file can say
    Config(Config),
    /// Say what a config file would change in a running instance; exit code 2: flows would break
    Plan(live::Plan),
    /// Put a config file in force in a running instance; all of it is applied, or nothing
    Apply(live::Apply),
    /// Have a running instance read its config file again; all of it is applied, or nothing
    Reload(Reload),
    /// Add, remove and list services of a running instance, beside its file
    Service(live::Service),
    /// Add, remove, drain, weigh and list backends of a running instance, beside its file
    Backend(live::Backend),
    /// List the flows that a running instance knows one by one
    Flows(live::Flows),
    /// Have a running instance forget flows
    Flush(live::Flush),
    /// Tell what has happened to a running instance, and what happens
    Events(live::Events),
    /// End a running instance and its balancing; also what one has left that was killed
    Stop(Stop),
    /// Show services, backends, counters and reasons of a running instance
    Status(Status),
    /// Watch a running instance: rates of services, backends and reasons, in the terminal
    Top(Top),
    /// Say what would be done with a packet, and why
    Explain(Explain),
    /// Run the packets of a capture through the real program
    Replay(Replay),
    /// Take packets of the modes ipip and gue out of their tunnel, on a backend, until Ctrl-C
    Decap(Decap),
    /// Small networks of namespaces to try things in
    Lab(Lab),
    /// Print a shell's completions of this command line
    #[command(hide = true)]
    Completions(Completions),
    /// Write man pages, one for each command, into a directory
    #[command(hide = true)]
    Man(Man),
}

/// Where services come from: a file, or one service from flags.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["config", "service"]))]
pub(crate) struct Source {
    /// Config file (docs/config.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What clients reach: tcp://ADDRESS:PORT or udp://ADDRESS:PORT, with * for every port
    #[arg(long, value_name = "URL", requires = "backend")]
    pub(crate) service: Option<String>,
    /// How packets get to the backends: nat (the default), dnat, l2-dsr, ipip or gue
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// A server behind the service; repeat for more
    #[arg(long, value_name = "ADDRESS[:PORT][@MAC]", conflicts_with = "config")]
    pub(crate) backend: Vec<String>,
    /// Weight of a backend, in the order of the backends; default 1
    #[arg(long, value_name = "N", conflicts_with = "config")]
    pub(crate) weight: Vec<String>,
    /// How backends are checked: tcp, http, https, http2 or grpc (docs/health.md); default: not
    #[arg(long, value_name = "TYPE", conflicts_with = "config")]
    pub(crate) health: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Interfaces to run on; with --config they replace those of the file
    #[arg(value_name = "IFACE")]
    pub(crate) interfaces: Vec<String>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// Where the program runs
    #[arg(long, value_enum, default_value_t = Xdp::Auto)]
    pub(crate) xdp: Xdp,
    /// Name of this instance; default: that of the network namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// When this process ends, packets are balanced on; the next `run` goes on with that
    #[arg(long)]
    pub(crate) keep: bool,
    /// Read the config file again whenever it has changed
    #[arg(long, requires = "config")]
    pub(crate) watch: bool,
    /// How the log is written
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal and in systemd's journal, else JSON
    Auto,
    /// A line for each event, for people
    Text,
    /// A JSON object for each event
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Xdp {
    /// In the driver if it can, else in the network stack
    Auto,
    /// In the driver, or fail; what an earlier process left stays where it is
    Native,
    /// In the network stack: any driver, at a fraction of the speed
    Generic,
}

impl From<Xdp> for AttachMode {
    fn from(xdp: Xdp) -> Self {
        match xdp {
            Xdp::Auto => Self::Auto,
            Xdp::Native => Self::Native,
            Xdp::Generic => Self::Generic,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Config file (docs/config.md)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// A commented file that shows every field
    Example,
    /// A JSON schema of the file, for editors
    Schema,
    /// Every field, as in docs/config.md
    #[command(hide = true)]
    Reference,
}

#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// What was changed by hand is so no longer
    #[arg(long)]
    pub(crate) discard_overrides: bool,
    /// Name of the instance; default: that of the network namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// End the process only: packets are balanced on, and the next `run` goes on with that
    #[arg(long)]
    pub(crate) keep: bool,
    /// Name of the instance; default: that of the network namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// Name of the instance; default: that of the network namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Print one frame, of rates over a second, and end; so it does where there is no terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// Name of the instance; default: that of the network namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("transport").args(["tcp", "udp", "echo"]))]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Sender of the packet; IPv6 as [ADDRESS]:PORT
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) from: ProbeEndpoint,
    /// Receiver of the packet
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) to: ProbeEndpoint,
    /// A TCP packet with these flags (the default, with syn)
    #[arg(
        long,
        value_name = "FLAGS",
        value_delimiter = ',',
        default_value = "syn"
    )]
    pub(crate) tcp: Vec<String>,
    /// A UDP packet
    #[arg(long)]
    pub(crate) udp: bool,
    /// An ICMP echo request (a ping), which has no ports
    #[arg(long)]
    pub(crate) echo: bool,
    /// Bytes behind the headers
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=9000))]
    pub(crate) payload: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Capture to read: pcap or pcapng, Ethernet
    #[arg(long = "in", value_name = "IN.pcap")]
    pub(crate) input: PathBuf,
    /// Capture to write: the packets that come out
    #[arg(long = "out", value_name = "OUT.pcap")]
    pub(crate) output: Option<PathBuf>,
    /// Print a JSON object a line instead of columns
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Decap {
    /// Interfaces that the load balancer's packets come in by
    #[arg(value_name = "IFACE", required_unless_present = "status")]
    pub(crate) interfaces: Vec<String>,
    /// What inner packets may be addressed to; repeat for more. Default: this host's addresses
    #[arg(long, value_name = "ADDRESS[/BITS]", value_parser = prefix)]
    pub(crate) vip: Vec<Prefix>,
    /// Who may send; repeat for more. Default: everybody. With `entropy` in its [tunnel], a load balancer
    /// sends from all of its /16 (IPv4) or /96 (IPv6)
    #[arg(long, value_name = "ADDRESS[/BITS]", value_parser = prefix)]
    pub(crate) from: Vec<Prefix>,
    /// UDP port of GUE
    #[arg(long, value_name = "PORT", default_value_t = 6080, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) gue_port: u16,
    /// Where the program runs
    #[arg(long, value_enum, default_value_t = Xdp::Auto)]
    pub(crate) xdp: Xdp,
    /// Name of this instance; default: that of the network namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Show the counters of the one that is running, instead of running
    #[arg(long, conflicts_with_all = ["interfaces", "vip", "from", "gue_port", "xdp"])]
    pub(crate) status: bool,
    /// Print JSON instead of tables
    #[arg(long, requires = "status")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where; it is made if need be
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Lab {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Bring a lab up
    Up {
        /// tutorial, crowd, routed, l2dsr or tunnel; NAME-TAG for another copy
        name: String,
        /// Print the commands instead of running them
        #[arg(long)]
        dry_run: bool,
        /// MTU of a network's links, as backends=1400; repeat for more. Default 1500
        #[arg(long, value_name = "NETWORK=BYTES", value_parser = network_mtu)]
        mtu: Vec<(String, u16)>,
    },
    /// Take a lab down, with everything that runs in it
    Down {
        /// As given to `up`
        name: String,
    },
    /// List the labs that are up
    List,
    /// Run a command in a host of a lab
    Exec {
        /// As given to `up`
        name: String,
        /// The host, as in `lab list`
        host: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Bring a lab up, balance real requests in it, show what happened, take it down
    Run {
        /// tutorial
        name: String,
    },
    /// Serve HTTP and UDP and say who answers (for backends)
    Serve {
        /// Who answers
        #[arg(long)]
        name: String,
        /// Where; repeat for more. 0.0.0.0 is IPv4 only, [::] IPv6 only
        #[arg(long, value_name = "ADDRESS:PORT", required = true)]
        listen: Vec<SocketAddr>,
    },
    /// Send requests or datagrams and say who answered (for clients)
    Fetch(Fetch),
    /// Hold connections open, use them, and say which broke and why (for clients)
    Hold(Hold),
}

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// As http://10.0.0.10:8000/ or http://[fd00:4::100]:8000/
    pub(crate) url: String,
    /// How many
    #[arg(long, default_value_t = 100)]
    pub(crate) requests: usize,
    /// How many at a time
    #[arg(long, default_value_t = 1)]
    pub(crate) concurrency: usize,
    /// Use each connection again instead of a fresh one for each request
    #[arg(long)]
    pub(crate) keep_alive: bool,
    /// Datagrams instead of HTTP requests; the URL's path means nothing
    #[arg(long)]
    pub(crate) udp: bool,
    /// Size of a datagram, up to 65000: more than the MTU goes in fragments
    #[arg(long, requires = "udp", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=65_000))]
    pub(crate) bytes: u16,
    /// The answer to a datagram is its hash, instead of all of it
    #[arg(long, requires = "bytes")]
    pub(crate) short_answers: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// As http://10.0.0.10:8000/ or http://[fd00:4::100]:8000/
    pub(crate) url: String,
    /// How many
    #[arg(long, default_value_t = 100)]
    pub(crate) connections: usize,
    /// UDP flows instead of TCP connections
    #[arg(long)]
    pub(crate) udp: bool,
    /// Milliseconds from one request of a connection to its next
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub(crate) every: u64,
    /// Seconds until the end; otherwise at Ctrl-C
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lasting: Option<u64>,
    /// Print JSON, an object a line: at the end, and before that at each SIGUSR1
    #[arg(long)]
    pub(crate) json: bool,
}

fn network_mtu(text: &str) -> Result<(String, u16), String> {
    let (network, bytes) = text
        .split_once('=')
        .ok_or("expected NETWORK=BYTES, such as backends=1400")?;
    let bytes = bytes
        .parse()
        .map_err(|_| format!("expected a number of bytes, found `{bytes}`"))?;
    Ok((network.to_owned(), bytes))
}
