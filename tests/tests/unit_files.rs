//! The systemd units of deploy/systemd: they agree with each other, and systemd understands them.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::support::{Folder, Unit, finish, skipped, tag};

const PLAIN: &str = "evenkeel.service";
const NAMED: &str = "evenkeel@.service";
const DECAP: &str = "evenkeel-decap@.service";

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    folder.join(name)
}

/// Settings, without comments.
fn settings(name: &str) -> Vec<String> {
    let text = fs::read_to_string(path(name)).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn an_instance_by_name_runs_as_the_one_without() {
    let named: Vec<_> = settings(PLAIN)
        .into_iter()
        .map(|line| match line.as_str() {
            "Description=evenkeel load balancer" => format!("{line}, instance %i"),
            _ => line
                .replace("--instance default", "--instance %i")
                .replace("/etc/evenkeel/evenkeel.toml", "/etc/evenkeel/%i.toml"),
        })
        .collect();
    assert_eq!(settings(NAMED), named);
}

#[test]
fn decap_has_the_same_privileges() {
    let is_privilege = |line: &String| {
        let words = ["Protect", "Private", "Restrict", "Capabilit", "SystemCall"];
        let others = ["NoNew", "User=", "Group=", "UMask=", "Memory", "Lock"];
        words.iter().any(|word| line.contains(word))
            || others.iter().any(|word| line.starts_with(word))
    };
    let of = |name| {
        let mut lines = settings(name);
        lines.retain(is_privilege);
        lines
    };
    assert!(of(PLAIN).len() > 20);
    assert_eq!(of(DECAP), of(PLAIN));
}

#[test]
fn what_can_be_gained_is_what_is_given() {
    for name in [PLAIN, NAMED, DECAP] {
        let unit = Unit::read(name);
        let given = unit.words("AmbientCapabilities");
        assert_eq!(given, unit.words("CapabilityBoundingSet"), "{name}");
        assert_eq!(unit.lines("User"), ["evenkeel"], "{name}");
    }
}

/// systemd-analyze comes with systemd, which need not run.
#[test]
fn systemd_understands_them() {
    let folder = Folder::new(&tag("units"));
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for (name, instance) in [
        (PLAIN, PLAIN),
        (NAMED, "evenkeel@edge-1.service"),
        (DECAP, "evenkeel-decap@eth0.service"),
    ] {
        // It wants to see the program.
        let text = fs::read_to_string(path(name)).unwrap();
        verify.arg(folder.write(instance, text.replace("/usr/bin/evenkeel ", "/bin/true ")));
    }
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        skipped("there is no systemd-analyze");
        return;
    }
    let finished = finish(&verify);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(finished.stderr, "");
}

#[test]
fn a_container_has_the_same_capabilities() {
    let compose = fs::read_to_string(path("../container/compose.yaml")).unwrap();
    let given = Unit::read(PLAIN);
    let given = given.words("AmbientCapabilities").join(", ");
    let line = format!("cap_add: [{}]", given.replace("CAP_", ""));
    assert!(compose.contains(&line), "{line}");
}
