//! Packet sockets: what is sent, and who hears what.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::desired::{NextHop, Prefix};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::frame::{self, Heard};
use super::own;
use crate::health::check::connect::ours;
use crate::health::outcome::Found;

/// Of packets of a protocol family (linux/if_ether.h).
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
/// Bytes of the largest IP packet.
const MAX_PACKET: usize = 65_535;
/// Answers that wait for one check.
const MAX_WAITING: usize = 16;
/// Packets read before others have a turn.
const BATCH: usize = 64;
/// After an error.
const PAUSE: Duration = Duration::from_millis(100);

/// How frames get out and answers in. Sockets are opened when they are first needed.
#[derive(Default)]
pub(crate) struct Wire {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` until somebody told them.
    hops: Option<HashMap<IpAddr, NextHop>>,
    /// Every port of these is a service's.
    taken: Arc<[Prefix]>,
    sender: Option<OwnedFd>,
    links: HashMap<u32, LinkAddr>,
    /// By address family (IPv6) and protocol (TCP).
    ears: HashMap<(bool, bool), Ear>,
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_next_hops(&self, hops: HashMap<IpAddr, NextHop>) {
        self.state().hops = Some(hops);
    }

    /// The addresses that are a service's on every port.
    pub(crate) fn set_taken(&self, taken: Arc<[Prefix]>) {
        self.state().taken = taken;
    }

    /// Nobody goes this way any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        (state.sender, state.ears) = (None, HashMap::new());
    }

    /// The way to a backend. That there is none says something about it, but not at the start,
    /// when nobody has looked yet.
    pub(super) fn next_hop(&self, backend: IpAddr) -> Result<NextHop, Found> {
        let state = self.state();
        let Some(hops) = &state.hops else {
            let text = "cannot check: next hops are not known yet";
            return Err(Found::Inconclusive(text.to_owned()));
        };
        let hop = hops.get(&backend).copied();
        hop.ok_or_else(|| Found::Bad(format!("no next hop is known for {backend}")))
    }

    /// An address of ours that `vip` can be asked from.
    pub(super) fn own_address(&self, vip: IpAddr, hop: &NextHop) -> Result<IpAddr, Found> {
        let taken = Arc::clone(&self.state().taken);
        own::address(vip, hop, &taken).ok_or_else(|| {
            Found::Inconclusive(format!(
                "cannot check: this host has no address to ask {vip} from: none of its family \
                 but those of services of every port"
            ))
        })
    }

    pub(super) fn send(&self, frame: &[u8], interface: u32) -> Result<(), Found> {
        let mut state = self.state();
        let sent = state.send(frame, interface);
        if sent.is_err() {
            // The interface may have gone, or have another address.
            state.links.clear();
        }
        match sent {
            // A full queue loses packets, as any network does.
            Ok(()) | Err(Errno::ENOBUFS) => Ok(()),
            Err(error) => Err(ours(&error.into())),
        }
    }

    /// Hears what `from` says to `us`, until dropped.
    pub(super) fn listen(
        &self,
        us: SocketAddr,
        from: SocketAddr,
        is_tcp: bool,
    ) -> Result<Answers, Found> {
        let mut state = self.state();
        let waiting = match state.ears.entry((us.is_ipv6(), is_tcp)) {
            Entry::Occupied(ear) => Arc::clone(&ear.get().waiting),
            Entry::Vacant(place) => {
                let ear = Ear::open(us.is_ipv6(), is_tcp).map_err(|error| ours(&error))?;
                Arc::clone(&place.insert(ear).waiting)
            }
        };
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        lock(&waiting).insert((from, us), sender);
        Ok(Answers {
            conversation: (from, us),
            waiting,
            receiver,
        })
    }
}

impl State {
    fn send(&mut self, frame: &[u8], interface: u32) -> nix::Result<()> {
        if self.sender.is_none() {
            // Of protocol 0: it sends, and nothing that arrives is queued for it.
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            self.sender = Some(socket(AddressFamily::Packet, SockType::Raw, flags, None)?);
        }
        if !self.links.contains_key(&interface) {
            self.links = own::links()?;
        }
        let (Some(sender), Some(link)) = (&self.sender, self.links.get(&interface)) else {
            return Err(Errno::ENODEV);
        };
        sendto(sender.as_raw_fd(), frame, link, MsgFlags::empty()).map(drop)
    }
}

/// From whom to whom.
type Conversation = (SocketAddr, SocketAddr);
type Waiting = Arc<Mutex<HashMap<Conversation, mpsc::Sender<Heard>>>>;

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<Conversation, mpsc::Sender<Heard>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one check hears.
pub(super) struct Answers {
    conversation: Conversation,
    waiting: Waiting,
    receiver: mpsc::Receiver<Heard>,
}

impl Answers {
    pub(super) async fn next(&mut self) -> Result<Heard, Found> {
        let heard = self.receiver.recv().await;
        heard.ok_or_else(|| Found::Inconclusive("cannot check: nobody listens any more".into()))
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.conversation);
    }
}

/// A socket that hears packets of one family and protocol before the host's stack does, which
/// would drop those from an address that is its own, too.
struct Ear {
    waiting: Waiting,
    task: JoinHandle<()>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
        // Whoever waits is told.
        lock(&self.waiting).clear();
    }
}

impl Ear {
    fn open(is_v6: bool, is_tcp: bool) -> io::Result<Self> {
        let (family, filter) = match is_v6 {
            false => (ETH_P_IP, filter_v4(is_tcp)),
            true => (ETH_P_IPV6, filter_v6(is_tcp)),
        };
        // The kernel wants it in network byte order.
        let protocol = Protocol::from(i32::from(family.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        socket.attach_filter(&filter)?;
        socket.set_nonblocking(true)?;
        #[expect(
            deprecated,
            reason = "sound for what owns its descriptor; the other is unsafe"
        )]
        let socket = AsyncFd::new(socket)?;
        let waiting = Waiting::default();
        let task = tokio::spawn(hear(socket, Arc::clone(&waiting)));
        Ok(Self { waiting, task })
    }
}

async fn hear(socket: AsyncFd<Socket>, waiting: Waiting) {
    let mut packet = vec![0; MAX_PACKET];
    loop {
        let Ok(mut ready) = socket.readable().await else {
            return;
        };
        for _ in 0..BATCH {
            match ready.try_io(|socket| socket.get_ref().read(&mut packet)) {
                Ok(Ok(length)) => pass_on(&packet[..length], &waiting),
                Err(_) => break,
                // An interface went down, for one; the others are still there.
                Ok(Err(_)) => {
                    sleep(PAUSE).await;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

fn pass_on(packet: &[u8], waiting: &Waiting) {
    let Some((from, us, heard)) = frame::heard(packet) else {
        return;
    };
    if let Some(check) = lock(waiting).get(&(from, us)) {
        // One that hears more than it can take has heard enough.
        let _ = check.try_send(heard);
    }
}

// Classic BPF (linux/filter.h), over a packet that begins with its IP header.
const LOAD_BYTE: u16 = 0x30;
const LOAD_BYTE_BEHIND_X: u16 = 0x50;
const X_IS_IPV4_HEADER_LENGTH: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
const ALL: u32 = u32::MAX;
const TCP: u32 = 6;
const UDP: u32 = 17;
/// Offset of the flags in a TCP header, and those that answers to a SYN have: SYN, RST.
const FLAGS: u32 = 13;
const SYN_OR_RST: u32 = 0x06;

/// UDP, or the TCP segments that answer a SYN: there are few of those on a host.
fn filter_v4(is_tcp: bool) -> Vec<SockFilter> {
    let op = SockFilter::new;
    match is_tcp {
        true => vec![
            op(LOAD_BYTE, 0, 0, 9),
            op(JUMP_IF_EQUAL, 0, 4, TCP),
            op(X_IS_IPV4_HEADER_LENGTH, 0, 0, 0),
            op(LOAD_BYTE_BEHIND_X, 0, 0, FLAGS),
            op(JUMP_IF_ANY_BIT, 0, 1, SYN_OR_RST),
            op(RETURN, 0, 0, ALL),
            op(RETURN, 0, 0, 0),
        ],
        false => udp_only(9),
    }
}

/// The same without extension headers, which no answer to a check has.
fn filter_v6(is_tcp: bool) -> Vec<SockFilter> {
    let op = SockFilter::new;
    match is_tcp {
        true => vec![
            op(LOAD_BYTE, 0, 0, 6),
            op(JUMP_IF_EQUAL, 0, 3, TCP),
            op(LOAD_BYTE, 0, 0, 40 + FLAGS),
            op(JUMP_IF_ANY_BIT, 0, 1, SYN_OR_RST),
            op(RETURN, 0, 0, ALL),
            op(RETURN, 0, 0, 0),
        ],
        false => udp_only(6),
    }
}

fn udp_only(protocol_offset: u32) -> Vec<SockFilter> {
    let op = SockFilter::new;
    vec![
        op(LOAD_BYTE, 0, 0, protocol_offset),
        op(JUMP_IF_EQUAL, 0, 1, UDP),
        op(RETURN, 0, 0, ALL),
        op(RETURN, 0, 0, 0),
    ]
}
