//! The server and the client tools against each other, through a lab's wires.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::Server;
use lab::fetch::{FetchOptions, HoldOptions, Target, download, fetch, hold, udp, upload};
use lab::{Lab, topology};

fn client<T: Send>(lab: &Lab, work: impl FnOnce() -> lab::Result<T> + Send) -> T {
    lab.host("client").unwrap().inside(work).unwrap().unwrap()
}

#[test]
fn requests_are_answered_by_who_was_asked() {
    let lab = crate::support::up(&topology::TUTORIAL, "fetch");
    let server = Server::start(&lab.host("h2").unwrap());
    let fresh = FetchOptions {
        requests: 500,
        concurrency: 20,
        ..FetchOptions::new(Target::root(server.address))
    };
    let kept = FetchOptions {
        keep_alive: true,
        ..fresh.clone()
    };
    for (options, sources) in [(&fresh, 20..=500), (&kept, 20..=20)] {
        let report = client(&lab, || fetch(options));
        assert_eq!(report.summary.failed, 0, "{}", report.summary);
        assert_eq!(report.summary.by_server["h2"], 500);
        let ports: HashSet<_> = report.outcomes.iter().map(|o| o.source.unwrap()).collect();
        assert!(sources.contains(&ports.len()), "{} ports", ports.len());
        let report = client(&lab, || udp(options));
        assert_eq!(report.summary.by_server["h2"], 500, "{}", report.summary);
    }
}

#[test]
fn fixed_source_ports_can_be_used_again_at_once() {
    let lab = crate::support::up(&topology::TUTORIAL, "ports");
    let server = Server::start(&lab.host("h2").unwrap());
    let sources: Vec<SocketAddr> = (40_000..40_010)
        .map(|port| ([10, 0, 0, 1], port).into())
        .collect();
    let options = FetchOptions {
        sources: sources.clone(),
        requests: 200,
        ..FetchOptions::new(Target::root(server.address))
    };
    let report = client(&lab, || fetch(&options));
    assert_eq!(report.summary.answered, 200, "{}", report.summary);
    assert!(
        report
            .outcomes
            .iter()
            .all(|outcome| sources.contains(&outcome.source.unwrap()))
    );
}

#[test]
fn failures_have_reasons() {
    let lab = crate::support::up(&topology::TUTORIAL, "fail");
    let nobody = |address: [u8; 4]| FetchOptions {
        requests: 3,
        timeout: Duration::from_millis(300),
        ..FetchOptions::new(Target::root((address, 8000).into()))
    };
    let refused = client(&lab, || fetch(&nobody([10, 0, 0, 3])));
    assert_eq!(refused.summary.failures["connect: Connection refused"], 3);
    let silent = client(&lab, || fetch(&nobody([10, 0, 0, 77])));
    assert_eq!(silent.summary.failures["connect: timed out"], 3);
    let no_udp = client(&lab, || udp(&nobody([10, 0, 0, 3])));
    assert_eq!(no_udp.summary.failures["udp: Connection refused"], 3);
    let server = Server::start(&lab.host("h2").unwrap());
    let page = FetchOptions {
        requests: 2,
        ..FetchOptions::new(Target::root(server.address).at("/nothing"))
    };
    assert_eq!(
        client(&lab, || fetch(&page)).summary.failures["status 404"],
        2
    );
}

#[test]
fn transfers_arrive_as_they_were_sent() {
    let lab = crate::support::up(&topology::TUTORIAL, "bulk");
    let server = Server::start(&lab.host("h2").unwrap());
    let target = Target::root(server.address);
    for bytes in [0, 1, 5_000_001] {
        let minute = Duration::from_secs(60);
        for transfer in [
            client(&lab, || download(&target, bytes, minute)),
            client(&lab, || upload(&target, bytes, minute)),
        ] {
            assert!(transfer.intact(), "{transfer:?}");
            assert_eq!(transfer.server.as_deref(), Some("h2"));
        }
    }
}

#[test]
fn held_connections_are_watched() {
    let lab = crate::support::up(&topology::TUTORIAL, "hold");
    let server = Server::start(&lab.host("h2").unwrap());
    let (sender, opened) = mpsc::channel();
    let mut options = HoldOptions {
        fetch: FetchOptions {
            concurrency: 64,
            ..FetchOptions::new(Target::root(server.address))
        },
        lasting: Duration::from_millis(500),
        every: Duration::from_millis(50),
        opened: Some(sender),
    };
    let report = client(&lab, || hold(&options));
    assert_eq!(opened.recv().unwrap(), 64);
    assert!(report.broken.is_empty(), "{report:?}");
    assert!(report.answered > 64 * 3, "{report:?}");

    // The same, with the server ended in the middle.
    options.lasting = Duration::from_secs(20);
    options.fetch.timeout = Duration::from_secs(1);
    let host = lab.host("client").unwrap();
    let holding = host.thread(move || hold(&options)).unwrap();
    assert_eq!(opened.recv().unwrap(), 64);
    drop(server);
    let report = holding.join().unwrap().unwrap().unwrap();
    assert_eq!(report.broken.len(), 64, "{report:?}");
}
