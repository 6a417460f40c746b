//! The unit as it is, with its user, capabilities and all that it takes away, run by a systemd in
//! namespaces of its own while connections are held.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use evenkeel_tests::support::{
    Folder, Groups, PATIENCE, Places, Scene, evenkeel, eventually, skipped, tag,
};
use lab::HostProcess;
use lab::fetch::{FetchOptions, HoldOptions, Holding};
use lab::topology::TUTORIAL;

const SYSTEMD: &str = "/lib/systemd/systemd";
const CONNECTIONS: usize = 100;

/// This machine's root with a layer above it, control groups as if there were no others, and
/// systemd: `$1` is the test's folder, `$2` the program, `$3` the instance.
const BOOT: &str = r#"
set -e
cd "$1"; mkdir layers; mount -t tmpfs tmpfs layers; mkdir layers/up layers/work layers/root
root=$1/layers/root
mount -t overlay overlay -o "lowerdir=/,upperdir=layers/up,workdir=layers/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"; mount -o remount,bind,ro "$root/proc/sys"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/test" "$root/etc/evenkeel"
mount --bind "$1" "$root/test"
cp "$2" "$root/usr/bin/evenkeel"
cp "$1/config.toml" "$root/etc/evenkeel/$3.toml"
cp "$1/evenkeel.sysusers" "$root/usr/lib/sysusers.d/evenkeel.conf"
echo "g ops -" >"$root/usr/lib/sysusers.d/ops.conf"
chroot "$root" systemd-sysusers evenkeel.conf ops.conf
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/test \
  SYSTEMD_LOG_TARGET=console chroot "$root" /lib/systemd/systemd --system --show-status=no
"#;

/// What is done to the service `$1`, the instance `$2`, in step with the test.
const STEPS: &str = r#"
s() { systemctl "$@" "$unit" || { echo "systemctl $* failed"; systemctl status "$unit"; }; }
reach() { : >"/test/$1"; while [ ! -e "/test/$2" ]; do sleep 0.05; done; }
status() {
  setpriv --reuid 64123 --regid "$1" --clear-groups evenkeel status --instance "$2" >/dev/null &&
    echo "group $1 is served"
}
unit=$1
s start
stat -c '%n %a %U %G' /run/evenkeel "/run/evenkeel/$2.sock"
status ops "$2"
status 64123 "$2"
pid=$(systemctl show -P MainPID "$unit")
grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$pid/status" | tr '\t' ' '
reach started restart
s restart
s reload
pid=$(systemctl show -P MainPID "$unit")
[ "$pid" -gt 1 ] && kill -9 "$pid"
for try in $(seq 200); do
  systemctl is-active -q "$unit" && [ "$(systemctl show -P MainPID "$unit")" != "$pid" ] && break
  sleep 0.05
done
systemctl show -p NRestarts,ActiveState "$unit"
reach restarted stop
s stop
systemctl show -p ActiveState "$unit"
reach stopped never
"#;

/// The units that systemd finds: ours, and the least that it wants to see.
fn write_units(folder: &Folder, instance: &str) {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    for name in ["evenkeel@.service", "evenkeel.sysusers"] {
        fs::copy(deploy.join(name), folder.path().join(name)).unwrap();
    }
    for target in ["basic", "sysinit", "shutdown", "network-online", "default"] {
        let mut text = format!("[Unit]\nDescription={target}\nDefaultDependencies=no\n");
        if target == "default" {
            text += "Wants=steps.service\n";
        }
        let _in_the_folder = folder.write(&format!("{target}.target"), text);
    }
    let steps = format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nStandardOutput=file:/test/log\n\
         StandardError=file:/test/log\nExecStart=/bin/sh /test/steps evenkeel@{instance}.service {instance}\n"
    );
    let _in_the_folder = folder.write("steps.service", steps);
    let _in_the_folder = folder.write("steps", STEPS);
    // What docs/operations.md says is to be added for `[api] group`.
    fs::create_dir(folder.path().join("evenkeel@.service.d")).unwrap();
    let group = "[Service]\nSupplementaryGroups=ops\n";
    let _in_the_folder = folder.write("evenkeel@.service.d/override.conf", group);
}

fn boot(scene: &Scene, groups: &Groups, instance: &str) -> HostProcess {
    let mut command = scene.balancer_host().command("unshare");
    command.args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork"]);
    command.args(["--kill-child", "--propagation", "private", "sh", "-c", BOOT]);
    command.arg("boot").arg(scene.folder().path());
    command.arg(evenkeel()).arg(instance);
    // The groups are joined outside, so that they are the roots inside.
    let mut outside = std::process::Command::new("sh");
    outside.args(["-c", &format!("{}exec \"$@\"", groups.join()), "sh"]);
    outside.arg(command.get_program()).args(command.get_args());
    HostProcess::spawn("systemd", outside).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_unit_starts_restarts_reloads_survives_a_kill_and_stops_and_no_connection_breaks() {
    let groups = Path::new(SYSTEMD).exists().then(Groups::new).flatten();
    let Some(groups) = groups else {
        skipped("there is no systemd, or no control group for it");
        return;
    };
    let scene = Scene::new(&TUTORIAL, "unit");
    let instance = tag("unit");
    let _places = Places::of(&instance);
    let config = "interfaces = [\"veth6\"]\n[[service]]\naddress = \"tcp://10.0.0.10:8000\"\n\
                  backends = [\"10.0.0.2\", \"10.0.0.3\"]\n[api]\ngroup = \"ops\"\n";
    let _in_the_folder = scene.folder().write("config.toml", config);
    write_units(scene.folder(), &instance);
    let mut systemd = boot(&scene, &groups, &instance);
    let log = || fs::read_to_string(scene.folder().path().join("log")).unwrap_or_default();
    let reached = |step: &str| {
        eventually(step, PATIENCE, || {
            let is_there = scene.folder().path().join(step).exists();
            assert!(!log().contains("failed"), "{}\n{}", log(), systemd.output());
            is_there.then_some(())
        });
    };
    reached("started");
    assert!(!log().contains("Uid: 0"), "{}", log());
    for line in ["NoNewPrivs: 1", "Seccomp: 2", "CapEff: 000000c000001000"] {
        assert!(log().contains(line), "{line}\n{}", log());
    }
    let socket = format!("/run/evenkeel/{instance}.sock 660 evenkeel ops");
    let folder = "/run/evenkeel 711 evenkeel evenkeel";
    for line in [&*socket, folder, "group ops is served"] {
        assert!(log().contains(line), "{line}\n{}", log());
    }
    assert!(!log().contains("group 64123 is served"), "{}", log());
    let options = HoldOptions {
        lasting: Duration::from_secs(600),
        every: Duration::from_millis(20),
        ..HoldOptions::new(FetchOptions {
            concurrency: CONNECTIONS,
            ..FetchOptions::new(scene.target())
        })
    };
    let holding = Holding::start(&scene.client(), options).unwrap();
    let _next = scene.folder().write("restart", "");
    reached("restarted");
    assert!(
        log().contains("NRestarts=1\nActiveState=active"),
        "{}",
        log()
    );
    let report = holding.finish().unwrap();
    assert_eq!(
        (report.opened, report.broken.len()),
        (CONNECTIONS, 0),
        "{report}"
    );
    assert!(report.answered > CONNECTIONS, "{report}");
    assert_eq!(scene.programs().len(), 1);
    let _next = scene.folder().write("stop", "");
    reached("stopped");
    assert!(log().contains("ActiveState=inactive"), "{}", log());
    assert!(scene.programs().is_empty());
    systemd.kill().unwrap();
}
