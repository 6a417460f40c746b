//! The real thing: network namespaces of our own, the kernel's own tables. Needs root.
//!
//! `lb` has eth0 (10.9.0.1/24, fd00:9::1/64, fe80::1) to `near` (10.9.0.2, fd00:9::2, fe80::2) and
//! eth1 (10.9.1.1/24, fd00:9:0:1::1/64) to `other` (10.9.1.2, fd00:9:0:1::2).

mod v4;
mod v6;

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use engine::desired::Mac;
use nix::sched::{CloneFlags, setns};

use super::*;

const LB0: Mac = Mac([2, 0, 0, 9, 0, 1]);
const LB1: Mac = Mac([2, 0, 0, 9, 1, 1]);
const NEAR: Mac = Mac([2, 0, 0, 9, 0, 2]);
const NEAR_LATER: Mac = Mac([2, 0, 0, 9, 0, 0x99]);
const OTHER: Mac = Mac([2, 0, 0, 9, 1, 2]);
/// Longer than the kernel's own timers that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three namespaces, removed on drop.
struct Lab {
    prefix: String,
}

impl Lab {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let lab = Self {
            prefix: format!("eknh{}-{number}", std::process::id()),
        };
        let (lb, near, other) = (lab.name("lb"), lab.name("near"), lab.name("other"));
        for host in ["lb", "near", "other"] {
            run(&format!("ip netns add {}", lab.name(host)));
            // Our own link-local addresses, at once.
            lab.sysctl(host, "ipv6/conf/default/addr_gen_mode", 1);
        }
        for (peer, lb_interface, net) in [(&near, "eth0", 0), (&other, "eth1", 1)] {
            run(&format!(
                "ip link add {lb_interface} netns {lb} address 02:00:00:09:0{net}:01 \
                 type veth peer name eth0 netns {peer} address 02:00:00:09:0{net}:02"
            ));
            run(&format!(
                "ip -n {lb} addr add 10.9.{net}.1/24 dev {lb_interface}"
            ));
            run(&format!("ip -n {peer} addr add 10.9.{net}.2/24 dev eth0"));
            run(&format!("ip -n {lb} link set {lb_interface} up"));
            run(&format!("ip -n {peer} link set eth0 up"));
            for (host, interface, last) in [(&lb, lb_interface, 1), (peer, "eth0", 2)] {
                for v6 in [format!("fd00:9:0:{net}::{last}"), format!("fe80::{last}")] {
                    run(&format!(
                        "ip -n {host} addr add {v6}/64 dev {interface} nodad"
                    ));
                }
            }
        }
        lab
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// `ip ARGUMENTS` in the namespace of `host`.
    fn ip(&self, host: &str, arguments: &str) {
        run(&format!("ip -n {} {arguments}", self.name(host)));
    }

    fn sysctl(&self, host: &str, key: &str, value: u32) {
        let path = format!("/proc/sys/net/{key}");
        let status = Command::new("ip")
            .args(["netns", "exec", &self.name(host), "sh", "-c"])
            .arg(format!("echo {value} > {path}"))
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{path}");
    }

    /// Has `lb` confirm its neighbours within two seconds. The defaults (30 s, 5 s, 1 s) would do
    /// the same, later.
    fn confirm_early(&self, family: &str) {
        for (setting, value) in [
            ("base_reachable_time_ms", 1_000),
            ("delay_first_probe_time", 1),
            ("retrans_time_ms", 100),
        ] {
            self.sysctl("lb", &format!("{family}/neigh/eth0/{setting}"), value);
        }
    }

    /// Runs `test` in the namespace `lb`, on a thread of its own with a runtime of its own.
    fn in_lb<F: Future<Output = ()>>(&self, test: impl FnOnce() -> F + Send) {
        let path = format!("/run/netns/{}", self.name("lb"));
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                runtime.enable_all().build().unwrap().block_on(test());
            });
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in ["lb", "near", "other"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.name(host)])
                .status();
        }
    }
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command}: {errors} (these tests need root)"
    );
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn start(addresses: &[&str]) -> NextHops {
    let targets = addresses.iter().map(|text| Target {
        address: address(text),
        mac: None,
    });
    NextHops::start(targets.collect()).await.unwrap()
}

async fn settled(next_hops: &NextHops) -> BTreeMap<IpAddr, Resolution> {
    let start = Instant::now();
    let all = next_hops.wait_all(start + PATIENCE).await;
    assert!(start.elapsed() < PATIENCE, "not settled: {all:?}");
    all
}

/// Waits until the resolution of a target, in words, is `expected`.
async fn until(next_hops: &mut NextHops, target: &str, expected: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = in_words(next_hops.current().get(&address(target)));
        if found == expected {
            return;
        }
        let changes = tokio::time::timeout_at(deadline, next_hops.changes()).await;
        match changes {
            Ok(changes) => drop(changes.unwrap()),
            Err(_) => panic!("{target}\nexpected {expected}\nfound    {found}"),
        }
    }
}

/// `to_mac` says in words where packets go.
fn assert_a_late_neighbour_is_found(target: &str, comes_up: &str, to_mac: fn(Mac) -> String) {
    let lab = Lab::new();
    lab.in_lb(|| async {
        let mut next_hops = start(&[target]).await;
        let failed = format!("no answer from {target} on eth0: is it up, and in this network?");
        until(&mut next_hops, target, &failed).await;
        lab.ip("near", comes_up);
        until(&mut next_hops, target, &to_mac(NEAR)).await;
    });
}

/// `to_mac` says in words where packets go.
fn assert_a_new_mac_is_followed(lab: &Lab, target: &str, to_mac: fn(Mac) -> String) {
    lab.in_lb(|| async {
        let mut next_hops = start(&[target]).await;
        until(&mut next_hops, target, &to_mac(NEAR)).await;
        let start = Instant::now();
        lab.ip("near", &format!("link set eth0 address {NEAR_LATER}"));
        until(&mut next_hops, target, &to_mac(NEAR_LATER)).await;
        println!("followed after {:?}", start.elapsed());
    });
}

/// `near` has a narrower way on to `target`, and says so when `lb` pings it.
fn assert_a_learnt_mtu_does_not_count(target: &str, network: &str, gateway: &str) {
    let lab = Lab::new();
    lab.sysctl("near", "ipv4/ip_forward", 1);
    lab.sysctl("near", "ipv6/conf/all/forwarding", 1);
    lab.ip("near", "link add narrow mtu 1300 type veth peer name end");
    lab.ip("near", "link set narrow up");
    lab.ip("near", "link set end up");
    lab.ip("near", &format!("route add {network} dev narrow"));
    for configured in ["", " mtu 1400"] {
        let route = format!("{network} via {gateway} dev eth0{configured}");
        lab.ip("lb", &format!("route replace {route}"));
        lab.in_lb(|| async {
            // Nobody answers: an error that tells of the MTU is all there is to get.
            let ping = format!("ping -c 1 -W 1 -M do -s 1350 {target}; ip route get {target}");
            let output = Command::new("sh").args(["-c", &ping]).output().unwrap();
            let learnt = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(learnt.contains("mtu 1300"), "{learnt}");
            let next_hops = start(&[target]).await;
            let found = settled(&next_hops).await;
            let expected = configured.replace(" mtu ", "");
            let expected = expected.parse().unwrap_or(1500);
            let Some(Resolution::Resolved { next_hop, .. }) = found.get(&address(target)) else {
                panic!("{found:?}");
            };
            assert_eq!(next_hop.mtu, expected);
        });
    }
}

fn in_words(resolution: Option<&Resolution>) -> String {
    match resolution {
        None => "nothing".into(),
        Some(Resolution::Unresolved(reason)) => reason.to_string(),
        Some(Resolution::Resolved { next_hop, gateway }) => {
            let gateway = gateway.map_or(String::new(), |gateway| format!(" via {gateway}"));
            format!(
                "from {} {} to {}{gateway} mtu {}",
                next_hop.source_address,
                next_hop.source_mac,
                next_hop.destination_mac,
                next_hop.mtu
            )
        }
    }
}

#[test]
fn an_interface_is_described_and_a_missing_one_answered_with_those_there_are() {
    let lab = Lab::new();
    lab.in_lb(|| async {
        let found = interface("eth1").await.unwrap();
        assert!(found.index > 0);
        let expected = Interface {
            index: found.index,
            name: "eth1".into(),
            kind: Some("veth".into()),
            mac: Some(LB1),
            mtu: 1500,
            up: true,
            carrier: true,
            xdp: Vec::new(),
        };
        assert_eq!(found, expected);
        let error = interface("eth7").await.unwrap_err().to_string();
        assert!(
            error.starts_with("there is no interface \"eth7\"; there are: lo"),
            "{error}"
        );
        assert!(error.contains("eth0") && error.contains("eth1"), "{error}");
    });
}
