//! Checks by way of a service, with a kernel at the other end that has the VIP. Needs root.
//!
//! `lb` has eth0 (10.9.0.1/24, fd00:9::1/64) to `backend` (10.9.0.2, fd00:9::2), which has the
//! VIPs 10.9.9.9 and fd00:9:9::9 on its loopback. In one test `lb` has them, too, as a balancer has
//! whose host answers ARP for them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use engine::desired::{
    Backend, Desired, ForwardingMode, NextHop, Protocol, Service, ServiceId, ServicePort,
};
use nix::sched::{CloneFlags, setns};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use super::*;
use crate::config::Checked;
use crate::nexthop::{NextHops, Target as HopTarget};

const PATIENCE: Duration = Duration::from_secs(30);
const PORT: u16 = 8_000;
const VIPS: [&str; 2] = ["10.9.9.9", "fd00:9:9::9"];
const BACKENDS: [&str; 2] = ["10.9.0.2", "fd00:9::2"];

/// Two namespaces, removed on drop.
struct Lab {
    prefix: String,
}

impl Lab {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let lab = Self {
            prefix: format!("ekhc{}-{number}", std::process::id()),
        };
        for host in ["lb", "backend"] {
            run(&format!("ip netns add {}", lab.name(host)));
            lab.ip(host, "link set lo up");
            // Link-local addresses at once.
            let name = lab.name(host);
            run(&format!(
                "ip netns exec {name} sysctl -q -w net.ipv6.conf.default.accept_dad=0"
            ));
        }
        run(&format!(
            "ip link add eth0 netns {} type veth peer name eth0 netns {}",
            lab.name("lb"),
            lab.name("backend")
        ));
        for (host, last) in [("lb", 1), ("backend", 2)] {
            lab.ip(host, &format!("addr add 10.9.0.{last}/24 dev eth0"));
            lab.ip(host, &format!("addr add fd00:9::{last}/64 dev eth0 nodad"));
            lab.ip(host, "link set eth0 up");
        }
        for vip in VIPS {
            lab.ip("backend", &format!("addr add {vip} dev lo"));
        }
        lab
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn ip(&self, host: &str, arguments: &str) {
        run(&format!("ip -n {} {arguments}", self.name(host)));
    }

    /// Runs `test` in a namespace, on a thread of its own with a runtime of its own.
    fn inside<F: Future<Output = T>, T: Send + 'static>(
        &self,
        host: &str,
        test: impl FnOnce() -> F + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name(host));
        std::thread::spawn(move || {
            setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(test())
        })
    }

    /// Echoes datagrams and accepts connections at the VIPs, for as long as the process lives.
    fn serve(&self) {
        let (sender, ready) = std::sync::mpsc::channel();
        self.inside("backend", async move || {
            for vip in VIPS.map(address) {
                let at = SocketAddr::new(vip, PORT);
                let listener = TcpListener::bind(at).await.unwrap();
                let socket = UdpSocket::bind(at).await.unwrap();
                tokio::spawn(async move {
                    loop {
                        drop(listener.accept().await);
                    }
                });
                tokio::spawn(async move {
                    let mut datagram = [0; 100];
                    while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
                        let _ = socket.send_to(&datagram[..length], from).await;
                    }
                });
            }
            sender.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        ready.recv().unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in ["lb", "backend"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.name(host)])
                .status();
        }
    }
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command}: {errors} (these tests need root)"
    );
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn kinds() -> [CheckKind; 2] {
    let udp = CheckKind::Udp {
        send: b"ping".to_vec(),
        expect: Some(b"ping".to_vec()),
    };
    [CheckKind::Tcp, udp]
}

/// Services of a mode, one for each VIP, backend and kind; the families may differ in tunnels.
///
/// A check that is to succeed may be late a few times: `fall`.
fn checked(mode: ForwardingMode, port: u16, fall: u8) -> Checked {
    let mut services = Vec::new();
    let mut health = BTreeMap::new();
    let mut number = 0;
    for vip in VIPS.map(address) {
        for backend in BACKENDS.map(address) {
            if vip.is_ipv6() != backend.is_ipv6() && !mode.encapsulates() {
                continue;
            }
            for kind in kinds() {
                number += 1;
                let id = ServiceId {
                    protocol: Protocol::Tcp,
                    address: vip.into(),
                    port: ServicePort::Exact(number),
                };
                services.push(Service {
                    mode,
                    ..Service::new(id, vec![Backend::new(backend)])
                });
                let check = Check {
                    kind,
                    address: None,
                    port: Some(port),
                    via: Via::Service,
                    timing: Timing {
                        interval: Duration::from_millis(500),
                        timeout: Duration::from_millis(500),
                        fall,
                        ..Timing::default()
                    },
                };
                let said = ServiceHealth {
                    check: Some(check),
                    ..ServiceHealth::default()
                };
                health.insert(id, said);
            }
        }
    }
    Checked {
        desired: Desired {
            services,
            ..Desired::default()
        },
        health,
        ..Checked::default()
    }
}

async fn hops() -> HashMap<IpAddr, NextHop> {
    let targets = BACKENDS.map(|text| HopTarget {
        address: address(text),
        mac: None,
    });
    let next_hops = NextHops::start(targets.to_vec()).await.unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let all = next_hops.wait_all(deadline).await;
    all.into_iter()
        .map(|(address, resolution)| (address, *resolution.next_hop().unwrap()))
        .collect()
}

/// What all checks come to, as in `tcp://10.9.9.9:1 up connected`.
async fn verdicts(checked: Checked) -> Vec<(State, String)> {
    let mut health = Health::start(None);
    health.set_next_hops(hops().await);
    health.set_subjects(&checked);
    let known = async {
        loop {
            let now = tokio::time::Instant::now().into_std();
            if health.board().count(State::Unknown, now) == 0 {
                return;
            }
            health.changes().await;
        }
    };
    timeout(PATIENCE, known).await.expect("verdicts of all");
    let now = tokio::time::Instant::now().into_std();
    let services = checked.desired.services.iter();
    services
        .map(|service| {
            let endpoint = Endpoint::of(service, &service.backends[0]);
            let report = health.board().health(&service.id, endpoint, now).unwrap();
            (report.state, report.check.unwrap().text)
        })
        .collect()
}

fn expect_up(verdicts: &[(State, String)]) {
    assert!(!verdicts.is_empty());
    for (at, (state, text)) in verdicts.iter().enumerate() {
        let expected = match at % 2 {
            0 => "connected to the service's address",
            _ => "an answer of 4 bytes",
        };
        assert_eq!(
            (*state, text.as_str()),
            (State::Up, expected),
            "{at}: {verdicts:?}"
        );
    }
}

#[test]
fn a_vip_on_the_backend_answers_what_only_the_mac_leads_there() {
    let lab = Lab::new();
    lab.serve();
    let mode = ForwardingMode::L2Dsr;
    let up = lab.inside("lb", move || verdicts(checked(mode, PORT, 20)));
    expect_up(&up.join().unwrap());
    // Nobody listens there, and nothing answers datagrams.
    let down = lab.inside("lb", move || verdicts(checked(mode, PORT + 1, 2)));
    for (at, verdict) in down.join().unwrap().into_iter().enumerate() {
        let text = match at % 2 {
            0 => "connection refused",
            _ => "no answer from the service's address within 500ms",
        };
        assert_eq!(verdict, (State::Down, text.to_owned()));
    }
    for vip in VIPS {
        lab.ip("lb", &format!("addr add {vip} dev lo"));
    }
    let up = lab.inside("lb", move || verdicts(checked(mode, PORT, 20)));
    expect_up(&up.join().unwrap());
    // Without the VIP the backend does not take what is addressed to it.
    for vip in VIPS {
        lab.ip("backend", &format!("addr del {vip} dev lo"));
    }
    let down = lab.inside("lb", move || verdicts(checked(mode, PORT, 2)));
    let all = down.join().unwrap();
    assert!(
        all.iter().all(|(state, _)| *state == State::Down),
        "{all:?}"
    );
}
