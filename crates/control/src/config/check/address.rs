//! Addresses that packets on a wire can have, and where each family is expected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::desired::{NatSettings, Prefix, TunnelSettings};

use super::Checker;
use crate::config::raw::{At, RawConfig};
use crate::config::source::Span;

/// Prefixes in which no host can be reached from another link, and what they are; the first that
/// covers an address says why.
const UNREACHABLE: [(IpAddr, u8, &str); 11] = [
    (v4([0, 0, 0, 0]), 32, "the unspecified address"),
    (v4([224, 0, 0, 0]), 4, "a multicast address"),
    (v4([255; 4]), 32, "the broadcast address"),
    (
        v4([127, 0, 0, 0]),
        8,
        "a loopback address, which no packet on a wire has",
    ),
    (v4([0, 0, 0, 0]), 8, "in 0.0.0.0/8, which no host may have"),
    (v6(0, 0), 128, "the unspecified address"),
    (
        v6(0, 1),
        128,
        "a loopback address, which no packet on a wire has",
    ),
    (v6(0xff00 << 112, 0), 8, "a multicast address"),
    (
        v6(0xfe80 << 112, 0),
        10,
        "a link-local address, which counts on one link only",
    ),
    (v6(0, 0xffff << 32), 96, "an IPv4 address written as IPv6"),
    (v6(0, 0), 96, "in ::/96, which no host may have"),
];

const fn v4(octets: [u8; 4]) -> IpAddr {
    let [a, b, c, d] = octets;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(high: u128, low: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(high | low))
}

pub(super) fn family(v6: bool) -> &'static str {
    if v6 { "IPv6" } else { "IPv4" }
}

impl Checker<'_> {
    /// Addresses that hosts can have and others can send to.
    pub(super) fn reachable(&mut self, prefix: Prefix, span: &Span, role: &str) {
        let Some((.., kind)) = UNREACHABLE.iter().find(|(address, length, _)| {
            Prefix::around(*address, *length).is_some_and(|kind| kind.covers(prefix))
        }) else {
            return;
        };
        let expected = match prefix.single() {
            Some(_) => "expected the address of one host",
            None => "expected a network of hosts",
        };
        self.report(span, format!("{role} {prefix} is {kind}"), expected);
    }

    pub(super) fn nat(&mut self, raw: &RawConfig) -> NatSettings {
        let default = NatSettings::default();
        let (first_port, last_port) = raw
            .nat_ports
            .as_ref()
            .map_or((default.first_port, default.last_port), |range| {
                (*range.start(), *range.end())
            });
        NatSettings {
            address: self.own_v4(raw.nat_address.as_ref(), "NAT address", "address6"),
            address6: self.own_v6(raw.nat_address6.as_ref(), "NAT address", "address"),
            first_port,
            last_port,
        }
    }

    pub(super) fn tunnel(&mut self, raw: &RawConfig) -> TunnelSettings {
        let default = TunnelSettings::default();
        TunnelSettings {
            source: self.own_v4(raw.tunnel_source.as_ref(), "tunnel source", "source6"),
            source6: self.own_v6(raw.tunnel_source6.as_ref(), "tunnel source", "source"),
            ttl: raw.ttl.unwrap_or(default.ttl),
            entropy: raw.entropy.unwrap_or(default.entropy),
        }
    }

    fn own_v4(&mut self, raw: Option<&At<IpAddr>>, role: &str, other: &str) -> Option<Ipv4Addr> {
        match self.own(raw, role, false, other)? {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    fn own_v6(&mut self, raw: Option<&At<IpAddr>>, role: &str, other: &str) -> Option<Ipv6Addr> {
        match self.own(raw, role, true, other)? {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }
    }

    /// An address of this instance, which has a field for each family.
    fn own(
        &mut self,
        raw: Option<&At<IpAddr>>,
        role: &str,
        v6: bool,
        other: &str,
    ) -> Option<IpAddr> {
        let At { value, span } = raw?;
        if value.is_ipv6() == v6 {
            self.reachable((*value).into(), span, role);
        } else {
            self.report_help(
                span,
                format!("{role} {value} is {}", family(!v6)),
                format!("expected an {} address", family(v6)),
                format!("write it as {other} = \"{value}\""),
            );
        }
        Some(*value)
    }
}
