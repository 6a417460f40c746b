//! Shell completions and man pages, as packages ship them.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use testkit::skip::skipped;

fn evenkeel(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    let output = command.args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Runs a program with a text as its standard input.
fn fed(program: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// What bash would offer for a line's last word.
fn offered(words: &str) -> Vec<String> {
    let script = evenkeel(&["completions", "bash"])
        + &format!(
            "COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _evenkeel evenkeel \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
    let output = fed("bash", &[], &script);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    assert_eq!(offered("evenkeel relo"), ["reload"]);
    let all = offered("evenkeel ''");
    for command in ["run", "stop", "status", "decap"] {
        assert!(all.contains(&command.to_owned()), "{all:?}");
    }
    assert!(!all.contains(&"completions".to_owned()), "hidden: {all:?}");
    assert_eq!(offered("evenkeel run --conf"), ["--config"]);
    let modes = offered("evenkeel run --xdp ''");
    assert_eq!(modes, ["auto", "native", "generic"]);
}

#[test]
fn the_shells_accept_their_completions() {
    for (shell, sign) in [
        ("bash", "complete -F _evenkeel"),
        ("zsh", "#compdef evenkeel"),
        ("fish", "complete -c evenkeel"),
    ] {
        let text = evenkeel(&["completions", shell]);
        assert!(text.contains(sign), "{shell}");
        if is_there(shell) {
            let output = fed(shell, &["-n"], &text);
            assert!(output.status.success(), "{shell}: {output:?}");
        } else {
            // Nobody needs more than one shell to work on this.
            eprintln!("not checked: there is no {shell}");
        }
    }
}

#[test]
fn every_command_has_a_man_page_that_groff_accepts() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("man");
    let _ = fs::remove_dir_all(&folder);
    evenkeel(&["man", folder.to_str().unwrap()]);
    let has_groff = is_there("groff");
    if !has_groff {
        skipped("there is no groff");
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        if has_groff {
            let text = fs::read_to_string(&path).unwrap();
            let output = fed("groff", &["-man", "-ww", "-z", "-Tutf8"], &text);
            assert!(output.status.success(), "{}: {output:?}", path.display());
            assert!(output.stderr.is_empty(), "{}: {output:?}", path.display());
        }
    }
    for name in ["evenkeel.1", "evenkeel-run.1", "evenkeel-lab-up.1"] {
        assert!(names.iter().any(|it| it == name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("completions")));
}
