//! Each topology's ways, without a load balancer.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{PASS, PORT, Server, ip, put_together, reaches, up};
use lab::fetch::{Datagram, FetchOptions, Summary, Target, fetch, udp};
use lab::topology::{ALL, CROWD, HostSpec, L2DSR, ROUTED, Role, TUNNEL, TUTORIAL};
use lab::{Blueprint, Lab};

#[test]
fn every_host_reaches_every_other_at_once_in_both_families() {
    for topology in ALL {
        let lab = up(topology, "ping");
        for from in topology.hosts {
            for to in topology.hosts.iter().flat_map(HostSpec::addresses) {
                let (name, from) = (topology.name, from.name);
                assert!(reaches(&lab, from, to), "{name}: {from} -> {to}");
            }
        }
        let id = lab.id().clone();
        drop(lab);
        let all = lab::namespace::all().unwrap();
        assert!(id.namespaces().iter().all(|name| !all.contains(name)));
    }
}

/// Requests and datagrams from a client: who answered, all of them there.
fn who_answers(lab: &Lab, client: &str, address: IpAddr) -> Vec<String> {
    let options = FetchOptions {
        requests: 10,
        ..FetchOptions::new(Target::root((address, PORT).into()))
    };
    let host = lab.host(client).unwrap();
    let mut names = Vec::new();
    for report in [
        host.inside(|| fetch(&options)).unwrap(),
        host.inside(|| udp(&options)).unwrap(),
    ] {
        let summary: Summary = report.unwrap().summary;
        assert_eq!(summary.answered, 10, "{client} -> {address}: {summary}");
        names.extend(summary.by_server.into_keys());
    }
    names
}

#[test]
fn clients_get_pages_from_backends_directly_in_both_families() {
    for (topology, client) in [
        (&TUTORIAL, "client"),
        (&CROWD, "client3"),
        (&ROUTED, "c2"),
        (&L2DSR, "client"),
        (&TUNNEL, "c2"),
    ] {
        let lab = up(topology, "http");
        for backend in topology.with_role(Role::Backend) {
            let _server = Server::start(&lab.host(backend.name).unwrap());
            for address in backend.addresses() {
                assert_eq!(who_answers(&lab, client, address), [backend.name; 2]);
            }
        }
    }
}

/// The MAC that a host believes an address to have, once it has asked.
fn neighbour(lab: &Lab, host: &str, address: IpAddr) -> String {
    let host = lab.host(host).unwrap();
    let line = ip(&host, &format!("neigh show {address}"));
    let mut words = line.split_whitespace().skip_while(|word| *word != "lladdr");
    words.nth(1).unwrap_or("none").to_owned()
}

#[test]
fn of_all_who_have_the_vip_only_the_balancer_says_so() {
    let lab = up(&L2DSR, "arp");
    let own = L2DSR.host("lb").unwrap().interfaces[0].mac.to_string();
    for vip in L2DSR.vips() {
        assert!(reaches(&lab, "client", vip));
        assert_eq!(neighbour(&lab, "client", vip), own);
    }
    // With the balancer silent, nobody is left who answers.
    let balancer = lab.host("lb").unwrap();
    for vip in L2DSR.vips() {
        let prefix = if vip.is_ipv4() { 32 } else { 128 };
        ip(&balancer, &format!("address del {vip}/{prefix} dev eth0"));
        ip(&lab.host("client").unwrap(), "neigh flush all");
        assert!(!reaches(&lab, "client", vip), "{vip}");
        assert_eq!(neighbour(&lab, "client", vip), "none");
    }
}

#[test]
fn a_backend_takes_what_comes_for_the_vip_and_answers_from_it() {
    let lab = up(&L2DSR, "dsr");
    let _servers: Vec<_> = L2DSR
        .with_role(Role::Backend)
        .map(|backend| Server::start(&lab.host(backend.name).unwrap()))
        .collect();
    let client = lab.host("client").unwrap();
    for backend in L2DSR.with_role(Role::Backend) {
        // What mode l2-dsr does: another MAC.
        let mac = backend.interfaces[0].mac;
        for vip in L2DSR.vips() {
            ip(
                &client,
                &format!("neigh replace {vip} lladdr {mac} dev eth0"),
            );
            assert_eq!(who_answers(&lab, "client", vip), [backend.name; 2]);
        }
    }
}

#[test]
fn answers_from_the_vip_reach_the_client_of_a_tunnel_directly() {
    let lab = up(&TUNNEL, "back");
    // Stands for the tunnel: both routers lead the VIP to one backend.
    let _server = Server::start(&lab.host("h4").unwrap());
    for (router, gateways) in [
        ("r1", ["192.0.2.2", "fd00:f::2"]),
        ("r2", ["10.2.0.4", "fd00:2::4"]),
    ] {
        let router = lab.host(router).unwrap();
        for (vip, gateway) in TUNNEL.vips().zip(gateways) {
            ip(&router, &format!("route replace {vip} via {gateway}"));
        }
    }
    for vip in TUNNEL.vips() {
        assert_eq!(who_answers(&lab, "c1", vip), ["h4"; 2]);
    }
}

/// Sends datagrams that fill 1,500 bytes until the host has learned that the path carries less.
fn learns_mtu(lab: &Lab, from: &str, to: SocketAddr, mtu: u32) {
    let host = lab.host(from).unwrap();
    let (any, payload) = match to {
        SocketAddr::V4(_) => ("0.0.0.0:0", 1500 - 20 - 8),
        SocketAddr::V6(_) => ("[::]:0", 1500 - 40 - 8),
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    let (family, route) = match to.ip() {
        IpAddr::V4(to) => ("-4", format!("route get {to}")),
        IpAddr::V6(to) => ("-6", format!("route get {to}")),
    };
    loop {
        host.inside(|| {
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(to).unwrap();
            // The datagram before may have brought the answer, as an error.
            let _ = socket.send(&vec![0; payload]);
        })
        .unwrap();
        let found = ip(&host, &format!("{family} {route}"));
        if found.contains(&format!("mtu {mtu} ")) {
            return;
        }
        assert!(Instant::now() < deadline, "{from} -> {to}: {found}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_network_with_a_smaller_mtu_is_found_out() {
    let lab = Blueprint::new(&TUNNEL, Some("mtu"))
        .unwrap()
        .mtu("backends", 1400)
        .unwrap()
        .pass_object(PASS)
        .up()
        .unwrap();
    for name in ["c1", "lb"] {
        for address in TUNNEL.host("h2").unwrap().addresses() {
            learns_mtu(&lab, name, (address, 9).into(), 1400);
        }
    }
}

#[test]
fn networks_with_a_larger_mtu_carry_what_a_tunnel_adds() {
    let lab = Blueprint::new(&TUNNEL, Some("jumbo"))
        .unwrap()
        .mtu("front", 1600)
        .and_then(|blueprint| blueprint.mtu("backends", 1600))
        .unwrap()
        .pass_object(PASS)
        .up()
        .unwrap();
    let backend = lab.host("h2").unwrap();
    let _server = Server::start(&backend);
    for address in TUNNEL.host("h2").unwrap().addresses() {
        let options = FetchOptions {
            requests: 10,
            datagram: Datagram::Hashed(1600 - 40 - 8),
            ..FetchOptions::new(Target::root((address, PORT).into()))
        };
        let balancer = lab.host("lb").unwrap();
        let summary = balancer.inside(|| udp(&options)).unwrap().unwrap().summary;
        assert_eq!(summary.answered, 10, "{address}: {summary}");
    }
    assert_eq!(put_together(&backend), [0, 0], "fragments came");
}

#[test]
fn the_backends_of_a_tunnel_can_run_an_xdp_program() {
    let lab = up(&TUNNEL, "xdp");
    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/labs/pass.o");
    for backend in TUNNEL.with_role(Role::Backend) {
        let host = lab.host(backend.name).unwrap();
        ip(
            &host,
            &format!("link set dev eth0 xdpdrv object {object} program pass"),
        );
        let _server = Server::start(&host);
        for address in backend.addresses() {
            // From the host whose packets come with no checksum yet, too.
            for from in ["c1", "lb"] {
                assert_eq!(who_answers(&lab, from, address), [backend.name; 2]);
            }
        }
    }
}

#[test]
fn an_mtu_that_cannot_be_is_refused() {
    let blueprint = || Blueprint::new(&TUNNEL, Some("nomtu")).unwrap();
    let no_network = blueprint().mtu("back", 1400).unwrap_err().to_string();
    assert!(
        no_network.contains("clients, front, backends"),
        "{no_network}"
    );
    for bytes in [1279, 3501] {
        assert!(blueprint().mtu("backends", bytes).is_err(), "{bytes}");
    }
}
