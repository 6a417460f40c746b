//! What a host would ask the kernel, made up so that a replay gives the same everywhere:
//!
//! - a backend's MAC: the one in the config, else `02:00` and its IPv4 address, or the last four
//!   bytes of its IPv6 address;
//! - our own MAC: the destination of the capture's first frame, else `02:00:00:00:00:01`;
//! - our own address towards a backend (`nat`'s, a tunnel's): the one in the config, else the
//!   service's own address (one-armed, as in the tutorial), of a prefix the first; towards a
//!   backend of the other family 192.0.2.1 or 2001:db8::1;
//! - the way to every backend: the interface that the packets come in by, MTU 1500.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::desired::{Backend, Mac, NextHop, Service};

/// Our MAC if the capture does not tell.
pub(super) const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// `BPF_PROG_TEST_RUN` lets packets come in by the loopback device, which always has this index.
pub(super) const INTERFACE: u32 = 1;

/// The MAC a frame is addressed to, unless that is a group address.
pub(super) fn our_mac(frame: &[u8]) -> Mac {
    match frame.first_chunk::<6>() {
        Some(mac) if mac[0] & 1 == 0 => Mac(*mac),
        _ => OUR_MAC,
    }
}

/// How to reach a backend.
pub(super) fn next_hop(our_mac: Mac, service: &Service, backend: &Backend) -> NextHop {
    NextHop {
        interface_index: INTERFACE,
        source_mac: our_mac,
        destination_mac: backend.mac.unwrap_or_else(|| mac_of(backend.address)),
        source_address: source_address(service.id.address.address(), backend.address),
        mtu: 1500,
    }
}

fn source_address(service: IpAddr, backend: IpAddr) -> IpAddr {
    match (service, backend) {
        (IpAddr::V4(_), IpAddr::V6(_)) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        (IpAddr::V6(_), IpAddr::V4(_)) => Ipv4Addr::new(192, 0, 2, 1).into(),
        _ => service,
    }
}

fn mac_of(address: IpAddr) -> Mac {
    let [a, b, c, d] = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => (address.to_bits() as u32).to_be_bytes(),
    };
    Mac([2, 0, a, b, c, d])
}
