//! A program that runs in a host and ends with its guard.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::namespace::POLL;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);

/// A running program. Dropping it ends the program (SIGTERM, then SIGKILL) and reaps it.
#[derive(Debug)]
pub struct HostProcess {
    what: String,
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl HostProcess {
    /// Starts a command with its output collected; `what` names it in errors.
    ///
    /// It gets a process group of its own: a Ctrl-C reaches it through its guard.
    pub fn spawn(what: impl Into<String>, mut command: Command) -> Result<Self> {
        let what = format!("{}: {}", what.into(), line(&command));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("start {what}")))?;
        let output = Arc::new(Mutex::new(String::new()));
        let mut readers = Vec::new();
        readers.extend(
            child
                .stdout
                .take()
                .map(|stream| collect(stream, Arc::clone(&output))),
        );
        readers.extend(
            child
                .stderr
                .take()
                .map(|stream| collect(stream, Arc::clone(&output))),
        );
        Ok(Self {
            what,
            child,
            output,
            readers,
        })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the program has written so far, both streams, by line.
    #[must_use]
    pub fn output(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for a line that starts with `sign` and returns it.
    pub fn wait_for_line(
        &mut self,
        sign: &str,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.status()?;
            if ended.is_some() {
                self.join_readers();
            }
            let output = self.output();
            if let Some(line) = output.lines().find(|line| line.starts_with(sign)) {
                return Ok(line.to_owned());
            }
            if ended.is_some() || Instant::now() > deadline {
                let found =
                    ended.map_or_else(|| "it still runs".to_owned(), |s| format!("it ended: {s}"));
                return Err(Error::NotReady {
                    what: self.what.clone(),
                    waited: patience,
                    found,
                    output,
                });
            }
            interrupt.check()?;
            sleep(POLL);
        }
    }

    /// Waits for a line that starts with `ready`.
    pub fn wait_ready(&mut self, patience: Duration) -> Result<String> {
        self.wait_for_line("ready", patience, &Interrupt::never())
    }

    /// How the program ended, or `None` while it runs.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .map_err(Error::io(format!("wait for {}", self.what)))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).unwrap_or(i32::MAX);
        kill(Pid::from_raw(pid), signal)
            .map_err(|errno| Error::io(format!("signal {}", self.what))(errno.into()))
    }

    /// Waits until the program has ended by itself; `None` when `patience` is over first.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        loop {
            match self.status()? {
                Some(status) => {
                    self.join_readers();
                    return Ok(Some(status));
                }
                None if Instant::now() > deadline => return Ok(None),
                None => sleep(POLL),
            }
        }
    }

    /// Ends the program and returns how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.status()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        if let Some(status) = self.wait(GRACE)? {
            return Ok(status);
        }
        self.kill()
    }

    /// Ends the program at once, with SIGKILL.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        // A program that has just ended is as good.
        let _ = self.child.kill();
        let status = self
            .child
            .wait()
            .map_err(Error::io(format!("wait for {}", self.what)))?;
        self.join_readers();
        Ok(status)
    }

    /// Waits until all output has been read, unless a grandchild holds on to the streams.
    fn join_readers(&mut self) {
        let deadline = Instant::now() + Duration::from_millis(200);
        while !self.readers.iter().all(JoinHandle::is_finished) && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // Nobody is left to tell; a lab's `down` ends what is still there.
        let _ = self.stop();
    }
}

/// Appends a stream's lines to `output` until it ends.
fn collect(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            let text = String::from_utf8_lossy(&line);
            output
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
            line.clear();
        }
    })
}

/// A command as words, without the `nsenter` in front of it.
fn line(command: &Command) -> String {
    let words: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match words.iter().position(|word| word == "--") {
        Some(at) => words[at + 1..].join(" "),
        None => format!(
            "{} {}",
            command.get_program().to_string_lossy(),
            words.join(" ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> HostProcess {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        HostProcess::spawn("test", command).unwrap()
    }

    #[test]
    fn a_ready_line_is_waited_for() {
        let mut process = shell("echo hello; sleep 0.05; echo ready now; sleep 60");
        assert_eq!(
            process.wait_ready(Duration::from_secs(5)).unwrap(),
            "ready now"
        );
        assert!(process.status().unwrap().is_none());
    }

    #[test]
    fn a_program_that_ends_before_it_is_ready_is_reported_with_its_output() {
        let text = shell("echo no such interface >&2; exit 3").wait_ready(Duration::from_secs(5));
        let text = text.unwrap_err().to_string();
        assert!(
            text.contains("no such interface") && text.contains("exit status: 3"),
            "{text}"
        );
    }

    #[test]
    fn dropping_the_guard_ends_a_program_that_ignores_sigterm() {
        let mut process = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done");
        process.wait_ready(Duration::from_secs(5)).unwrap();
        let pid = process.id();
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
