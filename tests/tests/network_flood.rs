//! A flood of spoofed SYNs pushes out half-open flows only.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::net::SocketAddrV4;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use control::status::Status;
use evenkeel_tests::support::{
    Connection, PATIENCE, PacketSocket, Scene, SynFlood, dropped, eventually, reason,
};
use lab::fetch::{FetchOptions, HoldOptions, fetch, hold};
use lab::topology::TUTORIAL;
use lab::{Host, Interrupt};

const ESTABLISHED: usize = 200;
const SYNS: u32 = 2_000_000;
/// SYNs at a time: fewer than the rings and queues on the way hold (256 and 1,000).
const BURST: u32 = 200;
/// How long the flood may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Sends until the data plane has seen [`SYNS`] SYNs.
///
/// After each burst it waits for the answer to a request of its own: the tables are to be
/// flooded, not the queues on the way, which would lose the packets of everybody.
fn flood(scene: &Scene, client: &Host, seen: impl Fn(&Status) -> u64) {
    let socket = PacketSocket::open(client, "eth0");
    let from = SocketAddrV4::new(scene.address("client"), 1_000);
    let pace = client
        .inside(|| Connection::open(from, scene.vip()))
        .unwrap();
    let mut pace = pace.unwrap();
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
        for _ in 0..missing.div_ceil(BURST.into()) {
            flood.send(&socket, BURST);
            pace.ask().unwrap();
            assert!(Instant::now() < deadline, "not over within {LIMIT:?}");
        }
    }
}

#[test]
fn two_hundred_connections_go_on_unharmed_through_two_million_spoofed_syns() {
    let mut scene = Scene::new(&TUTORIAL, "flood");
    scene.run("veth6 --service tcp://10.0.0.10:8000 --backend 10.0.0.2 --backend 10.0.0.3");
    let client = scene.host("client");
    let (opened, all_open) = mpsc::channel();
    let over = Interrupt::never();
    let options = HoldOptions {
        lasting: 2 * LIMIT,
        every: Duration::from_millis(250),
        opened: Some(opened),
        ..HoldOptions::new(FetchOptions {
            concurrency: ESTABLISHED,
            timeout: PATIENCE,
            interrupt: over.clone(),
            ..FetchOptions::new(scene.target())
        })
    };
    let held = client.thread(move || hold(&options)).unwrap();
    assert_eq!(all_open.recv_timeout(PATIENCE), Ok(ESTABLISHED));
    assert_eq!(scene.status().flows.established, ESTABLISHED as u64);

    flood(&scene, &client, |status| reason(status, "new_flow"));
    let status = scene.status();
    println!("{:?}, {:?}", status.flows, status.reasons);
    // The one that set the pace is among them.
    assert_eq!(status.flows.established, ESTABLISHED as u64 + 1);
    // The flood filled the table, and was hardly ever refused: once in ten thousand tries all of
    // a flow's candidates may be taken.
    assert!(status.flows.half_open > status.flows.half_open_limit / 2);
    let exhausted = reason(&status, "ports_exhausted");
    assert!(exhausted < u64::from(SYNS) / 10_000, "{exhausted}");
    let others = dropped(&status)
        .into_iter()
        .filter(|(name, _)| *name != "ports_exhausted");
    assert_eq!(others.count(), 0, "{:?}", dropped(&status));

    // Each connection is used some more after the flood.
    let used = reason(&scene.status(), "replied") + 4 * ESTABLISHED as u64;
    eventually("the connections go on", PATIENCE, || {
        (reason(&scene.status(), "replied") > used).then_some(())
    });
    over.set();
    let report = held.join().unwrap().unwrap().unwrap();
    assert!(report.broken.is_empty(), "{:?}", report.broken);
    assert_eq!(report.opened, ESTABLISHED);
    println!("{} requests, {:?}", report.answered, report.latency);

    let options = FetchOptions::new(scene.target());
    let report = client.inside(|| fetch(&options)).unwrap().unwrap();
    assert_eq!(
        report.summary.answered, options.requests,
        "{}",
        report.summary
    );
}
