//! The server and the client tools against each other, through a lab's wires.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::{PORT, Server, ip, put_together};
use lab::fetch::{
    Datagram, FetchOptions, HoldOptions, Holding, Protocol, Target, download, fetch, hold, udp,
    upload,
};
use lab::{Host, Lab, topology};

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
        lasting: Duration::from_millis(500),
        every: Duration::from_millis(50),
        opened: Some(sender),
        ..HoldOptions::new(FetchOptions {
            concurrency: 64,
            ..FetchOptions::new(Target::root(server.address))
        })
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
    assert_eq!((report.by_server["h2"], report.alive.get("h2")), (64, None));
}

#[test]
fn a_thousand_connections_and_as_many_flows_are_held_in_both_families() {
    let lab = crate::support::up(&topology::TUNNEL, "many");
    let server = Server::start(&lab.host("h2").unwrap());
    let client = lab.host("c1").unwrap();
    for address in topology::TUNNEL.host("h2").unwrap().addresses() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let target = Target::root((address, server.address.port()).into());
            let options = HoldOptions {
                protocol,
                every: Duration::from_millis(500),
                ..HoldOptions::new(FetchOptions {
                    concurrency: 1_000,
                    ..FetchOptions::new(target)
                })
            };
            let held = Holding::start(&client, options).unwrap();
            let early = held.report();
            assert_eq!(early.opened, 1_000, "{protocol:?} {address}: {early}");
            let report = held.finish().unwrap();
            assert!(report.broken.is_empty(), "{protocol:?} {address}: {report}");
            assert_eq!(report.alive["h2"], 1_000);
            // All of them once more at the end.
            assert!(report.answered >= 2_000, "{report}");
        }
    }
}

#[test]
fn a_change_of_server_is_a_break_with_its_reason_and_time() {
    let lab = crate::support::up(&topology::L2DSR, "swap");
    let (h2, h3) = (lab.host("h2").unwrap(), lab.host("h3").unwrap());
    let _servers = [Server::start(&h2), Server::start(&h3)];
    let client = lab.host("client").unwrap();
    let vip = topology::L2DSR.vips().nth(1).unwrap();
    let lead_to = |host: &Host| {
        let mac = host.interfaces()[0].mac;
        ip(
            &client,
            &format!("neigh replace {vip} lladdr {mac} dev eth0"),
        );
    };
    lead_to(&h2);
    let hold = |protocol| {
        let options = HoldOptions {
            protocol,
            ..HoldOptions::new(FetchOptions {
                concurrency: 10,
                ..FetchOptions::new(Target::root((vip, PORT).into()))
            })
        };
        Holding::start(&client, options).unwrap()
    };
    let (flows, connections) = (hold(Protocol::Udp), hold(Protocol::Tcp));
    assert_eq!(flows.report().alive["h2"], 10);
    lead_to(&h3);
    // h3 answers a datagram, and resets a connection that it does not know.
    for (held, reason) in [
        (flows, "answered by h2, then by h3"),
        (connections, "get: Connection reset by peer"),
    ] {
        let report = held.finish().unwrap();
        assert_eq!(report.broken.len(), 10, "{report}");
        for one in &report.broken {
            assert_eq!(one.reason, reason, "{report}");
            assert_eq!(one.server.as_deref(), Some("h2"));
            assert_eq!(
                one.source.unwrap().ip(),
                "fd00:4::1".parse::<IpAddr>().unwrap()
            );
            assert!(one.answered > 0);
        }
    }
}

#[test]
fn large_datagrams_cross_in_fragments_and_come_back_whole() {
    let lab = crate::support::up(&topology::TUNNEL, "frag");
    let server = Server::start(&lab.host("h3").unwrap());
    let client = lab.host("c1").unwrap();
    for address in topology::TUNNEL.host("h3").unwrap().addresses() {
        for bytes in [4_000, 20_000, 65_000] {
            for datagram in [Datagram::Hashed(bytes), Datagram::Echoed(bytes)] {
                let options = FetchOptions {
                    datagram,
                    requests: 20,
                    ..FetchOptions::new(Target::root((address, server.address.port()).into()))
                };
                let summary = client.inside(|| udp(&options)).unwrap().unwrap().summary;
                assert_eq!(summary.by_server["h3"], 20, "{datagram:?}: {summary}");
            }
        }
    }
    // Three sizes, two kinds, twenty of each.
    let whole = put_together(&lab.host("h3").unwrap());
    assert_eq!(whole, [120, 120]);
}

#[test]
fn a_server_listens_on_several_ports_and_on_one_address_only() {
    let lab = crate::support::up(&topology::L2DSR, "ports6");
    let host = lab.host("h2").unwrap();
    let own = host.address6().unwrap();
    let listen = [(own, 8000), (own, 8001), ([10, 4, 0, 100].into(), 8000)];
    let _server = Server::on(&host, listen.map(SocketAddr::from).into());
    let ask = |to: SocketAddr| {
        let options = FetchOptions {
            requests: 1,
            timeout: Duration::from_secs(2),
            ..FetchOptions::new(Target::root(to))
        };
        let [tcp, udp] = [
            client(&lab, || fetch(&options)),
            client(&lab, || udp(&options)),
        ];
        (tcp.summary.answered, udp.summary.answered)
    };
    for port in [8000, 8001] {
        assert_eq!(ask((own, port).into()), (1, 1));
    }
    assert_eq!(ask((own, 8002).into()), (0, 0));
    assert_eq!(ask((host.address().unwrap(), 8000).into()), (0, 0));
}
