//! One change of the system: a command that can be shown or run.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// A command with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// One line: what it is for.
    pub why: String,
    /// The namespace that exists once the command has succeeded.
    pub makes: Option<String>,
}

impl Step {
    /// A step from a command line whose words contain no spaces.
    pub(crate) fn new(line: &str, why: impl Into<String>) -> Self {
        Self {
            argv: line.split_whitespace().map(str::to_owned).collect(),
            why: why.into(),
            makes: None,
        }
    }

    /// The command as a shell takes it.
    #[must_use]
    pub fn line(&self) -> String {
        self.argv
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs the command to its end.
    ///
    /// It gets a process group of its own, so that a Ctrl-C meant for the lab does not
    /// tear a command apart between doing something and reporting it.
    pub fn run(&self) -> Result<()> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Ok(());
        };
        let output = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .process_group(0)
            .output()
            .map_err(Error::io(format!("run `{}` ({})", self.line(), self.why)))?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Command {
            command: self.line(),
            why: self.why.clone(),
            status: output.status.to_string(),
            advice: advice(&stderr),
            stderr,
        })
    }
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What to do about the failures that happen to people.
fn advice(stderr: &str) -> String {
    let known = [
        (
            "Operation not permitted",
            "run with sudo; in a container, give it CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_BPF",
        ),
        (
            "File exists",
            "something of that name is there already: see `evenkeel lab list` and `ip netns list`",
        ),
        (
            "Unknown device type",
            "this kernel lacks veth or bridge: load them with `modprobe -a veth bridge`",
        ),
        (
            "No ELF library support",
            "this `ip` cannot load BPF objects: install an iproute2 that is built with libbpf",
        ),
        (
            "without libbpf",
            "this `ip` cannot load BPF objects: install an iproute2 that is built with libbpf",
        ),
    ];
    known
        .iter()
        .find(|(sign, _)| stderr.contains(sign))
        .map_or_else(String::new, |(_, what)| format!("\n  what to do: {what}"))
}

/// The programs that the lab runs, with the Debian packages that have them.
const TOOLS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("nsenter", "util-linux"),
    ("sysctl", "procps"),
];

/// Checks that the lab can work at all: root, and the programs it runs.
pub fn check_requirements() -> Result<()> {
    let uid = nix::unistd::geteuid();
    if !uid.is_root() {
        return Err(Error::NotRoot { uid: uid.as_raw() });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    check_tools(&std::env::split_paths(&path).collect::<Vec<_>>())
}

fn check_tools(path: &[PathBuf]) -> Result<()> {
    for (tool, package) in TOOLS {
        if !path
            .iter()
            .any(|folder| Path::new(folder).join(tool).is_file())
        {
            return Err(Error::MissingTool { tool, package });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_pasted() {
        let mut step = Step::new("ip link add a", "");
        step.argv.push("it's".to_owned());
        assert_eq!(step.line(), r"ip link add a 'it'\''s'");
    }

    #[test]
    fn a_failing_command_is_reported_with_its_words_and_advice() {
        let mut step = Step::new("sh -c", "to see it fail");
        step.argv
            .push("echo RTNETLINK answers: File exists >&2; exit 2".to_owned());
        let text = step.run().unwrap_err().to_string();
        for part in [
            "to see it fail",
            "exit status: 2",
            "RTNETLINK answers: File exists",
            "evenkeel lab list",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_missing_tool_names_its_package() {
        let text = check_tools(&[PathBuf::from("/nowhere")])
            .unwrap_err()
            .to_string();
        assert!(text.contains("apt-get install iproute2"), "{text}");
    }
}
