//! Backends whose kernel has no tunnel run `evenkeel decap`: real clients and servers, and in the
//! load balancer's place a few lines that put an outer header in front of every packet.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails it"
)]
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use abi::decap::{DecapAction, DecapReason};
use control::decap::DecapStatus;
use control::instance::decap_socket_path;
use evenkeel_tests::support::{
    Finished, PATIENCE, PacketSocket, Scene, evenkeel, eventually, finish, ip, xdp_programs,
};
use lab::fetch::{FetchOptions, Target, fetch, udp};
use lab::topology::{TUNNEL, everywhere};
use lab::{Host, HostProcess};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use testkit::builder::{GUE_PORT, PacketBuilder};

/// Of the servers here, which listen on the VIPs too.
const PORT: u16 = 9000;
const REQUESTS: usize = 20;
const ETHERNET: usize = 14;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Ipip,
    Gue,
}

/// Sends every packet for a VIP on to one backend, in a tunnel.
struct StandIn {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<lab::Result<()>>>,
}

impl StandIn {
    fn start(scene: &Scene, mode: Mode, source: IpAddr, backend: IpAddr) -> Self {
        let host = scene.host("lb");
        let sender = PacketSocket::open(&host, "eth0");
        let macs = [scene.host("r2"), host.clone()].map(|host| host.interfaces()[0].mac.0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = host.thread(move || {
            let flags = SockFlag::SOCK_CLOEXEC;
            let protocol = SockProtocol::EthAll;
            let receiver = socket(AddressFamily::Packet, SockType::Raw, flags, protocol).unwrap();
            let patience = TimeVal::milliseconds(100);
            setsockopt(&receiver, sockopt::ReceiveTimeout, &patience).unwrap();
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                let flags = MsgFlags::MSG_TRUNC;
                let Ok(length) = recv(receiver.as_raw_fd(), &mut buffer, flags) else {
                    continue;
                };
                let frame = buffer.get(..length).expect("no offload, no jumbo frames");
                if !is_for_vip(frame) {
                    continue;
                }
                let packet = &frame[ETHERNET..];
                let outer = match mode {
                    Mode::Ipip => PacketBuilder::ipip(source, backend, packet),
                    Mode::Gue => PacketBuilder::gue((source, 50_000), (backend, GUE_PORT), packet),
                };
                sender.send(&outer.macs(macs[0], macs[1]).build());
            }
        });
        let thread = Some(thread.unwrap());
        Self { stop, thread }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap().unwrap();
        }
    }
}

/// An untagged frame to one of the VIPs.
fn is_for_vip(frame: &[u8]) -> bool {
    TUNNEL.vips().any(|vip| match vip {
        IpAddr::V4(vip) => frame[12..14] == [8, 0] && frame[30..34] == vip.octets(),
        IpAddr::V6(vip) => frame[12..14] == [0x86, 0xdd] && frame[38..54] == vip.octets(),
    })
}

fn start(host: &Host, arguments: &str) -> HostProcess {
    let words: Vec<_> = arguments.split_whitespace().collect();
    let mut process = host.spawn(evenkeel(), &words).unwrap();
    if let Err(error) = process.wait_ready(PATIENCE) {
        panic!("{error}");
    }
    process
}

fn serve(host: &Host) -> HostProcess {
    let [v4, v6] = everywhere(PORT);
    let name = host.name();
    start(
        host,
        &format!("lab serve --name {name} --listen {v4} --listen {v6}"),
    )
}

fn command(host: &Host, arguments: &str) -> Finished {
    let mut command = host.command(evenkeel());
    command.args(arguments.split_whitespace());
    finish(&command)
}

fn status(host: &Host) -> DecapStatus {
    let finished = command(host, "decap --status --json");
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap()
}

/// What was dropped, by reason.
fn dropped(status: &DecapStatus) -> Vec<(DecapReason, u64)> {
    let drops = DecapReason::ALL
        .iter()
        .filter(|reason| reason.action() == DecapAction::Drop);
    drops
        .map(|reason| (*reason, status.count(*reason)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn options(vip: IpAddr) -> FetchOptions {
    FetchOptions {
        requests: REQUESTS,
        concurrency: 4,
        ..FetchOptions::new(Target::root(SocketAddr::new(vip, PORT)))
    }
}

/// Requests and datagrams of a client to both VIPs, all answered.
fn assert_answered(scene: &Scene, what: &str) {
    let client = scene.host("c1");
    for vip in TUNNEL.vips() {
        let options = options(vip);
        for report in [
            client.inside(|| fetch(&options)).unwrap(),
            client.inside(|| udp(&options)).unwrap(),
        ] {
            let summary = report.unwrap().summary;
            assert_eq!(summary.answered, REQUESTS, "{what}, {vip}: {summary}");
        }
    }
}

fn tunnel_of(
    scene: &Scene,
    scene_mode: Mode,
    family: fn(&Host) -> Option<IpAddr>,
    backend: &Host,
) -> StandIn {
    let source = family(&scene.host("lb")).unwrap();
    StandIn::start(scene, scene_mode, source, family(backend).unwrap())
}

#[test]
fn tcp_and_udp_come_out_of_every_tunnel() {
    let scene = Scene::new(&TUNNEL, "decap");
    let backend = scene.host("h2");
    let _server = serve(&backend);
    for arguments in [
        "decap eth0",
        "decap eth0 --xdp generic --vip 192.0.2.100 --vip fd00:f::100 \
         --from 192.0.2.10 --from fd00:f::/96",
    ] {
        let mut decap = start(&backend, arguments);
        for mode in [Mode::Ipip, Mode::Gue] {
            for (name, family) in [
                ("v4", Host::address as fn(&Host) -> Option<IpAddr>),
                ("v6", Host::address6),
            ] {
                let _tunnel = tunnel_of(&scene, mode, family, &backend);
                assert_answered(&scene, &format!("{arguments}, {mode:?} over {name}"));
            }
        }
        let status = status(&backend);
        assert_eq!(dropped(&status), []);
        // A request is six packets of the client at least, a datagram one.
        let least = (2 * 2 * REQUESTS * 5) as u64;
        for reason in [DecapReason::Ipip, DecapReason::Gue] {
            assert!(status.count(reason) > least, "{status:?}");
        }
        assert_eq!(xdp_programs(&backend, "eth0").len(), 1);
        decap.signal(Signal::SIGTERM).unwrap();
        let ended = decap.wait(PATIENCE).unwrap().expect("an end");
        assert!(ended.success(), "{ended}");
        let output = decap.output();
        assert!(output.contains("stopped: detached"), "{output}");
        assert!(output.contains("taken: inner packet"), "{output}");
        assert!(xdp_programs(&backend, "eth0").is_empty());
    }
}

#[test]
fn strangers_and_other_addresses_are_refused_and_new_addresses_followed() {
    let scene = Scene::new(&TUNNEL, "decaprefuse");
    let backend = scene.host("h2");
    let _server = serve(&backend);
    let source = scene.host("lb").address().unwrap();
    let vip = IpAddr::V4(TUNNEL.vip);
    let client = scene.host("c1");
    let ask = |answered: usize| {
        let options = FetchOptions {
            requests: 2,
            timeout: std::time::Duration::from_millis(500),
            ..options(vip)
        };
        let report = client.inside(|| udp(&options)).unwrap().unwrap();
        assert_eq!(report.summary.answered, answered, "{}", report.summary);
    };

    // What stands in for a tunnel takes its time to begin on a busy machine.
    let until_refused = |reason: DecapReason| {
        eventually(reason.name(), PATIENCE, || {
            ask(0);
            let refused = dropped(&status(&backend));
            assert!(refused.iter().all(|(of, _)| *of == reason), "{refused:?}");
            matches!(refused[..], [(_, 2..)]).then_some(())
        });
    };

    let decap = start(&backend, "decap eth0 --from 192.0.2.11");
    let tunnel = StandIn::start(&scene, Mode::Ipip, source, backend.address().unwrap());
    until_refused(DecapReason::SenderUnknown);
    drop(decap);

    let decap = start(&backend, "decap eth0");
    ask(2);
    ip(&backend, "address del 192.0.2.100/32 dev lo");
    eventually("one address less", PATIENCE, || {
        (!status(&backend).addresses.contains(&vip)).then_some(())
    });
    until_refused(DecapReason::NotForVip);
    ip(&backend, "address add 192.0.2.100/32 dev lo");
    eventually("the address again", PATIENCE, || {
        status(&backend).addresses.contains(&vip).then_some(())
    });
    ask(2);
    drop((tunnel, decap));
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let scene = Scene::new(&TUNNEL, "decaperrors");
    let backend = scene.host("h2");
    let refused = |host: &Host, arguments: &str, expected: &str| {
        let finished = command(host, arguments);
        assert_ne!(finished.code, Some(0), "{arguments}: {finished:?}");
        assert!(
            finished.stderr.contains(expected),
            "{arguments}: {}",
            finished.stderr
        );
    };
    refused(&backend, "decap eth7", "there is no interface \"eth7\"");
    refused(&backend, "decap lo", "has no MAC address");
    refused(&backend, "decap", "IFACE");
    refused(&backend, "decap eth0 --vip 192.0.2.256", "expected ADDRESS");
    refused(&backend, "decap eth0 --from 10.0.0.1/8", "10.0.0.0/8");
    refused(
        &backend,
        "decap --status",
        "start one with `evenkeel decap`",
    );
    // In the switch's namespace no interface has an address.
    refused(&scene.host("switch"), "decap to-c1", "expected an address");
    let _decap = start(&backend, "decap eth0");
    refused(&backend, "decap eth0", "is running already");
    refused(
        &backend,
        "decap eth0 --instance other",
        "has an XDP program already",
    );
    assert_eq!(xdp_programs(&backend, "eth0").len(), 1);
}

#[test]
fn a_lab_that_is_taken_down_takes_along_what_a_killed_process_left() {
    let scene = Scene::new(&TUNNEL, "decapkilled");
    let backend = scene.host("h2");
    let socket = decap_socket_path(backend.namespace());
    start(&backend, "decap eth0").kill().unwrap();
    assert!(socket.exists(), "nobody was left to remove it");
    drop(scene);
    assert!(!socket.exists());
}
