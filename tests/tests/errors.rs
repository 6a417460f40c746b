//! Every error of the command line: it ends with a failure, says what was expected, what was
//! found and what to do, and leaves nothing behind.

#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use evenkeel_tests::support::{Finished, Folder, Scene, evenkeel, finish, xdp_programs};
use lab::topology::TUTORIAL;

const SERVICE: &str = "--service tcp://10.0.0.10:8000";
/// nobody.
const UNPRIVILEGED: u32 = 65_534;

/// Checks that a command failed with a message that has all these parts, each of which may
/// stand on a line of its own.
fn assert_refused(what: &str, finished: &Finished, parts: &[&str]) {
    let Finished { code, stderr, .. } = finished;
    assert!(
        code.is_some_and(|code| code != 0),
        "`{what}` ended with {code:?}: {finished:?}"
    );
    for part in parts {
        assert!(stderr.contains(part), "`{part}` is not in: {stderr}");
    }
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// `evenkeel run ARGUMENTS` in a lab's load balancer: refused, and nothing is left behind.
fn assert_run_refused(scene: &Scene, arguments: &str, parts: &[&str]) {
    let finished = scene.command(&format!("run {arguments}"));
    assert_refused(arguments, &finished, parts);
    assert_eq!(finished.stdout, "", "`{arguments}` printed something");
    assert!(scene.programs().is_empty(), "`{arguments}` left a program");
    assert!(!scene.has_socket(), "`{arguments}` left a socket");
}

/// `evenkeel ARGUMENTS`, which needs no lab: refused.
fn assert_command_refused(arguments: &str, parts: &[&str]) {
    let mut command = Command::new(evenkeel());
    command.args(arguments.split_whitespace());
    assert_refused(arguments, &finish(&command), parts);
}

#[test]
fn without_root_each_command_that_needs_it_says_so() {
    let folder = Folder::new("errors");
    // The workspace may be in a place that others cannot look into.
    let copy = folder.path().join("evenkeel");
    fs::copy(evenkeel(), &copy).unwrap();
    let capture = folder.write("empty.pcap", EMPTY_PCAP);
    let replay = format!(
        "replay {SERVICE} --backend 10.0.0.2 --in {}",
        capture.display()
    );
    for (arguments, parts) in [
        (
            &*format!("run lo {SERVICE} --backend 10.0.0.2"),
            ["expected: root", "sudo"],
        ),
        // Whether one runs may everybody know; network_api.rs has what it says if one does.
        ("status", ["no instance", "evenkeel run"]),
        (&replay, ["expected: root", "sudo"]),
        ("lab up tutorial", ["needs root", "sudo"]),
    ] {
        let output = Command::new(&copy)
            .args(arguments.split_whitespace())
            .uid(UNPRIVILEGED)
            .gid(UNPRIVILEGED)
            .output()
            .unwrap();
        assert_refused(arguments, &output.into(), &parts);
    }
}

#[test]
fn interfaces_that_cannot_be_used_are_refused() {
    let scene = Scene::new(&TUTORIAL, "errif");
    for (interfaces, parts) in [
        (
            "eth9",
            &["no interface \"eth9\"", "there are: lo, veth6"][..],
        ),
        ("veth6 eth9", &["no interface \"eth9\""]),
        ("lo", &["lo has no MAC address", "Ethernet"]),
        (
            "veth6 veth6",
            &["interface veth6 is given twice", "expected it once"],
        ),
        (
            "an-interface-name-too-long",
            &["has 26 bytes", "expected at most 15"],
        ),
        (
            "",
            &["expected at least one interface", "evenkeel run eth0"],
        ),
    ] {
        let arguments = format!("{interfaces} {SERVICE} --backend 10.0.0.2");
        assert_run_refused(&scene, &arguments, parts);
    }
}

#[test]
fn an_interface_with_another_xdp_program_is_refused_and_keeps_it() {
    let scene = Scene::new(&TUTORIAL, "errxdp");
    let switch = scene.host("switch");
    let before = xdp_programs(&switch, "to-lb");
    assert_eq!(before.len(), 1, "the lab's own program");
    let mut command = switch.command(evenkeel());
    command.args(["run", "to-lb", "--service", "tcp://10.0.0.10:8000"]);
    command.args(["--backend", "10.0.0.2"]);
    let id = format!("id {}", before[0]);
    assert_refused(
        "run to-lb",
        &finish(&command),
        &[
            "to-lb has an XDP program already",
            &id,
            "name pass, native mode",
            "ip link set dev to-lb xdpdrv off",
        ],
    );
    assert_eq!(xdp_programs(&switch, "to-lb"), before);
}

#[test]
fn flags_that_make_no_sense_are_pointed_at() {
    let scene = Scene::new(&TUTORIAL, "errflag");
    for (flags, parts) in [
        (
            "--service tcp://10.0.0.10:8000 --backend 10.0.0.2@de:ad",
            &[
                "\"de:ad\" is not a MAC",
                "expected a MAC such as de:ad:be:ef:00:02",
            ][..],
        ),
        (
            "--service tcp://10.0.0.10:0 --backend 10.0.0.2",
            &["port 0 cannot be used", "from 1 to 65535"],
        ),
        (
            "--service tcp://10.0.0.10:65536 --backend 10.0.0.2",
            &["port 65536 is too large", "from 1 to 65535"],
        ),
        (
            "--service tcp://10.0.0.10:8000 --backend 10.0.0.2:0",
            &["port 0 cannot be used", "from 1 to 65535"],
        ),
        (
            "--service tcp://10.0.0.10 --backend 10.0.0.2",
            &["no port", "tcp://10.0.0.10:80"],
        ),
        (
            "--service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 2001:db8::1",
            &[
                "backend 2001:db8::1 is IPv6, its service IPv4",
                "expected an IPv4 address",
            ],
        ),
        (
            "--service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 10.0.0.2",
            &["backend 10.0.0.2:8000 is given twice", "larger weight"],
        ),
        (
            "--service tcp://10.0.0.10:8000 --backend 10.0.0.2 --weight 1 --weight 2",
            &["2 --weight for 1 --backend", "one --weight for each"],
        ),
        (
            "--service tcp://10.0.0.10:8000",
            &["--backend <ADDRESS[:PORT][@MAC]>", "not provided"],
        ),
        ("", &["--config <FILE>|--service <URL>", "not provided"]),
    ] {
        assert_run_refused(&scene, &format!("veth6 {flags}"), parts);
    }
}

#[test]
fn configurations_that_cannot_be_read_are_refused() {
    let scene = Scene::new(&TUTORIAL, "errread");
    let folder = Folder::new("errread");
    let refused = |path: &Path, parts: &[&str]| {
        assert_run_refused(&scene, &format!("--config {}", path.display()), parts);
    };
    let missing = folder.path().join("missing.toml");
    refused(&missing, &["missing.toml", "there is no such file"]);
    refused(folder.path(), &["it is a directory", "one TOML file"]);
    let latin1 = folder.write("latin1.toml", b"# caf\xe9\n");
    refused(&latin1, &["not UTF-8", "on line 1", "save it as UTF-8"]);
    let syntax = folder.write("syntax.toml", "seed = 1\n[[service]\n");
    refused(&syntax, &["not TOML", "syntax.toml:2:11", "expected `]`"]);
}

#[test]
fn configurations_that_make_no_sense_are_pointed_at() {
    let scene = Scene::new(&TUTORIAL, "errconf");
    let folder = Folder::new("errconf");
    for (name, service, parts) in [
        (
            "unknown.toml",
            "address = \"tcp://10.0.0.10:8000\"\nbackend = [\"10.0.0.2\"]",
            &[
                "unknown field `backend`",
                "unknown.toml:4:1",
                "did you mean `backends`?",
            ][..],
        ),
        (
            "twice.toml",
            "address = \"tcp://10.0.0.10:8000\"\nbackends = [\"10.0.0.2\"]\n[[service]]\n\
             address = \"tcp://10.0.0.10:8000\"\nbackends = [\"10.0.0.3\"]",
            &[
                "service tcp://10.0.0.10:8000 is given twice",
                "twice.toml:6:12",
                "first on line 3",
            ],
        ),
        (
            "family.toml",
            "address = \"tcp://10.0.0.10:8000\"\nbackends = [\"10.0.0.2\", \"2001:db8::1\"]",
            &[
                "backend 2001:db8::1 is IPv6, its service IPv4",
                "family.toml:4:26",
            ],
        ),
    ] {
        let path = folder.write(
            name,
            format!("interfaces = [\"veth6\"]\n[[service]]\n{service}\n"),
        );
        let config = path.display();
        assert_run_refused(&scene, &format!("--config {config}"), parts);
        assert_command_refused(&format!("check {config}"), parts);
    }
}

#[test]
fn more_backends_than_fit_are_refused() {
    let folder = Folder::new("errmany");
    for (backends, ring, parts) in [
        (
            262_145,
            "",
            ["more than 262144 backends", "expected at most 262144"],
        ),
        (
            1_025,
            "ring_slots = 1024\n",
            ["1024 slots for 1025 backends", "one slot for each backend"],
        ),
    ] {
        let mut text = format!("[[service]]\naddress = \"tcp://10.0.0.10:80\"\n{ring}backends = [");
        for index in 0..backends {
            let [_, a, b, c] = u32::to_be_bytes(index);
            write!(text, "\"10.{}.{b}.{c}\",", a + 1).unwrap();
        }
        let path = folder.write("many.toml", text + "]\n");
        assert_command_refused(&format!("check {}", path.display()), &parts);
    }
}

#[test]
fn asking_an_instance_that_does_not_run_is_refused() {
    let scene = Scene::new(&TUTORIAL, "errstat");
    let finished = scene.command("status");
    let name = format!(
        "no instance {} is running",
        scene.balancer_host().namespace()
    );
    assert_refused("status", &finished, &[&name, "evenkeel run"]);
    let finished = scene.command("status --instance nobody --json");
    assert_refused(
        "status",
        &finished,
        &["no instance nobody is running", "evenkeel run"],
    );
}

#[test]
fn names_that_cannot_be_an_instances_are_refused() {
    let long = "x".repeat(65);
    for name in ["a/b", "..", "", &long] {
        for command in [
            "status",
            "run lo --service tcp://10.0.0.10:8000 --backend 10.0.0.2",
        ] {
            let arguments = format!("{command} --instance={name}");
            let expected = "expected 1 to 64 letters, digits, '-', '_' and '.'";
            assert_command_refused(&arguments, &[&format!("{name:?}"), expected]);
        }
    }
}

/// The header of a capture of Ethernet frames, little-endian, and nothing after it.
const EMPTY_PCAP: &[u8] = b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\0\0\0\0\0\0\0\0\0\0\x04\x00\x01\0\0\0";

#[test]
fn what_is_not_a_capture_is_not_replayed() {
    let folder = Folder::new("errcap");
    let not_a_capture = folder.write("text.pcap", "these are not the packets you look for");
    let cut = folder.write("cut.pcap", EMPTY_PCAP.get(..20).unwrap());
    let mut raw_ip = EMPTY_PCAP.to_vec();
    raw_ip[20] = 101;
    let raw_ip = folder.write("rawip.pcap", raw_ip);
    let missing = folder.path().join("missing.pcap");
    for (path, parts) in [
        (
            &*not_a_capture,
            &["expected a pcap or pcapng capture", "magic", "tcpdump -w"][..],
        ),
        (
            &cut,
            &["expected a pcap or pcapng capture", "ends", "tcpdump -w"],
        ),
        (&raw_ip, &["expected packets with Ethernet headers", "RAW"]),
        (&missing, &["missing.pcap", "no such file"]),
        (folder.path(), &["it is a directory", "expected a file"]),
    ] {
        let arguments = format!(
            "replay {SERVICE} --backend 10.0.0.2 --in {}",
            path.display()
        );
        assert_command_refused(&arguments, parts);
    }
    let empty = folder.write("empty.pcap", EMPTY_PCAP);
    let arguments = format!(
        "replay {SERVICE} --backend 10.0.0.2 --in {} --out /nowhere/out.pcap",
        empty.display()
    );
    assert_command_refused(&arguments, &["/nowhere/out.pcap", "no such directory"]);
}

#[test]
fn labs_and_hosts_that_do_not_exist_are_refused() {
    for (arguments, parts) in [
        (
            "lab up nothing",
            &["no topology `nothing`", "tutorial, crowd, routed"][..],
        ),
        (
            "lab run nothing",
            &["no topology `nothing`", "tutorial, crowd, routed"],
        ),
        (
            "lab run routed",
            &["expected `tutorial`", "evenkeel lab up routed"],
        ),
        ("lab up tutorial-UP", &["`UP` cannot be an instance tag"]),
        (
            "lab exec tutorial-nosuchlab client true",
            &["tutorial-nosuchlab is not up", "evenkeel lab up"],
        ),
        (
            "lab fetch http://example.org/",
            &["expected http://ADDRESS:PORT"],
        ),
    ] {
        assert_command_refused(arguments, parts);
    }
    let scene = Scene::new(&TUTORIAL, "errlab");
    let lab = scene
        .balancer_host()
        .namespace()
        .replace("ek-", "")
        .replace("-lb", "");
    assert_command_refused(
        &format!("lab exec {lab} nobody true"),
        &["has no host `nobody`", "client, lb, h2, h3"],
    );
    assert_command_refused(
        &format!("lab up {lab}"),
        &["already up", &format!("evenkeel lab down {lab}")],
    );
}

#[test]
fn packets_that_cannot_be_explained_are_refused() {
    for (packet, parts) in [
        (
            "--from 10.0.0.1 --to 10.0.0.10:8000",
            &["expected --from ADDRESS:PORT", "10.0.0.1"][..],
        ),
        (
            "--from 10.0.0.1:70000 --to 10.0.0.10:8000",
            &["'10.0.0.1:70000'", "--from <ADDRESS:PORT>"],
        ),
        (
            "--from [::1]:7000 --to 10.0.0.10:8000",
            &["expected addresses of one family", "::1"],
        ),
        (
            "--from 10.0.0.1:7000 --to 10.0.0.10:8000 --tcp bla",
            &["expected TCP flags out of syn", "\"bla\""],
        ),
    ] {
        let arguments = format!("explain {SERVICE} --backend 10.0.0.2 {packet}");
        assert_command_refused(&arguments, parts);
    }
}
