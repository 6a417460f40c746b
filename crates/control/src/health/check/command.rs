//! A program that ends with code 0.

use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};

use futures_util::FutureExt;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};

use super::connect::describe;
use super::limit::Limit;
use crate::health::outcome::Found;

/// Bytes of its output that are kept.
const KEPT: usize = 1_024;
/// Characters of them that are told.
const TOLD: usize = 200;
/// Where programs are looked for by a script; nothing else of our environment is passed on.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) async fn run(
    command: &[String],
    address: IpAddr,
    port: Option<u16>,
    limit: &Limit,
) -> Result<Found, Found> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Found::Inconclusive("no command".to_owned()))?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("EVENKEEL_ADDRESS", address.to_string())
        .env(
            "EVENKEEL_PORT",
            port.map_or_else(String::new, |port| port.to_string()),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            let error = describe(&error);
            Found::Inconclusive(format!("cannot check: {program}: {error}"))
        })?;
    let mut group = Group::of(child);
    let (status, output) = limit.wait("end of the command", group.end()).await?;
    let (how, said) = (described(status), told(&output));
    match status.success() {
        true => Ok(Found::Good(format!("{how}{said}"))),
        false => Err(Found::Bad(format!("{how}{said}"))),
    }
}

/// A program and whatever it has started; all are killed when this is dropped.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            child,
            id: id.map(Pid::from_raw),
        }
    }

    /// Waits for the program's end, and reads what it says meanwhile.
    async fn end(&mut self) -> Result<(ExitStatus, Vec<u8>), Found> {
        let mut output = Vec::new();
        let mut stdout = self.child.stdout.take();
        let status = {
            let mut reading = pin!(read(stdout.as_mut(), &mut output));
            tokio::select! {
                status = self.child.wait() => {
                    // What is left in the pipe; others may hold it open, and nobody waits for them.
                    let _ = reading.as_mut().now_or_never();
                    status
                }
                () = &mut reading => self.child.wait().await,
            }
        };
        let status = status.map_err(|error| Found::Inconclusive(describe(&error)))?;
        Ok((status, output))
    }
}

/// Reads to the end, and keeps the beginning.
async fn read(stdout: Option<&mut ChildStdout>, output: &mut Vec<u8>) {
    let Some(stdout) = stdout else { return };
    let mut piece = [0; 512];
    while let Ok(length @ 1..) = stdout.read(&mut piece).await {
        let room = KEPT.saturating_sub(output.len());
        output.extend_from_slice(&piece[..length.min(room)]);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // There may be nobody left.
            let _ = killpg(id, Signal::SIGKILL);
        }
    }
}

fn described(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Its first line.
fn told(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().next().unwrap_or_default().trim();
    let line: String = line.chars().take(TOLD).collect();
    match line.is_empty() {
        true => String::new(),
        false => format!(": {line}"),
    }
}
