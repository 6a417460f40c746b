//! A steady stream of numbered datagrams, and who got which of them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use lab::Host;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

/// Client ports that take turns, so that several backends get something.
const FLOWS: usize = 16;
/// Datagrams are sent in bursts, one each time this has passed.
const BURST_EVERY: Duration = Duration::from_millis(2);
/// Bursts that are made up for after a pause: more would overrun queues that are nobody's here.
const LATE_BURSTS: u32 = 4;
/// Room for a receiver that has to wait for a CPU.
const RECEIVE_BUFFER: usize = 8 << 20;

/// A datagram: the number of its flow and its own in the flow.
type Numbers = (u16, u64);

/// Numbered datagrams on their way, until [`Self::finish`].
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<lab::Result<(u64, Duration)>>,
    receivers: Vec<JoinHandle<lab::Result<()>>>,
    got: Arc<Mutex<Vec<(usize, Numbers)>>>,
}

/// What became of a stream.
#[derive(Debug)]
pub struct StreamReport {
    /// Datagrams that were sent.
    pub sent: u64,
    /// How many of them a second, pauses of the sender included.
    pub per_second: u64,
    /// Those that nobody got, by flow and number.
    pub lost: Vec<Numbers>,
    /// Those that came more than once.
    pub doubled: usize,
    /// Flows that more than one receiver got datagrams of.
    pub moved: usize,
    /// Receivers that got something.
    pub receivers: usize,
}

impl Stream {
    /// Sends at most `per_second` datagrams from a host to a service, and counts them at `receivers`, where
    /// they come in at the same port.
    ///
    /// # Panics
    /// A socket cannot be made.
    #[must_use]
    pub fn start(from: &Host, service: SocketAddr, receivers: &[Host], per_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let got = Arc::new(Mutex::new(Vec::new()));
        let receive = |(index, host): (usize, &Host)| {
            let socket = host.inside(|| receiver(service)).expect("a namespace");
            let (stop, got) = (Arc::clone(&stop), Arc::clone(&got));
            let work = move || receive(index, &socket, &stop, &got);
            host.thread(work).expect("a thread")
        };
        let receivers = receivers.iter().enumerate().map(receive).collect();
        let sockets = from.inside(|| senders(service)).expect("a namespace");
        let sending = Arc::clone(&stop);
        let burst = per_second as usize * BURST_EVERY.as_millis() as usize / 1_000;
        let sender = from.thread(move || send(&sockets, burst, &sending));
        Self {
            sender: sender.expect("a thread"),
            receivers,
            stop,
            got,
        }
    }

    /// Ends it, and says what became of it.
    ///
    /// # Panics
    /// A datagram could not be sent.
    #[must_use]
    pub fn finish(self) -> StreamReport {
        self.stop.store(true, Ordering::Relaxed);
        let sender = self.sender.join().expect("no panic");
        let (sent, lasted) = sender.expect("a namespace");
        for receiver in self.receivers {
            receiver.join().expect("no panic").expect("a namespace");
        }
        let got = self.got.lock().expect("no panic");
        let distinct: BTreeSet<Numbers> = got.iter().map(|(_, numbers)| *numbers).collect();
        let pairs: BTreeSet<(u16, usize)> =
            got.iter().map(|(at, (flow, _))| (*flow, *at)).collect();
        let flows: BTreeSet<u16> = pairs.iter().map(|(flow, _)| *flow).collect();
        let at: BTreeSet<usize> = pairs.iter().map(|(_, at)| *at).collect();
        let all = (0..sent).map(|index| ((index % FLOWS as u64) as u16, index / FLOWS as u64));
        StreamReport {
            sent,
            per_second: (sent as f64 / lasted.as_secs_f64()) as u64,
            lost: all.filter(|numbers| !distinct.contains(numbers)).collect(),
            doubled: got.len() - distinct.len(),
            moved: pairs.len() - flows.len(),
            receivers: at.len(),
        }
    }
}

fn receiver(service: SocketAddr) -> UdpSocket {
    let any = match service {
        SocketAddr::V4(_) => format!("0.0.0.0:{}", service.port()),
        SocketAddr::V6(_) => format!("[::]:{}", service.port()),
    };
    let socket = UdpSocket::bind(any).expect("a free port");
    setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER).expect("a receive buffer");
    let patience = Some(Duration::from_millis(100));
    socket.set_read_timeout(patience).expect("a timeout");
    socket
}

fn senders(service: SocketAddr) -> Vec<UdpSocket> {
    let any = if service.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let sender = |_| {
        let socket = UdpSocket::bind(any).expect("a free port");
        socket.connect(service).expect("a way to the service");
        socket
    };
    (0..FLOWS).map(sender).collect()
}

/// How many were sent, and in which time.
fn send(sockets: &[UdpSocket], burst: usize, stop: &AtomicBool) -> (u64, Duration) {
    let mut sent = 0_u64;
    let began = Instant::now();
    let mut next = began;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..burst {
            let flow = (sent % FLOWS as u64) as u16;
            let mut datagram = [0; 10];
            datagram[..2].copy_from_slice(&flow.to_be_bytes());
            datagram[2..].copy_from_slice(&(sent / FLOWS as u64).to_be_bytes());
            let socket = &sockets[usize::from(flow)];
            socket.send(&datagram).expect("a datagram can be sent");
            sent += 1;
        }
        let now = Instant::now();
        next = (next + BURST_EVERY).max(now - LATE_BURSTS * BURST_EVERY);
        sleep(next.saturating_duration_since(now));
    }
    (sent, began.elapsed())
}

/// Until nothing has come for as long as a read waits, once sending has stopped.
fn receive(at: usize, socket: &UdpSocket, stop: &AtomicBool, got: &Mutex<Vec<(usize, Numbers)>>) {
    let mut datagram = [0; 64];
    loop {
        match socket.recv(&mut datagram) {
            Ok(10) => {
                let flow = u16::from_be_bytes([datagram[0], datagram[1]]);
                let mut number = [0; 8];
                number.copy_from_slice(&datagram[2..10]);
                let numbers = (flow, u64::from_be_bytes(number));
                got.lock().expect("no panic").push((at, numbers));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}
