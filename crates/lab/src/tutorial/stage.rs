//! What runs in the lab while the story is told.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::command::{CONFIG, Command, Run};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::lab::Lab;
use crate::namespace::POLL;
use crate::process::HostProcess;
use crate::topology::{HostSpec, Role};

/// How long a program may take until it is ready, and a command until it is done.
const PATIENCE: Duration = Duration::from_secs(20);

/// The hosts and their programs, which end when this is dropped.
pub(super) struct Stage<'a> {
    pub(super) run: &'a Run,
    lab: &'a Lab,
    interrupt: &'a Interrupt,
    client: &'static HostSpec,
    balancer: &'static HostSpec,
    pub(super) backends: [&'static HostSpec; 2],
    balancing: Option<HostProcess>,
    servers: BTreeMap<&'static str, HostProcess>,
    folder: Folder,
}

impl<'a> Stage<'a> {
    pub(super) fn new(run: &'a Run, lab: &'a Lab, interrupt: &'a Interrupt) -> Result<Self> {
        let of = |role| lab.id().topology().with_role(role);
        let mut backends = of(Role::Backend);
        let (Some(client), Some(balancer), Some(first), Some(second)) = (
            of(Role::Client).next(),
            of(Role::Balancer).next(),
            backends.next(),
            backends.next(),
        ) else {
            let found = "it takes a client, a load balancer and two backends".to_owned();
            return Err(failure(lab, found));
        };
        Ok(Self {
            run,
            lab,
            interrupt,
            client,
            balancer,
            backends: [first, second],
            balancing: None,
            servers: BTreeMap::new(),
            folder: Folder::new()?,
        })
    }

    /// Where clients send what is for the service at this port.
    pub(super) fn service(&self, port: u16) -> SocketAddr {
        (self.lab.id().topology().vip, port).into()
    }

    pub(super) fn client(&self) -> Result<Host> {
        self.lab.host(self.client.name)
    }

    pub(super) fn check(&self) -> Result<()> {
        self.interrupt.check()
    }

    pub(super) fn interrupt(&self) -> &Interrupt {
        self.interrupt
    }

    /// Replaces the config file.
    pub(super) fn write_config(&self, text: &str) -> Result<()> {
        let path = self.folder.0.join(CONFIG);
        fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))
    }

    /// Starts a backend's server.
    pub(super) fn serve(&mut self, backend: &'static HostSpec) -> Result<()> {
        let listen = [SocketAddr::new(backend.address(), self.run.port)];
        let command = Command::Serve {
            name: backend.name,
            listen: &listen,
        };
        let server = self.start(backend, &command)?;
        self.servers.insert(backend.name, server);
        Ok(())
    }

    /// Kills a backend's server.
    pub(super) fn kill_server(&mut self, backend: &HostSpec) -> Result<()> {
        match self.servers.remove(backend.name) {
            Some(mut server) => server.kill().map(|_| ()),
            None => Ok(()),
        }
    }

    /// Starts the load balancer.
    pub(super) fn balance(&mut self) -> Result<()> {
        let command = Command::Balance { config: CONFIG };
        self.balancing = Some(self.start(self.balancer, &command)?);
        Ok(())
    }

    /// Kills the load balancer's process.
    pub(super) fn kill_balancer(&mut self) -> Result<()> {
        match self.balancing.take() {
            Some(mut process) => process.kill().map(|_| ()),
            None => Ok(()),
        }
    }

    /// Ends the load balancer's process with a command, and waits for its end.
    pub(super) fn end_balancer(&mut self, command: Command<'_>) -> Result<()> {
        self.ask(command)?;
        let Some(mut process) = self.balancing.take() else {
            return Ok(());
        };
        match process.wait(PATIENCE)? {
            Some(_) => Ok(()),
            None => Err(self.failure(format!("it still runs after `{}`", self.line(command)))),
        }
    }

    /// Runs a command beside the load balancer; what it printed.
    pub(super) fn ask(&self, command: Command<'_>) -> Result<String> {
        let mut process = self.spawn(self.balancer, &command)?;
        let deadline = Instant::now() + PATIENCE;
        let mut ended: Option<ExitStatus> = None;
        while ended.is_none() && Instant::now() < deadline {
            self.check()?;
            ended = process.wait(Duration::from_millis(100))?;
        }
        if ended.is_some_and(|status| status.success()) {
            return Ok(process.output());
        }
        let how = ended.map_or_else(|| "no end".to_owned(), |status| status.to_string());
        let (line, output) = (self.line(command), process.output());
        Err(self.failure(format!("`{line}` ended with {how}: {output}")))
    }

    /// A command as one would type it.
    pub(super) fn line(&self, command: Command<'_>) -> String {
        let name = self.run.program.file_name().unwrap_or_default();
        let arguments = (self.run.arguments)(&command);
        format!("{} {}", name.to_string_lossy(), arguments.join(" "))
    }

    /// Waits until a backend is down by its health check, or is not; how long that took.
    pub(super) fn until_down(&self, backend: &HostSpec, down: bool) -> Result<Duration> {
        let begun = Instant::now();
        let name = SocketAddr::new(backend.address(), self.run.port).to_string();
        loop {
            let text = self.ask(Command::Backends)?;
            let mut words = text.lines().map(|line| line.split_whitespace());
            let found = words.find_map(|mut words| (words.next()? == name).then_some(words));
            if found.is_some_and(|mut words| words.any(|word| word == "down") == down) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > PATIENCE {
                let wanted = if down { "down" } else { "up" };
                return Err(self.failure(format!("{name} did not get {wanted}: {text}")));
            }
            sleep(POLL);
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check()?;
            sleep(POLL.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// The error that the run was no success.
    pub(super) fn failure(&self, found: String) -> Error {
        failure(self.lab, found)
    }

    fn start(&self, host: &HostSpec, command: &Command<'_>) -> Result<HostProcess> {
        let mut process = self.spawn(host, command)?;
        process.wait_for_line("ready", PATIENCE, self.interrupt)?;
        Ok(process)
    }

    fn spawn(&self, host: &HostSpec, command: &Command<'_>) -> Result<HostProcess> {
        let mut process = self.lab.host(host.name)?.command(&self.run.program);
        process.args((self.run.arguments)(command));
        // So that commands name the config file as people do.
        process.current_dir(&self.folder.0);
        HostProcess::spawn(host.name, process)
    }
}

fn failure(lab: &Lab, found: String) -> Error {
    let lab = lab.id().to_string();
    Error::Run { found, lab }
}

/// A folder of our own that goes when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let base = std::env::temp_dir();
        let mut number = 0;
        loop {
            let name = format!("evenkeel-demo-{}-{number}", std::process::id());
            let path = base.join(name);
            // Never one that somebody else has made: its name can be guessed.
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                }
                Err(error) => {
                    let doing = format!("make the folder {}", path.display());
                    return Err(Error::io(doing)(error));
                }
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_guard() {
        let (one, other) = (Folder::new().unwrap(), Folder::new().unwrap());
        assert_ne!(one.0, other.0);
        let path = one.0.clone();
        fs::write(path.join(CONFIG), "text").unwrap();
        drop(one);
        assert!(!path.exists() && other.0.exists());
    }
}
