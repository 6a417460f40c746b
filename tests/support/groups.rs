//! Control groups for a service manager of a test's own.

use std::fs;
use std::path::{Path, PathBuf};

use super::scene::tag;
use super::wait::{PATIENCE, eventually};

/// Control groups of a test's own, which are empty when it ends.
#[derive(Debug)]
pub struct Groups(Vec<PathBuf>);

impl Groups {
    /// `None`: there can be none here.
    #[must_use]
    pub fn new() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").ok()?;
        let places = mounts.lines().filter_map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let is_systemds = words[2] == "cgroup2" || words[3].contains("name=systemd");
            (words[2].starts_with("cgroup") && is_systemds).then(|| PathBuf::from(words[1]))
        });
        let groups = Self(places.map(|place| place.join(tag("evenkeel"))).collect());
        let made = groups.0.iter().all(|path| fs::create_dir(path).is_ok());
        (made && !groups.0.is_empty()).then_some(groups)
    }

    /// What a shell says to become theirs.
    #[must_use]
    pub fn join(&self) -> String {
        let line = |group: &PathBuf| format!("echo 0 >{}/cgroup.procs; ", group.display());
        self.0.iter().map(line).collect()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.0 {
            eventually("an empty control group", PATIENCE, || {
                remove(group);
                (!group.exists()).then_some(())
            });
        }
    }
}

/// Only folders can be removed from a control group, and only empty ones.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
