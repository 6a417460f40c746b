//! A flood of spoofed SYNs pushes out half-open flows only.

#![forbid(unsafe_code)]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use control::status::Status;
use evenkeel_tests::support::{PATIENCE, PacketSocket, Scene, SynFlood, eventually, reason};
use lab::fetch::{FetchOptions, HoldOptions, fetch, hold};
use lab::topology::TUTORIAL;
use lab::{Host, Interrupt};

const ESTABLISHED: usize = 200;
const SYNS: u32 = 2_000_000;
/// How long the flood may take.
const LIMIT: Duration = Duration::from_secs(90);

/// Sends until the data plane has seen [`SYNS`] SYNs: on the way there, full queues lose some.
fn flood(scene: &Scene, client: &Host, seen: impl Fn(&Status) -> u64) {
    let socket = PacketSocket::open(client, "eth0");
    let mut flood = SynFlood::new(
        scene.vip(),
        [0xde, 0xad, 0xbe, 0xef, 0, 0x10],
        [0xde, 0xad, 0xbe, 0xef, 0, 1],
    );
    let before = seen(&scene.status());
    let deadline = Instant::now() + LIMIT;
    loop {
        let arrived = seen(&scene.status()) - before;
        let missing = u64::from(SYNS).saturating_sub(arrived);
        if missing == 0 {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{arrived} of {SYNS} SYNs arrived within {LIMIT:?}"
        );
        flood.send(&socket, missing.clamp(1_000, 250_000) as u32);
    }
}

/// SYNs that were looked at: forwarded as new flows, or refused by the tables.
fn syns(status: &Status) -> u64 {
    ["new_flow", "flow_table_full", "ports_exhausted"]
        .map(|name| reason(status, name))
        .iter()
        .sum()
}

#[test]
fn two_hundred_connections_go_on_unharmed_through_two_million_spoofed_syns() {
    let mut scene = Scene::new(&TUTORIAL, "flood");
    scene.run("veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 10.0.0.3");
    let client = scene.host("client");
    let (opened, all_open) = mpsc::channel();
    let over = Interrupt::never();
    let options = HoldOptions {
        fetch: FetchOptions {
            concurrency: ESTABLISHED,
            timeout: PATIENCE,
            interrupt: over.clone(),
            ..FetchOptions::new(scene.target())
        },
        lasting: 2 * LIMIT,
        every: Duration::from_millis(250),
        opened: Some(opened),
    };
    let held = client.thread(move || hold(&options)).unwrap();
    assert_eq!(all_open.recv_timeout(PATIENCE), Ok(ESTABLISHED));
    assert_eq!(scene.status().flows.established, ESTABLISHED as u64);

    let start = Instant::now();
    flood(&scene, &client, syns);
    let during = start.elapsed();
    let status = scene.status();
    eprintln!(
        "{SYNS} SYNs in {during:?}: {:?}, {:?}",
        status.flows, status.reasons
    );
    assert_eq!(status.flows.established, ESTABLISHED as u64);
    // The table was full all the time, and took new ones all the same.
    assert!(
        status.flows.half_open > status.flows.half_open_limit / 2,
        "{:?}",
        status.flows
    );
    assert_eq!(reason(&status, "flow_table_full"), 0);
    assert_eq!(reason(&status, "inconsistent"), 0);

    // Each connection is used some more after the flood.
    let used = reason(&scene.status(), "replied") + 4 * ESTABLISHED as u64;
    eventually("the connections go on", PATIENCE, || {
        (reason(&scene.status(), "replied") > used).then_some(())
    });
    over.set();
    let report = held.join().unwrap().unwrap().unwrap();
    assert!(report.broken.is_empty(), "{:?}", report.broken);
    assert_eq!(report.opened, ESTABLISHED);
    eprintln!("{} requests, {:?}", report.answered, report.latency);

    let options = FetchOptions::new(scene.target());
    let report = client.inside(|| fetch(&options)).unwrap().unwrap();
    assert_eq!(
        report.summary.answered, options.requests,
        "{}",
        report.summary
    );
}
