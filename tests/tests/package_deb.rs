//! The Debian package: installed, upgraded, removed and purged in a copy of this machine that goes
//! with the test.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::support::{Folder, Overlay, evenkeel, finish, skipped, tag};

/// Notes what it is asked, and does not restart anything if /fail is there.
const SYSTEMCTL: &str =
    "#!/bin/sh\necho \"$*\" >>/systemctl\n[ ! -e /fail ] || [ $1 != try-restart ]\n";

/// A machine on which systemd seems to run.
struct Machine {
    overlay: Overlay,
    folder: Folder,
}

impl Machine {
    /// `None`: this is no Debian.
    fn new(test: &str) -> Option<Self> {
        if Command::new("dpkg-deb").arg("--version").output().is_err() {
            skipped("there is no dpkg-deb");
            return None;
        }
        let folder = Folder::new(&tag(test));
        let overlay = Overlay::new(&folder);
        let machine = Self { overlay, folder };
        // The index of man pages takes ten seconds for each package.
        machine.sh("rm -f /var/lib/man-db/auto-update");
        machine.sh("mkdir -p /run/systemd/system /run/evenkeel /sys/fs/bpf /usr/local/sbin");
        machine.sh(&format!(
            "cat >/usr/local/sbin/systemctl <<'END'\n{SYSTEMCTL}END\n\
             chmod 755 /usr/local/sbin/systemctl; : >/systemctl"
        ));
        Some(machine)
    }

    fn sh(&self, script: &str) -> String {
        self.overlay.output(script)
    }

    fn is(&self, test: &str) -> bool {
        self.overlay.run(&format!("test {test}")).code == Some(0)
    }

    /// Builds the package of this version where the machine can read it.
    fn package(&self, version: &str) -> PathBuf {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/debian/build");
        let mut command = Command::new("env");
        // What is small is not the question here.
        command.arg("DPKG_DEB_COMPRESSOR_TYPE=none").arg(build);
        command.arg(evenkeel()).arg(self.folder.path()).arg(version);
        let finished = finish(&command);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let line = finished.stdout.trim();
        let path = line.split('\'').nth(3).expect("the package's path");
        path.into()
    }

    fn dpkg(&self, arguments: &str) {
        let finished = self.overlay.run(&format!("dpkg {arguments}"));
        assert_eq!(finished.code, Some(0), "dpkg {arguments}: {finished:?}");
        let warnings = finished.stderr.lines();
        let warnings: Vec<_> = warnings.filter(|line| line.contains("warning")).collect();
        assert_eq!(warnings, [""; 0]);
    }

    fn install(&self, version: &str) {
        self.dpkg(&format!("-i {}", self.package(version).display()));
    }

    /// What systemctl was asked since the last call.
    fn asked(&self) -> Vec<String> {
        let text = self.sh("cat /systemctl; : >/systemctl");
        text.lines().map(str::to_owned).collect()
    }
}

const CONFIG: &str = "/etc/evenkeel/evenkeel.toml";
const RESTART: &str = "try-restart evenkeel.service evenkeel@*.service";

#[test]
fn an_installed_package_has_everything_and_starts_nothing() {
    let Some(machine) = Machine::new("debinstall") else {
        return;
    };
    machine.install("0.1.0");
    assert_eq!(machine.asked(), ["daemon-reload"]);
    assert!(machine.sh("evenkeel --version").starts_with("evenkeel "));
    let checked = machine.sh(&format!("evenkeel check {CONFIG}"));
    assert!(checked.contains("services: 0"), "{checked}");
    let user = machine.sh("getent passwd evenkeel");
    assert!(user.trim().ends_with(":/usr/sbin/nologin"), "{user}");
    for path in [
        "/usr/lib/systemd/system/evenkeel.service",
        "/usr/lib/systemd/system/evenkeel@.service",
        "/usr/lib/systemd/system/evenkeel-decap@.service",
        "/usr/share/man/man1/evenkeel-run.1.gz",
        "/usr/share/bash-completion/completions/evenkeel",
        "/usr/share/doc/evenkeel/copyright",
        "/usr/share/doc/evenkeel/operations.md",
    ] {
        assert!(machine.is(&format!("-s {path}")), "{path}");
    }
    // The units as they lie there, with their user, program and man page.
    let units = "/usr/lib/systemd/system/evenkeel.service";
    let verified = machine
        .overlay
        .run(&format!("systemd-analyze verify {units}"));
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    assert_eq!(machine.sh("dpkg --verify evenkeel"), "");
    assert_eq!(machine.sh("dpkg --audit"), "");
}

#[test]
fn an_upgrade_exchanges_the_process_and_keeps_the_configuration() {
    let Some(machine) = Machine::new("debupgrade") else {
        return;
    };
    machine.install("0.1.0");
    let mine = "interfaces = [\"eth0\"]";
    machine.sh(&format!("echo '{mine}' >{CONFIG}"));
    let _earlier = machine.asked();
    machine.install("0.2.0~beta1");
    assert_eq!(machine.asked(), ["daemon-reload", "daemon-reload", RESTART]);
    let version = machine.sh("dpkg-query -W -f '${Version}' evenkeel");
    assert_eq!(version, "0.2.0~beta1");
    assert_eq!(machine.sh(&format!("cat {CONFIG}")).trim(), mine);

    // One that does not start again is no reason to leave the package half installed.
    machine.sh(": >/fail");
    machine.install("0.2.0");
    assert_eq!(machine.sh("dpkg --audit"), "");
}

#[test]
fn a_removed_package_leaves_the_configuration_and_a_purged_one_nothing() {
    let Some(machine) = Machine::new("debremove") else {
        return;
    };
    machine.install("0.1.0");
    // What a process left that was killed.
    machine.sh("mkdir -p /sys/fs/bpf/evenkeel/edge%2e1/maps /sys/fs/bpf/evenkeel/edge%2e1/links");
    let _earlier = machine.asked();
    machine.dpkg("-r evenkeel");
    assert_eq!(
        machine.asked(),
        [
            "stop evenkeel.service evenkeel@*.service evenkeel-decap@*.service",
            "disable evenkeel.service evenkeel@.service evenkeel-decap@.service",
            "daemon-reload",
        ]
    );
    assert!(!machine.is("-e /usr/bin/evenkeel"));
    assert!(!machine.is("-e /sys/fs/bpf/evenkeel"), "it was stopped");
    assert!(machine.is(&format!("-e {CONFIG}")));
    machine.dpkg("-P evenkeel");
    for path in ["/etc/evenkeel", "/usr/share/doc/evenkeel", "/run/evenkeel"] {
        assert!(!machine.is(&format!("-e {path}")), "{path}");
    }
    assert!(machine.is("-d /run/systemd/system"));
}
