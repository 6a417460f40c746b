//! ICMP about flows reaches whoever sent the packet it is about; pings are answered.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use evenkeel_tests::support::{
    Family, PATIENCE, PORT, PacketSocket, Scene, Service, eventually, finish, path_mtu, reason,
};
use lab::Host;
use lab::topology::ROUTED;
use testkit::builder::{Message, PacketBuilder, quote};

/// Nobody serves it.
const NO_SERVER: u16 = 8999;
fn any(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// What a connected UDP socket is told after it has sent something.
fn told(client: &Host, to: SocketAddr, family: Family) -> ErrorKind {
    let ask = || {
        let socket = UdpSocket::bind((any(family), 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send(b"is anybody there?")?;
        socket.recv(&mut [0; 100])
    };
    client.inside(ask).unwrap().unwrap_err().kind()
}

fn assert_refused(mode: &'static str) {
    let scene = Scene::in_mode(mode, "refused");
    scene.reload(&scene.services(mode, NO_SERVER));
    for family in Family::BOTH {
        let service = SocketAddr::new(scene.vip_of(family), NO_SERVER);
        let told = told(&scene.client(), service, family);
        assert_eq!(told, ErrorKind::ConnectionRefused, "{service}");
    }
    let status = scene.status();
    // In the other modes backends answer past the load balancer. The stack of the host finds a
    // neighbour that is not known yet.
    let expected = if mode.ends_with("nat") { 2 } else { 0 };
    let replied = reason(&status, "icmp_replied") + reason(&status, "replied_by_host");
    assert_eq!(replied, expected);
    assert_eq!(reason(&status, "icmp_no_flow"), 0);
}

#[test]
fn in_nat_a_backends_port_unreachable_reaches_the_clients_socket() {
    assert_refused("nat");
}

#[test]
fn in_dnat_a_backends_port_unreachable_reaches_the_clients_socket() {
    assert_refused("dnat");
}

#[test]
fn in_l2_dsr_a_backends_port_unreachable_reaches_the_clients_socket() {
    assert_refused("l2-dsr");
}

#[test]
fn in_ipip_a_backends_port_unreachable_reaches_the_clients_socket() {
    assert_refused("ipip");
}

#[test]
fn in_gue_a_backends_port_unreachable_reaches_the_clients_socket() {
    assert_refused("gue");
}

/// A host on the way says that an answer of a UDP flow is too large for it: the backend of the flow,
/// and no other, takes note. (Of TCP a kernel believes only errors that quote what is on its way.)
fn assert_too_big_reaches_the_backend(mode: &'static str) {
    const FITS: u32 = 1_300;
    let scene = Scene::in_mode(mode, "toobig");
    let client = scene.client();
    let wire = PacketSocket::open(&client, "eth0");
    let next_hop = if mode == "l2-dsr" { "lb" } else { "r1" };
    let next_hop = scene.host(next_hop).interfaces()[0].mac.0;
    for family in Family::BOTH {
        let service = SocketAddr::new(scene.vip_of(family), PORT);
        let from = SocketAddr::new(family.address_of(&client), 40_000);
        let socket = client.inside(|| UdpSocket::bind(from)).unwrap().unwrap();
        let server = server_of(&socket, service);
        // What the client got from the service, as far as an error has to quote it.
        let answer = PacketBuilder::udp(service, from).payload(&[0; 1_400]);
        let quoted = quote(&answer.ip_packet(), 8);
        let message = Message::TooBig(FITS);
        let error = PacketBuilder::icmp_error(from.ip(), service.ip(), message, &quoted)
            .macs(next_hop, client.interfaces()[0].mac.0);
        wire.send(&error.build());
        let peer = scene.peer_of_backends(mode, family);
        let knows = |host: &str| path_mtu(&scene.host(host), peer) == Some(FITS);
        eventually("the backend knows", PATIENCE, || {
            knows(&server).then_some(())
        });
        for other in ["h2", "h3"] {
            assert!(
                other == server || !knows(other),
                "{server} served, {other} knows"
            );
        }
        assert_eq!(server_of(&socket, service), server);
    }
    assert_eq!(reason(&scene.status(), "icmp_forwarded"), 2);
}

/// Asks with a datagram who is there.
fn server_of(socket: &UdpSocket, service: SocketAddr) -> String {
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket.send_to(b"who?", service).unwrap();
    let mut answer = [0; 100];
    let (length, _) = socket.recv_from(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    answer.strip_suffix(" who?").unwrap().to_owned()
}

#[test]
fn in_nat_a_packet_too_big_reaches_the_backend_of_the_flow() {
    assert_too_big_reaches_the_backend("nat");
}

#[test]
fn in_dnat_a_packet_too_big_reaches_the_backend_of_the_flow() {
    assert_too_big_reaches_the_backend("dnat");
}

#[test]
fn in_l2_dsr_a_packet_too_big_reaches_the_backend_of_the_flow() {
    assert_too_big_reaches_the_backend("l2-dsr");
}

#[test]
fn in_ipip_a_packet_too_big_reaches_the_backend_of_the_flow() {
    assert_too_big_reaches_the_backend("ipip");
}

#[test]
fn in_gue_a_packet_too_big_reaches_the_backend_of_the_flow() {
    assert_too_big_reaches_the_backend("gue");
}

/// Whether a ping is answered.
fn is_answered(scene: &Scene, family: Family) -> bool {
    let mut ping = scene.client().command("ping");
    ping.args(["-c", "1", "-W", "1", &scene.vip_of(family).to_string()]);
    finish(&ping).code == Some(0)
}

/// One service of each family at the VIPs.
fn pinged(scene: &Scene, state: &str, more: &str) -> Vec<Service> {
    let service = |family| {
        let service = Service::tcp(SocketAddr::new(scene.vip_of(family), PORT), "dnat");
        let backends = scene.backends(family);
        let backends = backends.iter().fold(service, |service, backend| {
            service.backend(&format!("address = \"{backend}\", state = \"{state}\""))
        });
        backends.with(more)
    };
    Family::BOTH.map(service).into()
}

#[test]
fn pings_are_answered_while_a_backend_lives_and_the_service_answers_them() {
    let mut scene = Scene::new(&ROUTED, "ping");
    scene.balance(&pinged(&scene, "up", ""));
    let answered = |scene: &Scene| Family::BOTH.map(|family| is_answered(scene, family));
    assert_eq!(answered(&scene), [true, true]);
    assert_eq!(reason(&scene.status(), "echo_answered"), 2);

    scene.reload(&pinged(&scene, "up", "echo = false"));
    assert_eq!(answered(&scene), [false, false]);
    scene.reload(&pinged(&scene, "drain", ""));
    assert_eq!(answered(&scene), [true, true]);
    scene.reload(&pinged(&scene, "down", ""));
    assert_eq!(answered(&scene), [false, false]);
    scene.reload(&pinged(&scene, "up", "echo = true"));
    assert_eq!(answered(&scene), [true, true]);
    let status = scene.status();
    assert_eq!(reason(&status, "echo_answered"), 6);
    assert!(reason(&status, "icmp_for_host") >= 4);
}
