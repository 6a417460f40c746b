//! Whether the instance's file has changed: looked at once a second, which needs no more than a
//! stat(2), works on every file system, and sees files that are replaced, links that are changed
//! and folders that are mounted over.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Running, lock};
use crate::config::Origin;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// What tells one state of a file from another: device, inode, length, time of the last change in
/// nanoseconds. `None`: it is not there.
type Stamp = Option<(u64, u64, u64, i128)>;

/// A file that is looked at.
#[derive(Debug)]
pub(super) struct FileWatch {
    /// Whatever the configuration says.
    always: bool,
    file: Option<PathBuf>,
    /// As it was read.
    read: Stamp,
    /// As it was at the last look.
    seen: Stamp,
    interval: Interval,
}

impl FileWatch {
    pub(super) fn new(always: bool, origin: Option<&Origin>) -> Self {
        let file = origin.map(|origin| origin.file.clone());
        let read = file.as_ref().and_then(stamp);
        let mut interval = interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            always,
            file,
            read,
            seen: read,
            interval,
        }
    }

    /// Waits until the file is another than it was, and has been for a look, so that nobody is
    /// writing it just now. Nothing is lost if this is dropped.
    pub(super) async fn changed(&mut self) {
        let Some(file) = self.file.clone() else {
            return std::future::pending().await;
        };
        loop {
            self.interval.tick().await;
            let now = stamp(&file);
            let is_still = now == self.seen;
            self.seen = now;
            if is_still && now.is_some() && now != self.read {
                self.read = now;
                return;
            }
        }
    }
}

fn stamp(file: &PathBuf) -> Stamp {
    let it = fs::metadata(file).ok()?;
    let nanoseconds = i128::from(it.mtime()) * 1_000_000_000 + i128::from(it.mtime_nsec());
    Some((it.dev(), it.ino(), it.len(), nanoseconds))
}

impl Running {
    /// Reads the file again, if that is wanted when it changes.
    pub(super) async fn reload_if_watched(&mut self, file: &FileWatch) {
        let wanted = lock(&self.instance).configuration.checked().daemon.watch;
        if file.always || wanted {
            self.reload().await;
        }
    }

    /// Whether there is a file to read again.
    pub(super) fn has_file(&self) -> bool {
        lock(&self.instance).configuration.origin().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_that_has_changed_is_told_once_and_only_when_it_is_still() {
        let file = std::env::temp_dir().join(format!("evenkeel-watch-{}", std::process::id()));
        fs::write(&file, "a").unwrap();
        let origin = Origin {
            file: file.clone(),
            interfaces: Vec::new(),
        };
        let mut watch = FileWatch::new(true, Some(&origin));
        let patience = Duration::from_secs(30);
        let told = tokio::time::timeout(patience, watch.changed()).await;
        assert!(told.is_err(), "it has not changed");
        fs::write(&file, "ab").unwrap();
        watch.changed().await;
        fs::remove_file(&file).unwrap();
        let told = tokio::time::timeout(patience, watch.changed()).await;
        assert!(told.is_err(), "a file that is not there is none to read");
        fs::write(&file, "ab").unwrap();
        watch.changed().await;
        fs::remove_file(&file).unwrap();
    }
}
