//! What a running instance tells, and what becomes of it and of commands that nobody listens to.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{PipeWriter, pipe};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use control::status::TransitionStatus;
use evenkeel_tests::support::{Folder, PATIENCE, PORT, Scene, Service, evenkeel, eventually};
use lab::fetch::{FetchOptions, HoldOptions, Holding, Target};
use lab::topology::{L2DSR, TUTORIAL};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use testkit::builder::PacketBuilder;
use wire::tcp::SYN;

const CONNECTIONS: usize = 100;

/// A service whose backends are in these states.
fn service(scene: &Scene, backends: &[(&str, &str)]) -> [Service; 1] {
    let vip = SocketAddr::new((*scene.vip().ip()).into(), PORT);
    let service = Service::tcp(vip, "l2-dsr").with("transition_window = \"2s\"");
    let service = backends.iter().fold(service, |service, (host, state)| {
        let address = scene.address(host);
        service.backend(&format!("address = \"{address}\", state = \"{state}\""))
    });
    [service]
}

/// Waits until the instance says this of its transitions.
fn until(scene: &Scene, what: &str, holds: impl Fn(&TransitionStatus) -> bool) -> TransitionStatus {
    eventually(what, PATIENCE, || {
        let transitions = scene.status().transitions;
        holds(&transitions).then_some(transitions)
    })
}

fn text(scene: &Scene) -> String {
    let finished = scene.command("status");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished.stdout
}

#[test]
fn a_change_is_told_from_its_first_slot_to_its_last_flow() {
    let mut scene = Scene::new(&L2DSR, "status");
    scene.balance(&service(&scene, &[("h2", "up"), ("h3", "up")]));
    assert!(text(&scene).contains("\nchanges   none under way, and none has cost a flow\n"));
    let options = HoldOptions {
        lasting: Duration::from_secs(600),
        every: Duration::from_millis(200),
        ..HoldOptions::new(FetchOptions {
            concurrency: CONNECTIONS,
            ..FetchOptions::new(Target::root(scene.vip().into()))
        })
    };
    let held = Holding::start(&scene.client(), options).expect("connections are held");

    scene.reload(&service(&scene, &[("h3", "up")]));
    let now = scene.status().transitions;
    let slots = scene.status().services[0].slots;
    assert!(now.slots_in_transition > u64::from(slots) / 3, "{now:?}");
    assert_eq!((now.slots_settling, now.backends_leaving), (0, 1));
    let told = text(&scene);
    for part in [
        &format!("slots in transition: {}", now.slots_in_transition),
        "backends leaving: 1",
        &format!("of {}; not entered", now.exceptions_limit),
    ] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
    // Flows are entered as they speak, and swept slots settle when the window is over.
    let kept = until(&scene, "flows that are kept", |now| now.slots_settling > 0);
    assert!(kept.kept_by_previous > 0, "{kept:?}");
    assert!(kept.exceptions >= kept.kept_by_previous, "{kept:?}");
    assert_eq!((kept.slots_in_transition, kept.flows_lost), (0, 0));

    // The one that leaves is back, only to be dead.
    scene.reload(&service(&scene, &[("h2", "down"), ("h3", "up")]));
    let lost = scene.status().transitions;
    assert_eq!(lost.flows_lost, kept.kept_by_previous);
    assert_eq!((lost.backends_leaving, lost.refusals), (0, 0));
    let line = format!("lost because their backend died: {}", lost.flows_lost);
    assert!(text(&scene).contains(&line), "{line}");
    drop(held);
}

/// A pipe that nobody reads any more.
fn unread() -> PipeWriter {
    let (reader, writer) = pipe().expect("there are file descriptors left");
    drop(reader);
    writer
}

/// A command whose output nobody reads ends well and without a word.
fn assert_quiet(mut command: Command) {
    let command = command.stdin(Stdio::null()).stdout(unread());
    let output = command.output().expect("it can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), &*stderr),
        (Some(0), ""),
        "{command:?}"
    );
}

#[test]
fn a_status_that_nobody_reads_is_no_error() {
    let mut scene = Scene::new(&TUTORIAL, "unread");
    let flags = "veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2";
    scene.run(flags);
    for arguments in ["status", "status --json"] {
        let mut command = scene.balancer_host().command(evenkeel());
        command.args(arguments.split_whitespace());
        assert_quiet(command);
    }
}

#[test]
fn an_instance_that_nobody_listens_to_runs_on() {
    let scene = Scene::new(&TUTORIAL, "alone");
    let mut command = scene.balancer_host().command(evenkeel());
    command
        .args("run veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2".split_whitespace())
        .stdin(Stdio::null())
        .stdout(unread())
        .stderr(unread());
    let mut instance = Ended(command.spawn().expect("it can be started"));
    eventually("an answer", PATIENCE, || {
        let finished = scene.command("status --json");
        (finished.code == Some(0)).then_some(())
    });
    // It has something to say at its end, too.
    let process = Pid::from_raw(instance.0.id().cast_signed());
    kill(process, Signal::SIGTERM).expect("it is there");
    let status = eventually("its end", PATIENCE, || {
        instance.0.try_wait().expect("it is ours")
    });
    assert_eq!(status.code(), Some(0));
    assert!(scene.programs().is_empty());
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has ended already if all is well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_replay_that_nobody_reads_still_writes_its_capture() {
    let folder = Folder::new("unreadreplay");
    let input = folder.path().join("in.pcap");
    let output = folder.path().join("out.pcap");
    let replay = |out: &[&Path]| {
        let mut command = Command::new(evenkeel());
        let flags = "replay --service tcp://10.0.0.10:8000 --backend 10.0.0.2@de:ad:be:ef:00:02";
        command.args(flags.split_whitespace()).arg("--in");
        command.arg(&input).args(out);
        command
    };
    // What is told of them fits a buffer, or does not.
    for packets in [3, 500] {
        write_capture(&input, packets);
        assert_quiet(replay(&[]));
        let out = [Path::new("--out"), &output];
        assert_quiet(replay(&out));
        let unread = fs::read(&output).expect("a capture");
        let read = replay(&out).output().expect("it can be started");
        assert!(read.status.success());
        let same = unread == fs::read(&output).expect("a capture");
        assert!(same, "{packets} packets");
    }
}

/// SYNs of as many clients.
fn write_capture(path: &Path, packets: u16) {
    let header = PcapHeader {
        datalink: DataLink::ETHERNET,
        ..PcapHeader::default()
    };
    let file = File::create(path).expect("a capture");
    let mut writer = PcapWriter::with_header(file, header).expect("a capture");
    for port in 40_000..40_000 + packets {
        let client = SocketAddrV4::new([100, 64, 0, 1].into(), port);
        let service = SocketAddrV4::new([10, 0, 0, 10].into(), 8000);
        let frame = PacketBuilder::tcp(client, service).flags(SYN).build();
        let packet = PcapPacket::new(Duration::ZERO, frame.len() as u32, &frame);
        writer.write_packet(&packet).expect("a packet");
    }
}
