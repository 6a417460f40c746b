//! Sockets that listen, one for each family.

use std::io::{Error, IoSlice, IoSliceMut, Result};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    SockaddrStorage, bind, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// For hundreds of datagrams at once, also of the largest ones; the usual is 212,992 bytes.
const RECEIVE_BUFFER: usize = 32 << 20;

/// A TCP socket that listens. `[::]` means IPv6 only, so that `0.0.0.0` can have the same port.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    only_its_family(&socket, address)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A UDP socket that answers from the address that was asked, also when it listens on all: the
/// one that routing chooses is the wrong one for a VIP on the loopback.
pub(super) struct Datagrams(UdpSocket);

impl Datagrams {
    pub(super) fn listen(address: SocketAddr) -> Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd: OwnedFd = socket(family, SockType::Datagram, flags, None)?;
        only_its_family(&fd, address)?;
        if address.is_ipv4() {
            setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        // Beyond the usual limit, as root may; without it, bursts are lost sooner.
        let _ = setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        Ok(Self(UdpSocket::from_std(fd.into())?))
    }

    /// A datagram's length, who sent it and to which of our addresses.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr, IpAddr)> {
        let receive = || {
            let mut space = nix::cmsg_space!(in6_pktinfo);
            let mut pieces = [IoSliceMut::new(buffer)];
            let message = recvmsg::<SockaddrStorage>(
                self.0.as_raw_fd(),
                &mut pieces,
                Some(&mut space),
                MsgFlags::empty(),
            )?;
            let peer = message.address.as_ref().and_then(socket_address);
            let own = message.cmsgs()?.find_map(|about| receiver(&about));
            match (peer, own) {
                (Some(peer), Some(own)) => Ok((message.bytes, peer, own)),
                _ => Err(Error::other("a datagram without its addresses")),
            }
        };
        self.0.async_io(Interest::READABLE, receive).await
    }

    /// Sends an answer from one of our addresses.
    pub(super) async fn answer(&self, bytes: &[u8], to: SocketAddr, from: IpAddr) -> Result<()> {
        let (v4, v6);
        // Interface 0: the way is for routing to choose.
        let source = match from {
            IpAddr::V4(address) => {
                v4 = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr {
                        s_addr: u32::from_ne_bytes(address.octets()),
                    },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                ControlMessage::Ipv4PacketInfo(&v4)
            }
            IpAddr::V6(address) => {
                v6 = in6_pktinfo {
                    ipi6_addr: in6_addr {
                        s6_addr: address.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                ControlMessage::Ipv6PacketInfo(&v6)
            }
        };
        let send = || {
            let to = SockaddrStorage::from(to);
            let (fd, pieces) = (self.0.as_raw_fd(), [IoSlice::new(bytes)]);
            sendmsg(fd, &pieces, &[source], MsgFlags::empty(), Some(&to))?;
            Ok(())
        };
        self.0.async_io(Interest::WRITABLE, send).await
    }
}

fn only_its_family(socket: &impl AsFd, address: SocketAddr) -> Result<()> {
    if address.is_ipv6() {
        setsockopt(socket, sockopt::Ipv6V6Only, &true)?;
    }
    Ok(())
}

fn socket_address(peer: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = peer.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    peer.as_sockaddr_in6()
        .map(|v6| SocketAddr::V6((*v6).into()))
}

/// The address that a datagram was sent to.
fn receiver(about: &ControlMessageOwned) -> Option<IpAddr> {
    match about {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    }
}
