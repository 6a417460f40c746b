//! Network namespaces as the kernel shows them: which exist, and who lives in them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// How long processes may take to end, once for SIGTERM and once for SIGKILL.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the lab looks again.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// Where `ip netns` keeps a namespace.
#[must_use]
pub fn path(namespace: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(namespace)
}

/// Names of all namespaces that `ip netns` knows, sorted.
pub fn all() -> Result<Vec<String>> {
    let entries = match fs::read_dir("/run/netns") {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list /run/netns")(error)),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Processes that live in a namespace, without the calling one.
///
/// Only the namespace of a process's main thread counts. Zombies have none.
pub fn processes(namespace: &str) -> Result<Vec<i32>> {
    let Ok(wanted) = fs::metadata(path(namespace)) else {
        return Ok(Vec::new());
    };
    let own = std::process::id();
    let entries = fs::read_dir("/proc").map_err(Error::io("list /proc"))?;
    let inside = |pid: &u32| {
        fs::metadata(format!("/proc/{pid}/ns/net"))
            .is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
    };
    let mut pids: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && inside(pid))
        .filter_map(|pid| i32::try_from(pid).ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

/// Ends all processes in a namespace: SIGTERM, and SIGKILL for those that stay.
pub(crate) fn end_processes(namespace: &str) -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let deadline = Instant::now() + PATIENCE;
        let mut told = Vec::new();
        loop {
            let pids = processes(namespace)?;
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids {
                // Once each: a second SIGTERM makes some programs skip their cleanup.
                if !told.contains(&pid) {
                    told.push(pid);
                    // It may have ended by itself since; the next round looks again.
                    let _ = kill(Pid::from_raw(pid), signal);
                }
            }
            if Instant::now() > deadline {
                break;
            }
            sleep(POLL);
        }
    }
    let pids = processes(namespace)?;
    Err(Error::Unkillable {
        namespace: namespace.to_owned(),
        pids: pids
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(","),
        waited: PATIENCE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_does_not_exist_has_no_processes() {
        assert!(processes("ek-no-such-namespace").unwrap().is_empty());
        end_processes("ek-no-such-namespace").unwrap();
    }
}
