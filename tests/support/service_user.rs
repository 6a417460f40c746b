//! The privileges that the unit gives, and nothing more.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use control::instance::SOCKET_DIRECTORY;
use engine::pins::Pins;
use lab::Host;

use super::binary::{evenkeel, finish};
use super::folder::Folder;
use super::unit::Unit;

/// A user that no machine has, in the place of the unit's.
pub const USER: u32 = 64_123;

const BPF: &str = "/sys/fs/bpf";

/// What the unit does to places of this machine is undone when this is dropped.
#[derive(Debug)]
pub struct Places {
    bpf_mode: u32,
    pins: Pins,
}

impl Places {
    /// To be made before an instance of this name starts.
    ///
    /// # Panics
    /// There is no BPF file system.
    #[must_use]
    pub fn of(instance: &str) -> Self {
        Self {
            bpf_mode: fs::metadata(BPF).expect(BPF).permissions().mode(),
            pins: Pins::of(instance),
        }
    }
}

/// The places are the user's, as the unit makes them, until this is dropped.
#[derive(Debug)]
pub struct ServiceUser {
    unit: Unit,
    program: PathBuf,
    _places: Places,
}

impl ServiceUser {
    /// Does what systemd and the unit's `ExecStartPre` do before a start of this instance.
    ///
    /// # Panics
    /// It cannot be done.
    #[must_use]
    pub fn new(unit: Unit, folder: &Folder, instance: &str) -> Self {
        let program = folder.path().join("evenkeel");
        fs::copy(evenkeel(), &program).expect("a copy that everybody may run");
        let user = Self {
            unit,
            program,
            _places: Places::of(instance),
        };
        fs::create_dir_all(SOCKET_DIRECTORY).expect(SOCKET_DIRECTORY);
        give(Path::new(SOCKET_DIRECTORY), USER);
        for line in user.unit.lines("ExecStartPre") {
            let line = line.strip_prefix('+').expect("done by root");
            let mut words = line.split_whitespace();
            let mut command = Command::new(words.next().expect("a program"));
            command.args(words.map(|word| match word {
                "evenkeel" => USER.to_string(),
                "evenkeel:evenkeel" => format!("{USER}:{USER}"),
                word => word.to_owned(),
            }));
            let finished = finish(&command);
            assert_eq!(finished.code, Some(0), "{command:?}: {}", finished.stderr);
        }
        user
    }

    /// Capabilities that the unit gives.
    #[must_use]
    pub fn capabilities(&self) -> Vec<&str> {
        self.unit.words("AmbientCapabilities")
    }

    /// `evenkeel ARGUMENTS` on a host as the user with these capabilities, none of which it could
    /// add to.
    #[must_use]
    pub fn command(&self, host: &Host, capabilities: &[&str], arguments: &str) -> Command {
        let mut list = String::from("-all");
        for name in capabilities {
            list += &format!(",+{}", name.trim_start_matches("CAP_").to_lowercase());
        }
        let mut command = host.command("setpriv");
        command.args(["--reuid", &USER.to_string(), "--regid", &USER.to_string()]);
        command.args(["--clear-groups", "--no-new-privs"]);
        for set in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
            command.arg(format!("{set}={list}"));
        }
        command.arg("--").arg(&self.program);
        command.args(arguments.split_whitespace());
        command
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        // A test that fails has not stopped it.
        let _ = self.pins.remove();
        give(Path::new(SOCKET_DIRECTORY), 0);
        give(&Path::new(BPF).join("evenkeel"), 0);
        // What other tests find is what this one found.
        let _ = fs::set_permissions(BPF, fs::Permissions::from_mode(self.bpf_mode));
    }
}

/// Makes a folder and what is in it somebody's; what is gone meanwhile needs nobody.
fn give(path: &Path, user: u32) {
    let _ = chown(path, Some(user), Some(user));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        give(&entry.path(), user);
    }
}
