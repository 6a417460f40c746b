//! Addresses and links of this host.

use std::collections::HashMap;
use std::net::IpAddr;

use engine::desired::{NextHop, Prefix};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{LinkAddr, SockaddrStorage};

/// The link-layer addresses of interfaces, as a packet socket wants them.
pub(super) fn links() -> nix::Result<HashMap<u32, LinkAddr>> {
    let link = |address: nix::ifaddrs::InterfaceAddress| {
        let link = *address.address?.as_link_addr()?;
        Some((u32::try_from(link.ifindex()).ok()?, link))
    };
    Ok(getifaddrs()?.filter_map(link).collect())
}

/// An address of ours to ask `vip` from, to which an answer comes back to this host's stack: none
/// that a service takes every port of. The route's first, then one of the way out, then any.
pub(super) fn address(vip: IpAddr, hop: &NextHop, taken: &[Prefix]) -> Option<IpAddr> {
    let fits = |address: IpAddr| {
        address.is_ipv6() == vip.is_ipv6()
            && address != vip
            && !taken.iter().any(|prefix| prefix.contains(address))
    };
    if fits(hop.source_address) {
        return Some(hop.source_address);
    }
    let own = getifaddrs().ok()?.filter_map(|entry| {
        let address =
            ip(&entry.address?).filter(|address| fits(*address) && is_global(*address))?;
        let index = if_nametoindex(entry.interface_name.as_str()).ok()?;
        Some((index != hop.interface_index, address))
    });
    own.min().map(|(_, address)| address)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(v4.ip().into()),
        (_, Some(v6)) => Some(v6.ip().into()),
        _ => None,
    }
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}
