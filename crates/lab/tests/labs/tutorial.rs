//! The demonstration with a stand-in for the load balancer: a TCP proxy in user space.
//!
//! The test binary is also the program that runs in the hosts; an ignored "test" is each of
//! its subcommands. They run in the demonstration's folder and share files there: the config
//! file is a list of the backends to take in turn, and others say who is dead or drained.

use std::fs;
use std::io::copy;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use lab::tutorial::{Command, Run, Style, run};
use lab::{Blueprint, Error, Interrupt, LabId, topology};

const ARGUMENT: &str = "helper-argument=";
const PORT: u16 = 8000;
const ADDED_PORT: u16 = 8001;
const BACKENDS: [&str; 2] = ["10.0.0.2", "10.0.0.3"];

/// The proxy's own file: the backends to take in turn.
const IN_FORCE: &str = "in-force";
const DRAINED: &str = "drained";
const DOWN: &str = "down";
const PROXY_PID: &str = "proxy.pid";

fn helper(name: &str, argument: Option<String>) -> Vec<String> {
    let mut words = vec!["--exact".to_owned(), format!("tutorial::{name}")];
    words.extend(["--ignored", "--nocapture", "--test-threads=1"].map(str::to_owned));
    if let Some(word) = argument {
        words.extend(["--skip".to_owned(), format!("{ARGUMENT}{word}")]);
    }
    words
}

/// `--skip` takes any text: it carries arguments through the test harness.
fn argument() -> String {
    let mut words = std::env::args();
    let word = words.find_map(|word| word.strip_prefix(ARGUMENT).map(str::to_owned));
    word.unwrap()
}

fn arguments(command: &Command<'_>) -> Vec<String> {
    match command {
        Command::Serve { name, listen } => {
            let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
            let words = format!("{name}={}", listen.join(","));
            helper("helper_serve", Some(words))
        }
        Command::Balance { .. } => helper("helper_balance", None),
        Command::Status => helper("helper_status", None),
        Command::Backends => helper("helper_backends", None),
        Command::Drain(backend) => helper("helper_drain", Some(backend.to_string())),
        Command::Undrain(_) => helper("helper_drain", Some(String::new())),
        Command::Plan { .. } => helper("helper_plan", None),
        Command::Apply { .. } => helper("helper_apply", None),
        Command::Leave => helper("helper_leave", None),
        Command::Stop => helper("helper_stop", None),
    }
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_serve() {
    let argument = argument();
    let (name, listen) = argument.split_once('=').unwrap();
    let options = lab::serve::ServeOptions {
        name: name.to_owned(),
        listen: listen.split(',').map(|at| at.parse().unwrap()).collect(),
    };
    println!();
    let interrupt = Interrupt::on_signals().unwrap();
    lab::serve::serve(&options, &interrupt, &mut std::io::stdout()).unwrap();
}

/// A process that only stands for the balancing, which is done by one that outlives it.
#[test]
#[ignore = "a program for the tests below"]
fn helper_balance() {
    if fs::exists(PROXY_PID).unwrap() {
        println!("\nready: going on");
    } else {
        fs::copy("demo.toml", IN_FORCE).unwrap();
        let mut proxy = std::process::Command::new(std::env::current_exe().unwrap());
        proxy.args(helper("helper_proxy", None)).process_group(0);
        let null = proxy
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        fs::write(PROXY_PID, null.spawn().unwrap().id().to_string()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("10.0.0.10", ADDED_PORT)).is_err() {
            assert!(Instant::now() < deadline, "the proxy did not start");
            thread::sleep(Duration::from_millis(10));
        }
        println!("\nready");
    }
    fs::write("balance.pid", std::process::id().to_string()).unwrap();
    thread::sleep(Duration::from_secs(60));
}

/// A load balancer that takes its connections with it.
#[test]
#[ignore = "a program for the tests below"]
fn helper_balance_itself() {
    fs::copy("demo.toml", IN_FORCE).unwrap();
    fs::write("balance.pid", std::process::id().to_string()).unwrap();
    fs::write(PROXY_PID, std::process::id().to_string()).unwrap();
    proxy(true);
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_proxy() {
    proxy(false);
}

fn proxy(tells: bool) {
    let at = |port| TcpListener::bind(("10.0.0.10", port)).unwrap();
    let (service, added) = (at(PORT), at(ADDED_PORT));
    if tells {
        println!("\nready");
    }
    thread::spawn(move || accept(&added));
    accept(&service);
}

fn accept(listener: &TcpListener) {
    for (turn, client) in listener.incoming().enumerate() {
        let (Ok(client), Some(backend)) = (client, choose(turn)) else {
            continue;
        };
        // A client that finds nobody is cut off.
        let Ok(backend) = TcpStream::connect((backend.as_str(), PORT)) else {
            continue;
        };
        for (from, to) in [(&client, &backend), (&backend, &client)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || {
                copy(&mut from, &mut to).ok();
                to.shutdown(std::net::Shutdown::Write).ok();
            });
        }
    }
}

fn choose(turn: usize) -> Option<String> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let down = BACKENDS.map(|backend| read(&format!("{DOWN}-{backend}")));
    let (in_force, out) = (read(IN_FORCE), read(DRAINED) + &down.concat());
    let all = in_force.split_whitespace();
    let live: Vec<&str> = all.filter(|backend| !out.contains(*backend)).collect();
    let chosen = live.get(turn.checked_rem(live.len())?)?;
    Some((*chosen).to_owned())
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_status() {
    println!("\nall is well");
}

/// Whoever asks has the backends checked: the fifth failure counts, so that clients meet it, too.
#[test]
#[ignore = "a program for the tests below"]
fn helper_backends() {
    println!();
    for backend in BACKENDS {
        let file = format!("failures-{backend}");
        let found = TcpStream::connect((backend, PORT));
        let before = fs::read_to_string(&file).unwrap_or_default();
        let failures = if found.is_ok() {
            String::new()
        } else {
            before + "x"
        };
        let is_down = failures.len() >= 5;
        println!("{backend}:{PORT}  {}", if is_down { "down" } else { "up" });
        fs::write(file, failures).unwrap();
        fs::write(
            format!("{DOWN}-{backend}"),
            if is_down { backend } else { "" },
        )
        .unwrap();
    }
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_drain() {
    fs::write(DRAINED, argument()).unwrap();
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_plan() {
    println!("\n~ a service\n  + a backend\n    not to be shown");
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_apply() {
    // At once: somebody may be reading.
    fs::copy("demo.toml", "new").unwrap();
    fs::rename("new", IN_FORCE).unwrap();
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_leave() {
    end("balance.pid");
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_stop() {
    end("balance.pid");
    end(PROXY_PID);
}

fn end(file: &str) {
    let pid = fs::read_to_string(file).unwrap().parse().unwrap();
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_never_ready() {
    println!("\nstill thinking");
    thread::sleep(Duration::from_secs(60));
}

fn demonstration(instance: &str, arguments: fn(&Command<'_>) -> Vec<String>) -> Run {
    Run {
        blueprint: Blueprint::new(&topology::TUTORIAL, Some(instance))
            .unwrap()
            .pass_object(crate::support::PASS),
        program: std::env::current_exe().unwrap(),
        arguments,
        config: "10.0.0.2 10.0.0.3".to_owned(),
        changed_config: "10.0.0.2 10.0.0.3 10.0.0.3 10.0.0.3".to_owned(),
        port: PORT,
        added_port: ADDED_PORT,
        requests: 100,
    }
}

fn left_behind(instance: &str) -> bool {
    let id = LabId::new(&topology::TUTORIAL, Some(instance)).unwrap();
    lab::namespace::all()
        .unwrap()
        .iter()
        .any(|name| id.namespaces().contains(name))
}

#[test]
fn a_good_run_tells_its_story_and_leaves_nothing() {
    let mut told = Vec::new();
    let shown = run(
        &demonstration("good", arguments),
        &Interrupt::never(),
        Style::plain(),
        &mut told,
    );
    let told = String::from_utf8(told).unwrap();
    println!("{told}");
    let shown = shown.unwrap();
    let by_server = &shown.balanced.by_server;
    assert_eq!((by_server["h2"], by_server["h3"]), (50, 50));
    assert_eq!((shown.flowing.failed(), shown.held.broken.len()), (0, 0));
    assert!(shown.flowing.tries_repeated() > 0, "{:?}", shown.flowing);
    for part in ["all is well", "+ a backend", "0 failed", "0 broken"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains("not to be shown"), "{told}");
    // The stand-in's commands and what the test harness adds to their output are longer.
    let story = told.split("counters of the data plane").next().unwrap();
    let lines = story.lines().filter(|line| !line.contains('$'));
    let wide: Vec<_> = lines.filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:?}");
    assert!(!left_behind("good"));
}

#[test]
fn a_backend_without_requests_is_an_error() {
    let mut run_of_one = demonstration("idle", arguments);
    run_of_one.config = "10.0.0.2".to_owned();
    let outcome = run(
        &run_of_one,
        &Interrupt::never(),
        Style::plain(),
        &mut Vec::new(),
    );
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("h3 got no request"), "{text}");
    assert!(!left_behind("idle"));
}

#[test]
fn connections_that_end_with_the_process_are_an_error() {
    let mortal = |command: &Command<'_>| match command {
        Command::Balance { .. } => helper("helper_balance_itself", None),
        other => arguments(other),
    };
    let outcome = run(
        &demonstration("mortal", mortal),
        &Interrupt::never(),
        Style::plain(),
        &mut Vec::new(),
    );
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("tries failed with no server dead"), "{text}");
    assert!(text.contains("a held connection to h2 broke"), "{text}");
    assert!(!left_behind("mortal"));
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let silent = |command: &Command<'_>| match command {
        Command::Balance { .. } => helper("helper_never_ready", None),
        other => arguments(other),
    };
    let interrupt = Interrupt::never();
    let flag = interrupt.clone();
    let (sender, done) = mpsc::channel();
    let running = thread::spawn(move || {
        let run = run(
            &demonstration("int", silent),
            &flag,
            Style::plain(),
            &mut Vec::new(),
        );
        sender.send(()).ok();
        run
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    let balancer_runs = || {
        let labs = lab::list().unwrap();
        let hosts = labs
            .into_iter()
            .filter(|listing| listing.lab == "tutorial-int")
            .flat_map(|listing| listing.hosts);
        hosts
            .into_iter()
            .any(|host| host.name == "lb" && !host.processes.is_empty())
    };
    while !balancer_runs() {
        assert!(Instant::now() < deadline, "the stand-in did not start");
        thread::sleep(Duration::from_millis(20));
    }
    interrupt.set();
    done.recv_timeout(Duration::from_secs(10)).unwrap();
    let outcome = running.join().unwrap();
    assert!(matches!(outcome, Err(Error::Interrupted)), "{outcome:?}");
    assert!(!left_behind("int"));
}
