//! What becomes of a command whose reader goes, as in `evenkeel lab up tutorial --dry-run | head -1`.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{PipeWriter, pipe};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A pipe that nobody reads any more.
fn unread() -> PipeWriter {
    let (reader, writer) = pipe().expect("there are file descriptors left");
    drop(reader);
    writer
}

fn evenkeel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A config file with nothing wrong in it, and one with a mistake; they go with the build's folder.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("cargo made the folder");
    path
}

#[test]
fn a_command_whose_output_nobody_reads_ends_as_it_would_have() {
    let valid = file("valid.toml", "interfaces = [\"eth0\"]\n");
    for arguments in [
        &["lab", "up", "tutorial", "--dry-run"][..],
        &["check", valid.to_str().unwrap()],
        &["check", "--json", valid.to_str().unwrap()],
        &["config", "example"],
        &["config", "schema"],
        &["help"],
        &["--version"],
    ] {
        let read = evenkeel(arguments).output().unwrap();
        assert!(read.status.success(), "{arguments:?}: {}", stderr(&read));
        assert!(!read.stdout.is_empty(), "{arguments:?} prints something");
        let output = evenkeel(arguments).stdout(unread()).output().unwrap();
        assert_eq!(stderr(&output), stderr(&read), "{arguments:?}");
        assert_eq!(output.status.code(), read.status.code(), "{arguments:?}");
    }
}

#[test]
fn an_error_that_nobody_reads_is_a_failure_all_the_same() {
    let wrong = file("wrong.toml", "interfaces = 1\n");
    let arguments = ["check", wrong.to_str().unwrap()];
    let output = evenkeel(&arguments).stderr(unread()).output().unwrap();
    let code = output.status.code();
    assert_eq!(code, evenkeel(&arguments).output().unwrap().status.code());
    assert_eq!(code, Some(1), "a panic would be 101");
}

#[test]
fn the_example_that_is_printed_is_valid() {
    let example = evenkeel(&["config", "example"]).output().unwrap();
    let path = file("example.toml", &String::from_utf8(example.stdout).unwrap());
    let arguments = ["check", "--json", path.to_str().unwrap()];
    let output = evenkeel(&arguments).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"valid\": true"), "{text}");
}

#[test]
fn what_is_wrong_is_told_as_json_with_the_exit_code_of_the_text() {
    let wrong = file("wrong-field.toml", "interface = 1\n");
    let arguments = ["check", "--json", wrong.to_str().unwrap()];
    let output = evenkeel(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("did you mean `interfaces`?"), "{text}");
}
