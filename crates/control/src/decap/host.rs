//! The addresses of this host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine::decap::Lists;
use engine::desired::Prefix;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use rtnetlink::MulticastGroup;

/// Whose notifications tell that they may have changed.
pub(super) const GROUPS: [MulticastGroup; 2] =
    [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];

/// By the name of their interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostAddresses(BTreeMap<String, BTreeSet<IpAddr>>);

impl HostAddresses {
    /// Those of the network namespace of the calling thread that others can send to.
    pub(super) fn read() -> Result<Self, Errno> {
        let mut addresses = Self::default();
        for entry in getifaddrs()? {
            let Some(found) = entry.address else {
                continue;
            };
            let address = match (found.as_sockaddr_in(), found.as_sockaddr_in6()) {
                (Some(v4), _) => IpAddr::V4(v4.ip()),
                (_, Some(v6)) => IpAddr::V6(v6.ip()),
                _ => continue,
            };
            if is_reachable(address) {
                let of_interface = addresses.0.entry(entry.interface_name).or_default();
                of_interface.insert(address);
            }
        }
        Ok(addresses)
    }

    fn all(&self) -> BTreeSet<IpAddr> {
        self.0.values().flatten().copied().collect()
    }

    /// What the program is to know; without `vips` they are the host's own addresses.
    pub(super) fn lists(&self, vips: &BTreeSet<Prefix>) -> Lists {
        let locals = self.all();
        let vips = if vips.is_empty() {
            locals
                .iter()
                .filter_map(|address| single(*address))
                .collect()
        } else {
            vips.clone()
        };
        Lists { locals, vips }
    }

    /// What is worth a second look, one sentence each.
    pub(super) fn warnings(
        &self,
        interfaces: &BTreeSet<String>,
        vips: &BTreeSet<Prefix>,
    ) -> Vec<String> {
        let own = self.all();
        let bare = interfaces
            .iter()
            .filter(|name| !self.0.contains_key(*name))
            .map(|name| {
                format!(
                    "{name} has no address; packets to addresses of this host's other interfaces \
                     are taken there"
                )
            });
        let strange = vips
            .iter()
            .filter_map(|vip| vip.single())
            .filter(|vip| !own.contains(vip))
            .map(|vip| {
                let bits = if vip.is_ipv4() { 32 } else { 128 };
                format!(
                    "VIP {vip} is no address of this host, so its stack will not take the packets; \
                     add it with `ip address add {vip}/{bits} dev lo`"
                )
            });
        bare.chain(strange).collect()
    }
}

/// Whether a load balancer elsewhere could send to it.
fn is_reachable(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !address.is_loopback() && !address.is_unspecified() && !is_link_local
}

fn single(address: IpAddr) -> Option<Prefix> {
    Prefix::around(address, if address.is_ipv4() { 32 } else { 128 })
}

/// `ADDRESS` or `ADDRESS/BITS`.
///
/// # Errors
/// A sentence with what was expected.
pub fn prefix(text: &str) -> Result<Prefix, String> {
    let expected = "expected ADDRESS or ADDRESS/BITS, such as 192.0.2.100 or fd00:f::/96";
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| expected.to_owned())?;
    let prefix = match bits {
        None => single(address),
        Some(bits) => Prefix::around(address, bits.parse().map_err(|_| expected.to_owned())?),
    };
    let prefix = prefix.ok_or_else(|| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        format!("expected at most {most} bits")
    })?;
    if prefix.address() != address {
        return Err(format!("expected a prefix's first address, {prefix}"));
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_or_explained() {
        let shown = |text| prefix(text).map(|prefix| prefix.to_string());
        assert_eq!(
            prefix("192.0.2.1"),
            Ok(Prefix::around([192, 0, 2, 1].into(), 32).unwrap())
        );
        assert_eq!(shown("fd00:f::/96").unwrap(), "fd00:f::/96");
        assert!(prefix("fd00:f::1").unwrap().single().is_some());
        for wrong in ["", "example.org", "10.0.0.1:80", "10.0.0.0/x", "10.0.0.0/"] {
            assert!(
                shown(wrong).unwrap_err().starts_with("expected ADDRESS"),
                "{wrong}"
            );
        }
        assert_eq!(
            shown("10.0.0.0/33").unwrap_err(),
            "expected at most 32 bits"
        );
        assert!(shown("10.0.0.1/24").unwrap_err().ends_with("10.0.0.0/24"));
    }

    #[test]
    fn without_a_list_every_address_of_the_host_is_a_vip() {
        let interface = |name: &str, addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| text.parse().unwrap());
            (name.to_owned(), addresses.collect())
        };
        let host = HostAddresses(BTreeMap::from([
            interface("eth0", &["10.2.0.2", "fd00:2::2"]),
            interface("lo", &["192.0.2.100"]),
        ]));
        let lists = host.lists(&BTreeSet::new());
        assert_eq!((lists.locals.len(), lists.vips.len()), (3, 3));
        let vips = BTreeSet::from([prefix("192.0.2.101").unwrap()]);
        let lists = host.lists(&vips);
        assert_eq!((lists.locals.len(), &lists.vips), (3, &vips));
        let names = ["eth0", "eth1"].map(str::to_owned).into();
        let warnings = host.warnings(&names, &vips);
        assert!(warnings[0].starts_with("eth1 has no address"));
        assert!(warnings[1].contains("`ip address add 192.0.2.101/32 dev lo`"));
        assert_eq!(warnings.len(), 2);
    }
}
