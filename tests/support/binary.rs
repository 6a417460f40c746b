//! The program under test, and commands that come to their end.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};

use super::wait::PATIENCE;

/// The `evenkeel` under test: the one that `EVENKEEL_BIN` names, else the one in the folder that
/// this test was built into.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn evenkeel() -> PathBuf {
    let path = env::var_os("EVENKEEL_BIN").map_or_else(beside_this_test, PathBuf::from);
    assert!(
        path.is_file(),
        "expected the program under test at {}, found nothing: \
         build it with `cargo build -p evenkeel`, or name one in EVENKEEL_BIN",
        path.display()
    );
    path
}

/// `target/debug/evenkeel`, seen from `target/debug/deps/TEST`.
fn beside_this_test() -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    let folder = test.ancestors().nth(2).expect("cargo's folders");
    folder.join("evenkeel")
}

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// It cannot be started, or does not end in time.
#[must_use]
pub fn finish(command: &Command) -> Finished {
    // timeout(1) goes with the command, so that nothing is left behind, whatever it does.
    let mut limited = Command::new("timeout");
    limited
        .arg("--kill-after=1")
        .arg(PATIENCE.as_secs().to_string())
        .arg(command.get_program())
        .args(command.get_args());
    let output = limited
        .output()
        .unwrap_or_else(|error| panic!("timeout(1) is part of coreutils: {error}"));
    let finished = Finished::from(output);
    assert_ne!(
        finished.code,
        Some(124),
        "expected an end of {command:?} within {PATIENCE:?}: {finished:?}"
    );
    finished
}
