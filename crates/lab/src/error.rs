//! What can go wrong, each with what was expected, what was found and what to do.

use std::io;
use std::time::Duration;

/// Everything the lab reports.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Namespaces need root.
    #[error(
        "the lab makes network namespaces and needs root, but runs as user {uid}: run the same command with sudo"
    )]
    NotRoot {
        /// The effective user id found.
        uid: u32,
    },

    /// A program the lab runs is not installed.
    #[error(
        "the lab needs `{tool}`, which is not on PATH: install it with `apt-get install {package}`"
    )]
    MissingTool {
        /// Name of the program.
        tool: &'static str,
        /// Debian package that has it.
        package: &'static str,
    },

    /// No topology has this name.
    #[error(
        "there is no topology `{name}`; expected one of: {known} (an instance is written topology-instance, such as tutorial-t1)"
    )]
    NoSuchTopology {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },

    /// The instance tag cannot be part of a namespace name.
    #[error("`{instance}` cannot be an instance tag: use 1 to {max} of a-z and 0-9")]
    BadInstance {
        /// What was asked for.
        instance: String,
        /// The longest allowed.
        max: usize,
    },

    /// The topology has no such host.
    #[error("lab {lab} has no host `{host}`; its hosts are: {known}")]
    NoSuchHost {
        /// The lab asked.
        lab: String,
        /// What was asked for.
        host: String,
        /// What there is.
        known: String,
    },

    /// The topology has no such network.
    #[error("lab {lab} has no network `{network}`; its networks are: {known}")]
    NoSuchNetwork {
        /// The lab asked.
        lab: String,
        /// What was asked for.
        network: String,
        /// What there is.
        known: String,
    },

    /// An MTU that not every link of a lab can have.
    #[error(
        "{bytes} cannot be the MTU of a network: use {min} (IPv6 needs it) to {max} (XDP on a veth takes no more)"
    )]
    BadMtu {
        /// What was asked for.
        bytes: u16,
        /// The least.
        min: u16,
        /// The most.
        max: u16,
    },

    /// Up, but it is up already.
    #[error(
        "lab {lab} is already up ({namespaces}): use it, or take it down first with `evenkeel lab down {lab}`"
    )]
    AlreadyUp {
        /// The lab asked for.
        lab: String,
        /// Its namespaces that exist.
        namespaces: String,
    },

    /// A lab that is not up was asked for.
    #[error("lab {lab} is not up: bring it up with `evenkeel lab up {lab}`")]
    NotUp {
        /// The lab asked for.
        lab: String,
    },

    /// The `lab up` needs the pass program for this topology, and got none.
    #[error(
        "lab {lab} needs an XDP_PASS object for {interface}, and was given none: pass the object's bytes to Blueprint::pass_object"
    )]
    NoPassObject {
        /// The lab asked for.
        lab: String,
        /// The first interface that needs it.
        interface: String,
    },

    /// A command of the lab failed.
    #[error("`{command}` ({why}) failed with {status}: {stderr}{advice}")]
    Command {
        /// The command as it can be pasted.
        command: String,
        /// What it was for.
        why: String,
        /// Exit status or signal.
        status: String,
        /// What it wrote to its standard error.
        stderr: String,
        /// What to do, on a line of its own.
        advice: String,
    },

    /// A system call or file access failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done, as "open X".
        doing: String,
        /// Why it failed.
        source: io::Error,
    },

    /// Processes that SIGKILL did not end.
    #[error(
        "processes {pids} in namespace {namespace} are still there {waited:?} after SIGKILL: see `ps -o pid,stat,wchan,cmd -p {pids}`, then repeat the command"
    )]
    Unkillable {
        /// The namespace they keep alive.
        namespace: String,
        /// Their ids, with commas.
        pids: String,
        /// How long the lab waited.
        waited: Duration,
    },

    /// SIGINT or SIGTERM arrived.
    #[error("interrupted")]
    Interrupted,

    /// A program did not say that it is ready.
    #[error(
        "{what} was expected to write a line that starts with \"ready\" within {waited:?}, and did not ({found}); its output was:\n{output}"
    )]
    NotReady {
        /// Which program.
        what: String,
        /// The deadline.
        waited: Duration,
        /// Exited or still running.
        found: String,
        /// Both output streams so far.
        output: String,
    },

    /// The demonstration did not show what it should.
    #[error(
        "the run is not a success: {found}. Look inside with `evenkeel lab up {lab}` and the steps of docs/lab.md"
    )]
    Run {
        /// What was found instead.
        found: String,
        /// The lab's name.
        lab: String,
    },

    /// The server or a client tool could not do its work.
    #[error("{0}")]
    Tool(String),
}

impl Error {
    /// Wraps an I/O error with what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;
