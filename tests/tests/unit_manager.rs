//! What the unit does under a real systemd: a restart only exchanges the process, a stop detaches.
//!
//! A user's service manager in namespaces of its own runs the unit's own lines about starting and
//! ending, with a stand-in for the program that notes what it is asked.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::Command;

use evenkeel_tests::support::{Folder, Groups, Unit, finish, skipped, tag};

const SYSTEMD: &str = "/lib/systemd/systemd";

/// `run` is ready at once and ends at SIGTERM.
const PROGRAM: &str = r#"#!/bin/sh
echo "$*" | cut -d' ' -f1-2 >>"$LOG"
[ "$1" = run ] || exit 0
systemd-notify --ready
trap 'echo ended >>"$LOG"; exit 0' TERM
while :; do sleep 0.1; done
"#;

/// Runs `$1` once the manager is there, as root of namespaces that end with it.
const MANAGER: &str = r#"
mount -t tmpfs tmpfs /run/systemd && mkdir /run/systemd/system || exit 1
systemd --user >"$XDG_RUNTIME_DIR/log" 2>&1 &
for try in $(seq 100); do
  systemctl --user is-active default.target >/dev/null 2>&1 && break
  sleep 0.1
done
eval "$1"
"#;

/// The unit's own lines, for a user's manager and the stand-in.
fn unit(program: &Path) -> String {
    let unit = Unit::read("evenkeel.service");
    let mut text = String::from("[Service]\nNotifyAccess=all\n");
    for setting in ["Type", "Restart", "ExecStart", "ExecReload", "ExecStop"] {
        for line in unit.lines(setting) {
            let line = line.trim_start_matches('+');
            let line = line.replace("/usr/bin/evenkeel", &program.display().to_string());
            let line = line.replace("systemctl ", "systemctl --user ");
            text += &format!("{setting}={line}\n");
        }
    }
    text + "RestartSec=0\n"
}

/// What the stand-in was asked while a script ran.
fn asked(script: &str) -> Option<Vec<String>> {
    let groups = Path::new(SYSTEMD).exists().then(Groups::new).flatten();
    let Some(groups) = groups else {
        skipped("there is no systemd, or no control group for it");
        return None;
    };
    let folder = Folder::new(&tag("manager"));
    let program = folder.write("evenkeel", PROGRAM);
    let made = Command::new("chmod").arg("755").arg(&program).status();
    assert!(made.unwrap().success());
    let _in_the_folder = folder.write("evenkeel.service", unit(&program));
    for target in ["default", "basic", "sysinit", "shutdown"] {
        let text = format!("[Unit]\nDescription={target}\nDefaultDependencies=no\n");
        let _in_the_folder = folder.write(&format!("{target}.target"), text);
    }
    let log = folder.write("asked", "");
    let join = groups.join();
    let place = folder.path().display();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["--propagation", "private", "env"]);
    command.arg(format!("XDG_RUNTIME_DIR={place}"));
    command.arg(format!("SYSTEMD_UNIT_PATH={place}"));
    command.arg(format!("LOG={}", log.display()));
    command.arg("PATH=/lib/systemd:/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["sh", "-c", &format!("{join}\n{MANAGER}"), "sh", script]);
    let finished = finish(&command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let text = fs::read_to_string(log).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

const RUN: &str = "run --keep";
const ENDED: &str = "ended";

#[test]
fn a_restart_exchanges_the_process_and_a_stop_detaches() {
    let script = "s() { systemctl --user \"$@\" evenkeel || exit 1; }
         s start; s restart; s try-restart; s reload; s stop; s start; s stop";
    let Some(asked) = asked(script) else { return };
    let reload = "reload --instance";
    let stop = "stop --instance";
    // The stand-in does not heed `stop`, so systemd ends it.
    let expected = [
        RUN, ENDED, RUN, ENDED, RUN, reload, stop, ENDED, RUN, stop, ENDED,
    ];
    assert_eq!(asked, expected);
}

#[test]
fn a_process_that_is_killed_is_started_again_and_nothing_is_detached() {
    let script = "systemctl --user start evenkeel || exit 1
         first=$(systemctl --user show -P MainPID evenkeel)
         [ \"$first\" -gt 1 ] && kill -9 \"$first\" || exit 1
         for try in $(seq 100); do
           now=$(systemctl --user show -P MainPID evenkeel)
           systemctl --user is-active -q evenkeel && [ \"$now\" != \"$first\" ] && exit 0
           sleep 0.1
         done; exit 1";
    let Some(asked) = asked(script) else { return };
    assert_eq!(asked, [RUN, RUN]);
}
