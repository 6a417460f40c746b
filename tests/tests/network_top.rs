//! `evenkeel top` as scripts and terminals see it.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use evenkeel_tests::support::{Finished, PATIENCE, Scene, evenkeel, eventually, requests};
use lab::topology::TUTORIAL;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const FLAGS: &str = "veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 10.0.0.3";
/// The alternate screen begins and ends, as terminals are told.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
/// The cursor is there again.
const CURSOR: &str = "\x1b[?25h";

fn scene(test: &str) -> Scene {
    let mut scene = Scene::new(&TUTORIAL, test);
    scene.run(FLAGS);
    scene
}

#[test]
fn a_script_gets_one_frame_of_text() {
    let scene = scene("toponce");
    let client = scene.client();
    let vip = scene.vip().into();
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_over);
    let traffic = thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            requests(&client, vip, 50);
        }
    });
    let Finished {
        code,
        stdout,
        stderr,
    } = scene.command("top --once");
    is_over.store(true, Ordering::Relaxed);
    traffic.join().expect("all were answered");
    assert_eq!((code, &*stderr), (Some(0), ""));
    assert!(!stdout.contains('\x1b'), "{stdout}");
    for part in [
        "packets/s  ",
        "Services: 1, by packets/s\n",
        "\ntcp://10.0.0.10:8000 ",
        "\n10.0.0.2:8000 ",
        "\nnew_flow ",
        "\nno slot is changing\n",
    ] {
        assert!(stdout.contains(part), "{part:?} is not in:\n{stdout}");
    }
    // There was traffic in that second, to both.
    assert!(!stdout.contains("\n0 packets/s"), "{stdout}");
    for backend in ["10.0.0.2:8000", "10.0.0.3:8000"] {
        let mut lines = stdout.lines().map(|line| line.split_whitespace());
        let words = lines.find_map(|mut words| (words.next() == Some(backend)).then_some(words));
        let words: Vec<_> = words.expect("its line").collect();
        assert_eq!(words[..4], ["up", "-", "50.0%", "1"], "{stdout}");
        assert_ne!(words[5], "0", "packets/s: {stdout}");
    }
    let Finished { code, stderr, .. } = scene.command("top --instance nobody");
    assert_eq!(code, Some(1));
    assert!(
        stderr.starts_with("error: no instance nobody is running"),
        "{stderr}"
    );
}

/// `evenkeel top` on a terminal of its own.
struct OnTerminal {
    script: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl OnTerminal {
    fn start(scene: &Scene) -> Self {
        let top = format!(
            "stty rows 24 cols 80; exec nsenter --net=/run/netns/{} {} top",
            scene.balancer_host().namespace(),
            evenkeel().display()
        );
        // script(1) is part of Debian's essential packages.
        let mut script = Command::new("script")
            .args(["-qefc", &top, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1)");
        let keys = script.stdin.take();
        let mut output = script.stdout.take().expect("a pipe");
        let seen = Arc::new(Mutex::new(String::new()));
        let collected = Arc::clone(&seen);
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                collected.lock().expect("no panic").push_str(&text);
            }
        });
        Self {
            script,
            keys,
            seen,
            reader: Some(reader),
        }
    }

    fn seen(&self) -> String {
        self.seen.lock().expect("no panic").clone()
    }

    fn until(&self, text: &str) {
        eventually(&format!("{text:?} on the terminal"), PATIENCE, || {
            self.seen().contains(text).then_some(())
        });
    }

    fn press(&mut self, keys: &str) {
        let stream = self.keys.as_mut().expect("a pipe");
        stream.write_all(keys.as_bytes()).expect("it is read");
        stream.flush().expect("it is read");
    }

    /// The process of `top` itself.
    fn top(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.script.id());
        let child = eventually("a child of script(1)", PATIENCE, || {
            let children = std::fs::read_to_string(&children).ok()?;
            children.split_whitespace().next()?.parse().ok()
        });
        Pid::from_raw(child)
    }

    /// Waits for its end, and says how it was and what was seen.
    fn end(mut self) -> (Option<i32>, String) {
        let status = eventually("the end of top", PATIENCE, || {
            self.script.try_wait().expect("it is ours")
        });
        let reader = self.reader.take().expect("it is joined once");
        reader.join().expect("no panic");
        (status.code(), self.seen())
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // It has ended already if all is well.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

fn assert_restored((code, seen): (Option<i32>, String)) {
    assert_eq!(code, Some(0), "{seen:?}");
    let (_, after) = seen.rsplit_once(ENTER).expect("it was entered");
    assert!(after.contains(LEAVE) && after.contains(CURSOR), "{after:?}");
}

#[test]
fn the_terminal_is_as_it_was_however_top_ends() {
    let scene = scene("topterm");
    let mut top = OnTerminal::start(&scene);
    top.until("tcp://10.0.0.10:8000");
    top.press("\rd");
    top.until(": done");
    top.press("q");
    assert_restored(top.end());
    let status = scene.status();
    let drained = status.services[0].backends.iter();
    let drained = drained.filter(|backend| backend.state == "drain").count();
    assert_eq!((drained, status.configuration.overrides), (1, 1));

    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let top = OnTerminal::start(&scene);
        top.until("tcp://10.0.0.10:8000");
        kill(top.top(), signal).expect("it is there");
        assert_restored(top.end());
    }
}

#[test]
fn top_says_when_the_instance_is_gone_and_comes_back_with_it() {
    let mut scene = scene("topgone");
    let mut top = OnTerminal::start(&scene);
    top.until("tcp://10.0.0.10:8000");
    scene.balancer().stop().expect("it ends");
    top.until("no instance");
    let before = top.seen().len();
    scene.run(FLAGS);
    eventually("the instance on the terminal", PATIENCE, || {
        top.seen()[before..].contains("evenkeel 0.").then_some(())
    });
    top.press("q");
    assert_restored(top.end());
}
