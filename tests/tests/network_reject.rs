//! A service without a backend refuses its clients at once, or leaves them without an answer.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use evenkeel_tests::support::{
    Connection, Family, PATIENCE, PORT, Scene, Service, dropped, reason, requests,
};
use lab::topology::{ROUTED, TUNNEL};

/// How long a client waits for an answer that does not come.
const IN_VAIN: Duration = Duration::from_secs(1);

/// Services of both families and protocols with all backends in this state.
fn services(scene: &Scene, mode: &'static str, state: &str, no_backend: &str) -> Vec<Service> {
    let mut services = Vec::new();
    for family in Family::BOTH {
        let at = SocketAddr::new(scene.vip_of(family), PORT);
        for service in Service::both(at, mode, &[]) {
            let backends = scene.backends(family).into_iter();
            let service = backends.fold(service, |service, backend| {
                service.backend(&format!("address = \"{backend}\", state = \"{state}\""))
            });
            services.push(service.with(&format!("no_backend = \"{no_backend}\"")));
        }
    }
    services
}

/// What a client is told that opens a connection, and one that sends a datagram.
fn told(scene: &Scene, family: Family, patience: Duration) -> [ErrorKind; 2] {
    let service = SocketAddr::new(scene.vip_of(family), PORT);
    let connect = || TcpStream::connect_timeout(&service, patience).map(drop);
    let send = || -> Result<()> {
        let any: IpAddr = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(service)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(b"is anybody there?")?;
        socket.recv(&mut [0; 100]).map(drop)
    };
    let client = scene.client();
    let told = [
        client.inside(connect).unwrap(),
        client.inside(send).unwrap(),
    ];
    told.map(|outcome| outcome.unwrap_err().kind())
}

/// The lab of a mode, with a load balancer that has nobody yet.
fn scene(mode: &'static str) -> Scene {
    let topology = if mode == "nat" { &ROUTED } else { &TUNNEL };
    let mut scene = Scene::new(topology, &format!("reject{mode}"));
    if mode == "ipip" {
        scene.decapsulate();
    }
    scene.balance(&services(&scene, mode, "down", "reject"));
    scene
}

fn assert_refused(scene: &Scene) {
    for family in Family::BOTH {
        let told = told(scene, family, PATIENCE);
        assert_eq!(told, [ErrorKind::ConnectionRefused; 2], "{family:?}");
    }
}

fn refuses_drops_and_comes_back(mode: &'static str) {
    let scene = scene(mode);
    assert_refused(&scene);
    let status = scene.status();
    assert_eq!(dropped(&status), []);
    assert_eq!(reason(&status, "rejected"), 4);

    scene.reload(&services(&scene, mode, "down", "drop"));
    for family in Family::BOTH {
        let told = told(&scene, family, IN_VAIN);
        let expected = [ErrorKind::TimedOut, ErrorKind::WouldBlock];
        assert_eq!(told, expected, "{family:?}");
    }
    let status = scene.status();
    assert_eq!(reason(&status, "rejected"), 4);
    assert!(reason(&status, "no_backend") >= 4);

    scene.reload(&services(&scene, mode, "up", "reject"));
    for family in Family::BOTH {
        let service = SocketAddr::new(scene.vip_of(family), PORT);
        requests(&scene.client(), service, 10);
    }

    // Now slots lead to backends that have died.
    scene.reload(&services(&scene, mode, "down", "reject"));
    assert_refused(&scene);
}

#[test]
fn in_nat_a_service_without_backends_refuses_or_drops() {
    refuses_drops_and_comes_back("nat");
}

#[test]
fn in_ipip_a_service_without_backends_refuses_or_drops() {
    refuses_drops_and_comes_back("ipip");
}

#[test]
fn a_connection_whose_last_backend_died_is_reset() {
    let scene = scene("ipip");
    scene.reload(&services(&scene, "ipip", "up", "reject"));
    let client = scene.client();
    let mut connections = Family::BOTH.map(|family| {
        let from = SocketAddr::new(family.address_of(&client), 0);
        let to = SocketAddr::new(scene.vip_of(family), PORT);
        let open = || Connection::open(from, to);
        client.inside(open).unwrap().unwrap()
    });
    for connection in &mut connections {
        connection.ask().unwrap();
    }
    scene.reload(&services(&scene, "ipip", "down", "reject"));
    for connection in &mut connections {
        let error = connection.ask().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
}
