//! What the tests of this folder share.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use lab::serve::{ServeOptions, serve};
use lab::topology::everywhere;
use lab::{Blueprint, Host, Interrupt, Lab, Topology};

/// An XDP program that returns `XDP_PASS`: `r0 = 2; exit` in section `xdp`, licence GPL,
/// made by `llc -march=bpf -filetype=obj` from
/// `define i32 @pass(ptr %ctx) section "xdp" { ret i32 2 }`.
pub(crate) const PASS: &[u8] = include_bytes!("pass.o");

/// Where servers listen unless a test says otherwise.
pub(crate) const PORT: u16 = 8000;

/// A lab of its own for the calling test.
pub(crate) fn up(topology: &'static Topology, instance: &str) -> Lab {
    Blueprint::new(topology, Some(instance))
        .unwrap()
        .pass_object(PASS)
        .up()
        .unwrap()
}

/// A ping without `ping`: the other host answers a datagram to a closed port with an ICMP
/// error, which the socket reports as "connection refused".
pub(crate) fn reaches(lab: &Lab, from: &str, to: IpAddr) -> bool {
    let answer = lab.host(from).unwrap().inside(|| {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.connect((to, 9))?;
        socket.send(b"anybody there?")?;
        socket.recv(&mut [0; 16])
    });
    answer
        .unwrap()
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// What `ip ARGUMENTS` prints in a host.
pub(crate) fn ip(host: &Host, arguments: &str) -> String {
    let mut command = host.command("ip");
    command.args(arguments.split_whitespace());
    let output = command.output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Datagrams that a host has put together from fragments, IPv4 and IPv6.
pub(crate) fn put_together(host: &Host) -> [u64; 2] {
    let read = |path| {
        host.inside(|| std::fs::read_to_string(path))
            .unwrap()
            .unwrap()
    };
    let v4 = read("/proc/thread-self/net/snmp");
    let mut lines = v4.lines().filter(|line| line.starts_with("Ip:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut fields = names.split_whitespace().zip(values.split_whitespace());
    let (_, v4) = fields.find(|(name, _)| *name == "ReasmOKs").unwrap();
    let v6 = read("/proc/thread-self/net/snmp6");
    let v6 = v6.lines().find_map(|line| line.strip_prefix("Ip6ReasmOKs"));
    [v4, v6.unwrap().trim()].map(|count| count.parse().unwrap())
}

/// A server in a host, on a thread; stops and is waited for when dropped.
pub(crate) struct Server {
    interrupt: Interrupt,
    thread: Option<JoinHandle<lab::Result<lab::Result<()>>>>,
    /// The host's own address; the server listens on all of them.
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(host: &Host) -> Self {
        Self::on(host, everywhere(PORT).into())
    }

    pub(crate) fn on(host: &Host, listen: Vec<SocketAddr>) -> Self {
        let interrupt = Interrupt::never();
        let name = host.name().to_owned();
        let options = ServeOptions { name, listen };
        let address = (host.address().unwrap(), PORT).into();
        let (sender, ready) = mpsc::channel();
        let flag = interrupt.clone();
        let thread = host
            .thread(move || serve(&options, &flag, &mut Line(sender)))
            .unwrap();
        ready.recv().expect("the server listens");
        Self {
            interrupt,
            thread: Some(thread),
            address,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.interrupt.set();
        self.thread
            .take()
            .unwrap()
            .join()
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

/// Where the ready line goes.
struct Line(mpsc::Sender<()>);

impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(()).ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
