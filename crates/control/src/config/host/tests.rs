use super::super::parse;
use super::*;

const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1002 1 0000000000000000 100 0 0 10 0
   2: 0A00000A:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1003 1 0000000000000000 100 0 0 10 0
   3: 0A00000A:0016 0100000A:9C40 01 00000000:00000000 02:000A7214 00000000     0        0 1004 2 0000000000000000 20 4 31 10 -1
";
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2001 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000A00000A:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2002 1 0000000000000000 100 0 0 10 0
   2: B80D01200000000000000000020000FF:1F93 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2003 1 0000000000000000 100 0 0 10 0
";
const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3001 2 0000000000000000 0
  101: 0A00000A:BEEF 0200000A:0035 01 00000000:00000000 00:00000000 00000000     0        0 3002 2 0000000000000000 0
";

fn lines(protocol: Protocol, text: &str) -> Vec<String> {
    parse_sockets(protocol, text)
        .iter()
        .map(|l| format!("{} {} {} {}", l.protocol, l.address, l.port, l.inode))
        .collect()
}

#[test]
#[cfg(target_endian = "little")]
fn listening_sockets_are_read_from_procfs() {
    assert_eq!(
        lines(Protocol::Tcp, TCP),
        [
            "tcp 0.0.0.0 22 1001",
            "tcp 127.0.0.1 8080 1002",
            "tcp 10.0.0.10 80 1003"
        ]
    );
    assert_eq!(
        lines(Protocol::Tcp, TCP6),
        [
            "tcp :: 8081 2001",
            "tcp 10.0.0.10 8082 2002",
            "tcp 2001:db8::ff00:2 8083 2003"
        ]
    );
    assert_eq!(lines(Protocol::Udp, UDP), ["udp 0.0.0.0 53 3001"]);
    assert_eq!(
        lines(Protocol::Tcp, "header\n0: nonsense\n1: 00:00 00:00 0A"),
        [""; 0]
    );
}

#[test]
fn port_ranges_are_read_from_procfs() {
    assert_eq!(parse_port_range("32768\t60999\n"), Some(32_768..=60_999));
    assert_eq!(parse_port_range(""), None);
}

fn desired(services: &[&str], nat: &str) -> Desired {
    let services: String = services
        .iter()
        .map(|id| format!("[[service]]\naddress = \"{id}\"\nbackends = [\"10.9.0.2\"]\n"))
        .collect();
    parse("lb.toml", &format!("{services}[nat]\nports = \"{nat}\"\n"))
        .unwrap()
        .desired
}

#[cfg(target_endian = "little")]
fn host() -> Host {
    let mut listeners = parse_sockets(Protocol::Tcp, TCP);
    listeners.extend(parse_sockets(Protocol::Tcp, TCP6));
    listeners.extend(parse_sockets(Protocol::Udp, UDP));
    listeners[0].program = Some("sshd".to_owned());
    Host {
        ephemeral_ports: Some(32_768..=60_999),
        addresses: vec![IpAddr::from([10, 0, 0, 10])],
        listeners,
    }
}

#[test]
#[cfg(target_endian = "little")]
fn an_any_port_service_names_the_ports_it_takes_from_the_host() {
    let warnings = |services: &[&str]| {
        let mut warnings = host().warnings(&desired(services, "10240-32767"));
        warnings.retain(|warning| warning.contains("listens"));
        warnings
    };
    assert_eq!(
        warnings(&["tcp://10.0.0.10:*"]),
        [
            "tcp://10.0.0.10:* also takes the ports this host listens on at that address: \
          22 (sshd), 80, 8081, 8082"
        ]
    );
    // A service of its own for port 80 says that the port is meant.
    assert_eq!(
        warnings(&[
            "tcp://10.0.0.10:*",
            "tcp://10.0.0.10:80",
            "udp://10.0.0.10:*"
        ]),
        [
            "tcp://10.0.0.10:* also takes the ports this host listens on at that address: \
             22 (sshd), 8081, 8082",
            "udp://10.0.0.10:* also takes the ports this host listens on at that address: 53",
        ]
    );
    // Prefixes that cover the host's address, with every port or one.
    assert_eq!(
        warnings(&[
            "tcp://10.0.0.0/28:*",
            "tcp://10.0.0.0/24:22",
            "tcp://10.1.0.0/24:*"
        ]),
        [
            "tcp://10.0.0.0/28:* also takes the ports this host listens on at its own address in \
             there: 80, 8081, 8082",
            "tcp://10.0.0.0/24:22 also takes the ports this host listens on at its own address in \
             there: 22 (sshd)",
        ]
    );
    // Another host's address, or one port that was asked for.
    assert_eq!(
        warnings(&["tcp://10.0.0.11:*", "tcp://10.0.0.10:22"]),
        [""; 0]
    );
}

#[test]
fn an_any_port_service_says_whose_answers_it_takes_from_the_host() {
    let host = Host {
        addresses: vec![IpAddr::from([10, 0, 0, 10])],
        ..Host::default()
    };
    let warnings = |services: &[&str], mode| {
        let mut desired = desired(services, "10240-32767");
        desired.services[0].mode = mode;
        host.warnings(&desired)
    };
    let expected = |id, protocol, checks| {
        format!(
            "{id} also takes the answers to what this host itself asks by {protocol} from \
             10.0.0.10{checks}; name the service's ports, or give it an address that the host does \
             not ask from"
        )
    };
    let (tcp, udp) = ("tcp://10.0.0.10:*", "udp://10.0.0.0/24:*");
    assert_eq!(
        warnings(&[tcp], ForwardingMode::Nat),
        [expected(tcp, "TCP", ", but for health checks")]
    );
    assert_eq!(
        warnings(&[tcp], ForwardingMode::L2Dsr),
        [expected(tcp, "TCP", "")]
    );
    assert_eq!(
        warnings(&[udp], ForwardingMode::Nat),
        [expected(udp, "UDP", "")]
    );
    for other in ["tcp://10.0.0.10:80", "tcp://10.0.0.11:*"] {
        assert_eq!(warnings(&[other], ForwardingMode::Nat), [""; 0]);
    }
}

#[test]
#[cfg(target_endian = "little")]
fn nat_ports_that_the_host_uses_itself_are_warned_about() {
    let warnings = |nat| host().warnings(&desired(&["tcp://10.0.0.10:80"], nat));
    assert_eq!(
        warnings("10240-40000"),
        [
            "the NAT ports 10240-40000 overlap 32768-60999, which this host's own connections use \
          (net.ipv4.ip_local_port_range): one may take the other's packets; \
          choose another range for [nat] ports"
        ]
    );
    assert_eq!(warnings("10240-32767"), [""; 0]);
    assert_eq!(warnings("61000-65535"), [""; 0]);
    let mut without = desired(&["tcp://10.0.0.10:80"], "10240-40000");
    without.services[0].mode = ForwardingMode::Ipip;
    assert_eq!(host().warnings(&without), [""; 0]);
}

#[test]
fn this_process_is_found_behind_its_own_socket() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let host = Host::read(&desired(&["tcp://10.0.0.10:*"], "10240-32767"));
    assert!(host.addresses.contains(&IpAddr::from([127, 0, 0, 1])));
    let listener = host.listeners.iter().find(|listener| listener.port == port);
    assert!(
        listener.is_some_and(|listener| listener.program.is_some()),
        "{host:?}"
    );
    // Nobody would be warned of it.
    let named = Host::read(&desired(&["tcp://10.0.0.10:80"], "10240-32767"));
    assert_eq!(named.listeners, []);
    assert!(
        !Host::read(&desired(&["tcp://10.0.0.0/24:80"], "10240-32767"))
            .listeners
            .is_empty()
    );
}
