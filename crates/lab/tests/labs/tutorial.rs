//! The demonstration with a stand-in for the load balancer: a TCP proxy in user space.
//!
//! The test binary is also the program that runs in the hosts; an ignored "test" is each of
//! its subcommands, and the environment says which address to use.

use std::io::copy;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use lab::tutorial::{Run, Style, run};
use lab::{Blueprint, Error, Interrupt, LabId, topology};

const SERVE_PREFIX: &str = "helper-serve=";

fn helper(name: &str, argument: Option<String>) -> Vec<String> {
    let mut words = vec!["--exact".to_owned(), format!("tutorial::{name}")];
    words.extend(["--ignored", "--nocapture", "--test-threads=1"].map(str::to_owned));
    if let Some(word) = argument {
        words.extend(["--skip".to_owned(), word]);
    }
    words
}

fn serve_arguments(name: &str, listen: SocketAddr) -> Vec<String> {
    helper(
        "helper_serve",
        Some(format!("{SERVE_PREFIX}{name}={listen}")),
    )
}

/// `--skip` takes any text: it carries the arguments through the test harness.
#[test]
#[ignore = "a program for the tests below"]
fn helper_serve() {
    let argument =
        std::env::args().find_map(|word| word.strip_prefix(SERVE_PREFIX).map(str::to_owned));
    let argument = argument.unwrap();
    let (name, listen) = argument.split_once('=').unwrap();
    let options = lab::serve::ServeOptions {
        name: name.to_owned(),
        listen: vec![listen.parse().unwrap()],
    };
    println!();
    lab::serve::serve(
        &options,
        &Interrupt::on_signals().unwrap(),
        &mut std::io::stdout(),
    )
    .unwrap();
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_balance_both() {
    balance(&[[10, 0, 0, 2], [10, 0, 0, 3]]);
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_balance_one() {
    balance(&[[10, 0, 0, 2]]);
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_status() {
    println!("\nall is well");
}

#[test]
#[ignore = "a program for the tests below"]
fn helper_never_ready() {
    println!("\nstill thinking");
    thread::sleep(Duration::from_secs(60));
}

fn balance(backends: &[[u8; 4]]) {
    let listener = TcpListener::bind("10.0.0.10:8000").unwrap();
    println!("\nready");
    for (client, backend) in listener.incoming().zip(backends.iter().cycle()) {
        let (client, backend) = (
            client.unwrap(),
            TcpStream::connect((std::net::Ipv4Addr::from(*backend), 8000)).unwrap(),
        );
        for (from, to) in [(&client, &backend), (&backend, &client)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || {
                copy(&mut from, &mut to).ok();
                to.shutdown(std::net::Shutdown::Write).ok();
            });
        }
    }
}

fn demonstration(instance: &str, balancer: &str) -> Run {
    Run {
        blueprint: Blueprint::new(&topology::TUTORIAL, Some(instance))
            .unwrap()
            .pass_object(crate::support::PASS),
        program: std::env::current_exe().unwrap(),
        serve: serve_arguments,
        balance: helper(balancer, None),
        status: helper("helper_status", None),
        port: 8000,
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
fn a_good_run_draws_its_picture_and_leaves_nothing() {
    let mut picture = Vec::new();
    let shown = run(
        &demonstration("good", "helper_balance_both"),
        &Interrupt::never(),
        Style::plain(),
        &mut picture,
    )
    .unwrap();
    assert_eq!(
        (
            shown.balanced.by_server["h2"],
            shown.balanced.by_server["h3"]
        ),
        (50, 50)
    );
    let picture = String::from_utf8(picture).unwrap();
    println!("{picture}");
    assert!(picture.contains("all is well"), "{picture}");
    assert!(!left_behind("good"));
}

#[test]
fn a_backend_without_requests_is_an_error() {
    let outcome = run(
        &demonstration("idle", "helper_balance_one"),
        &Interrupt::never(),
        Style::plain(),
        &mut Vec::new(),
    );
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("h3 got no request"), "{text}");
    assert!(!left_behind("idle"));
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let interrupt = Interrupt::never();
    let flag = interrupt.clone();
    let (sender, done) = mpsc::channel();
    let running = thread::spawn(move || {
        let run = run(
            &demonstration("int", "helper_never_ready"),
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
