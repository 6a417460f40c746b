//! This machine to change at will, without changing it.

use std::path::PathBuf;
use std::process::Command;

use lab::{HostProcess, Interrupt};

use super::binary::{Finished, finish};
use super::folder::Folder;
use super::wait::PATIENCE;

/// The machine's root with a layer above it that takes all changes and goes with this value. Other
/// file systems, such as /run and /sys, are empty folders there.
#[derive(Debug)]
pub struct Overlay {
    // Its mounts are in a mount namespace of its own, which ends with it.
    holder: HostProcess,
    root: PathBuf,
}

impl Overlay {
    /// Mounts it in a folder.
    ///
    /// # Panics
    /// It cannot be mounted.
    #[must_use]
    pub fn new(folder: &Folder) -> Self {
        let layers = folder.path().join("overlay");
        std::fs::create_dir_all(&layers).expect("a folder of the test's own");
        let script = format!(
            "set -e; cd {layers}; mount -t tmpfs tmpfs .; cd {layers}; mkdir up work root\n\
             mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root\n\
             mount --rbind /dev root/dev; mount --bind /proc root/proc\n\
             echo mounted; exec sleep infinity",
            layers = layers.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        let holder = HostProcess::spawn("overlay", command);
        let mut holder = holder.unwrap_or_else(|error| panic!("{error}"));
        if let Err(error) = holder.wait_for_line("mounted", PATIENCE, &Interrupt::never()) {
            panic!("{error}");
        }
        Self {
            holder,
            root: layers.join("root"),
        }
    }

    /// Runs a script in it, as root and with this machine's programs.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn run(&self, script: &str) -> Finished {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        command.arg("--").arg("chroot").arg(&self.root);
        command.args(["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]);
        command.args(["sh", "-c", script]);
        finish(&command)
    }

    /// The same, and what it prints.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn output(&self, script: &str) -> String {
        let finished = self.run(script);
        assert_eq!(finished.code, Some(0), "{script}: {finished:?}");
        finished.stdout
    }
}
