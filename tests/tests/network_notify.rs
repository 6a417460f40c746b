//! What the service manager is told, by sd_notify(3) with a socket of the test's own, and what its
//! log gets.

#![forbid(unsafe_code)]

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use evenkeel_tests::support::{PATIENCE, Scene, evenkeel};
use lab::HostProcess;
use lab::topology::TUTORIAL;
use nix::sys::signal::Signal;
use serde_json::Value;

/// A quarter of a second, in microseconds: two signs of life in that time.
const WATCHDOG_USEC: u64 = 250_000;

/// In the place of systemd.
struct Manager(UnixDatagram);

impl Manager {
    /// The next message that is no sign of life, as lines.
    fn next(&self) -> Vec<String> {
        loop {
            let message = self.any();
            if message != ["WATCHDOG=1"] {
                return message;
            }
        }
    }

    fn any(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).expect("a message in time");
        let text = std::str::from_utf8(&buffer[..length]).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    /// Expects messages with these lines, in this order, in the next ones.
    fn expect(&self, lines: [&str; 2]) {
        let message = self.next();
        assert_eq!(&message[..2], lines, "{message:?}");
    }
}

/// An instance that has a manager.
fn start(scene: &Scene, watchdog: Option<u64>) -> (Manager, HostProcess) {
    let path = scene.folder().path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket in the test's folder");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut command = scene.balancer_host().command(evenkeel());
    let config = scene.write_config("\"10.0.0.2\"");
    command.args(["run", "--config"]).arg(config);
    command.env("NOTIFY_SOCKET", &path);
    if let Some(watchdog) = watchdog {
        command.env("WATCHDOG_USEC", watchdog.to_string());
    }
    let process = HostProcess::spawn("lb", command).unwrap_or_else(|error| panic!("{error}"));
    (Manager(socket), process)
}

const ONE: &str = "STATUS=balancing on veth6: services: 1, backends: 1";
const TWO: &str = "STATUS=balancing on veth6: services: 1, backends: 2";
const READING: &str = "STATUS=reading the configuration again";

#[test]
fn it_is_told_of_the_start_of_reloads_and_of_the_end() {
    let scene = Scene::new(&TUTORIAL, "notify");
    let (manager, mut process) = start(&scene, None);
    manager.expect(["READY=1", ONE]);
    assert_eq!(scene.status().services.len(), 1, "packets flow by then");

    let _same_path = scene.write_config("\"10.0.0.2\", \"10.0.0.3\"");
    process.signal(Signal::SIGHUP).unwrap();
    let reloading = manager.next();
    assert_eq!(reloading[..2], ["RELOADING=1", READING]);
    // Since when, or Type=notify-reload takes it for an earlier reload's.
    let since = reloading[2].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(since.parse::<u64>().unwrap() > 0, "{reloading:?}");
    manager.expect(["READY=1", TWO]);

    let _same_path = scene.write_config("\"10.0.0.2\", \"nowhere\"");
    assert_eq!(scene.command("reload").code, Some(1));
    manager.expect(["RELOADING=1", READING]);
    let refused = manager.next();
    assert_eq!(refused[0], "READY=1", "it goes on as it was");
    let status = format!("{TWO}; the last reload was refused: ");
    assert!(refused[1].starts_with(&status), "{refused:?}");

    process.signal(Signal::SIGTERM).unwrap();
    manager.expect(["STOPPING=1", "STATUS=stopping"]);
    assert!(process.wait(PATIENCE).unwrap().unwrap().success());
}

#[test]
fn it_gets_a_sign_of_life_twice_in_the_time_it_waits() {
    let scene = Scene::new(&TUTORIAL, "watchdog");
    let (manager, process) = start(&scene, Some(WATCHDOG_USEC));
    manager.expect(["READY=1", ONE]);
    let signs = 12;
    let started = Instant::now();
    for _ in 0..signs {
        assert_eq!(manager.any(), ["WATCHDOG=1"]);
    }
    // The first comes at once. No more often than that, either.
    let expected = Duration::from_micros(WATCHDOG_USEC / 2) * (signs - 1);
    assert!(started.elapsed() > expected.mul_f64(0.9));
    drop(process);
}

#[test]
fn without_a_watchdog_there_is_no_sign_of_life() {
    let scene = Scene::new(&TUTORIAL, "nowatchdog");
    let (manager, process) = start(&scene, None);
    manager.expect(["READY=1", ONE]);
    process.signal(Signal::SIGTERM).unwrap();
    assert_eq!(manager.any()[0], "STOPPING=1");
}

#[test]
fn where_nobody_reads_along_the_log_is_lines_of_json() {
    let scene = Scene::new(&TUTORIAL, "jsonlog");
    let log = scene.folder().path().join("log");
    let mut run = scene.balancer_host().command(evenkeel());
    let config = scene.write_config("\"10.0.0.2\"");
    run.args(["run", "--config"]).arg(config);
    // Standard error is a file, and no journal's.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>\"$0\""]).arg(&log);
    command.arg(run.get_program()).args(run.get_args());
    let process = HostProcess::spawn("lb", command);
    let mut process = process.unwrap_or_else(|error| panic!("{error}"));
    process.wait_ready(PATIENCE).unwrap();
    let _same_path = scene.write_config("\"10.0.0.2\", \"nowhere\"");
    assert_eq!(scene.command("reload").code, Some(1));
    process.signal(Signal::SIGTERM).unwrap();
    assert!(process.wait(PATIENCE).unwrap().unwrap().success());

    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().map(|line| {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string(), "{line}");
        let word = |value: &Value| {
            value
                .as_str()
                .unwrap_or_else(|| panic!("{line}"))
                .to_owned()
        };
        (word(&line["level"]), word(&line["fields"]["message"]))
    });
    let lines: Vec<_> = lines.collect();
    println!("{lines:?}");
    let warned =
        |(level, message): &(String, String)| level == "WARN" && message.contains("nowhere");
    assert!(lines.iter().any(warned), "{lines:?}");
}
