//! A host of a lab that is up: run programs and code inside its namespace.

use std::ffi::OsStr;
use std::fs::File;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::namespace;
use crate::process::HostProcess;
use crate::topology::{HostSpec, InterfaceSpec};

/// A host of a lab that is up.
#[derive(Debug, Clone)]
pub struct Host {
    pub(crate) namespace: String,
    pub(crate) spec: Option<&'static HostSpec>,
}

impl Host {
    /// The host's short name; `switch` for the switch.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.spec.map_or(crate::id::SWITCH, |spec| spec.name)
    }

    /// The namespace as `ip netns` names it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The host's interfaces; none for the switch.
    #[must_use]
    pub fn interfaces(&self) -> &'static [InterfaceSpec] {
        self.spec.map_or(&[], |spec| spec.interfaces)
    }

    /// The IPv4 address of the host's first interface.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.spec.map(HostSpec::address)
    }

    /// The IPv6 address of the host's first interface, where the lab has IPv6.
    #[must_use]
    pub fn address6(&self) -> Option<IpAddr> {
        self.spec.and_then(HostSpec::address6)
    }

    /// A command that runs inside the host, with the file systems of the caller.
    ///
    /// `nsenter` and not `ip netns exec`, which would hide `/sys/fs/bpf`.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!(
            "--net={}",
            namespace::path(&self.namespace).display()
        ));
        command.arg("--").arg(program);
        command
    }

    /// Starts a program inside the host; it ends when the guard is dropped.
    pub fn spawn(
        &self,
        program: impl AsRef<OsStr>,
        arguments: &[impl AsRef<OsStr>],
    ) -> Result<HostProcess> {
        let mut command = self.command(program);
        command.args(arguments);
        HostProcess::spawn(self.name(), command)
    }

    /// Becomes this program, inside the host. Comes back only with an error.
    #[must_use]
    pub fn exec(&self, program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Error {
        let source = self.command(program).args(arguments).exec();
        Error::Io {
            doing: "run nsenter".to_owned(),
            source,
        }
    }

    /// Runs code on a new thread that is inside the host: sockets it opens belong there,
    /// and so do those of threads it starts. The thread's own result is an error when the
    /// host could not be entered.
    pub fn thread<T, F>(&self, work: F) -> Result<JoinHandle<Result<T>>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let file = self.open()?;
        let namespace = self.namespace.clone();
        Ok(thread::spawn(move || {
            enter(file, &namespace)?;
            Ok(work())
        }))
    }

    /// Runs code inside the host and waits for it, on a thread of its own.
    pub fn inside<T: Send, F: FnOnce() -> T + Send>(&self, work: F) -> Result<T> {
        let file = self.open()?;
        let in_thread = || {
            enter(file, &self.namespace)?;
            Ok(work())
        };
        thread::scope(|scope| match scope.spawn(in_thread).join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    fn open(&self) -> Result<File> {
        let path = namespace::path(&self.namespace);
        File::open(&path).map_err(Error::io(format!("open {}", path.display())))
    }
}

/// Moves the calling thread into a namespace, and closes the file that names it, which
/// would keep the namespace alive.
fn enter(file: File, namespace: &str) -> Result<()> {
    let outcome = setns(&file, CloneFlags::CLONE_NEWNET);
    drop(file);
    outcome.map_err(|errno| Error::io(format!("enter {namespace}"))(errno.into()))
}
