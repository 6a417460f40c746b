//! Frames that no protocol stack would send.

use std::os::fd::{AsRawFd, OwnedFd};

use lab::Host;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

/// Sends frames out of one interface of a host.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens it.
    ///
    /// # Panics
    /// There is no such interface, or no right to use it.
    #[must_use]
    pub fn open(host: &Host, interface: &str) -> Self {
        let opened = host.inside(|| {
            let link = link_address(interface);
            // Of protocol 0: it sends, and nothing that arrives is queued for it.
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)
                .expect("a packet socket needs CAP_NET_RAW");
            bind(socket.as_raw_fd(), &link).expect("an interface that is up");
            Self(socket)
        });
        opened.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sends a frame. One that finds a queue full is lost, as on any network.
    ///
    /// # Panics
    /// The interface is gone.
    pub fn send(&self, frame: &[u8]) {
        match send(self.0.as_raw_fd(), frame, MsgFlags::empty()) {
            Ok(_) | Err(Errno::ENOBUFS) => {}
            Err(error) => panic!("cannot send: {error}"),
        }
    }
}

fn link_address(interface: &str) -> LinkAddr {
    let mut addresses = getifaddrs().expect("a list of interfaces");
    let found = addresses.find_map(|entry| {
        let link = *entry.address?.as_link_addr()?;
        (entry.interface_name == interface).then_some(link)
    });
    found.unwrap_or_else(|| panic!("there is no interface {interface}"))
}
