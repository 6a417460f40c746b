//! What the program is loaded with.

use abi::control::{Settings, feature};
use abi::pace;

use crate::clock::tick;
use crate::desired::{Desired, ForwardingMode, NoBackend, ServicePort};

/// What goes to `.rodata`.
#[must_use]
pub fn settings(desired: &Desired, report: bool) -> Settings {
    let any_port = desired
        .services
        .iter()
        .any(|service| service.mode == ForwardingMode::Nat || service.id.port == ServicePort::Any);
    let nat = &desired.nat;
    let ports = u32::from(nat.first_port)..=u32::from(nat.last_port);
    let kept = nat.kept_ports().map_or((0, 0), |kept| {
        let count = u32::from(*kept.end() - *kept.start()) + 1;
        (u32::from(*kept.start()), count)
    });
    Settings {
        flow_seed: desired.seed,
        report: u32::from(report),
        any_port: u32::from(any_port),
        first_port: *ports.start(),
        port_count: ports.end().saturating_sub(*ports.start()) + 1 - kept.1,
        features: features(desired),
        outer_ttl: desired.tunnel.ttl.into(),
        exceptions_per_window: per_window(desired.limits.exceptions_per_second),
        icmp_errors_per_window: per_window(desired.limits.icmp_errors_per_second),
        rejections_per_window: per_window(desired.limits.rejections_per_second),
        kept_ports: kept.0 << 16 | kept.1,
    }
}

/// Settings under which what ran before runs on: the new ones, with features and keys of every port
/// that there were before.
#[must_use]
pub(crate) fn both(features: u32, any_port: u32, new: &Settings) -> Settings {
    Settings {
        features: features | new.features,
        any_port: any_port | new.any_port,
        ..*new
    }
}

/// A rate as the pace in the data plane has it: 0 only if it is 0.
fn per_window(per_second: u32) -> u32 {
    let window = tick().as_nanos() << pace::WINDOW_LOG2;
    let count = (u128::from(per_second) * window).div_ceil(1_000_000_000);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn features(desired: &Desired) -> u32 {
    let mut features = 0;
    if desired.tunnel.entropy {
        features |= feature::OUTER_ENTROPY;
    }
    for service in &desired.services {
        features |= match service.mode {
            ForwardingMode::Nat => feature::NAT,
            ForwardingMode::Dnat => feature::DNAT,
            ForwardingMode::L2Dsr => feature::L2_DSR,
            ForwardingMode::Ipip => feature::IPIP,
            ForwardingMode::Gue => feature::GUE,
        };
        let mut add = |condition: bool, feature: u32| {
            features |= if condition { feature } else { 0 };
        };
        let is_v6 = service.id.address.is_ipv6();
        add(!is_v6, feature::IPV4);
        add(is_v6, feature::IPV6);
        add(service.id.address.single().is_none(), feature::PREFIX);
        add(service.quic.is_some(), feature::QUIC);
        add(service.echo, feature::ECHO);
        add(service.no_backend == NoBackend::Reject, feature::REJECT);
        if service.mode.encapsulates() {
            for backend in &service.backends {
                add(backend.address.is_ipv4(), feature::OUTER_V4);
                add(backend.address.is_ipv6(), feature::OUTER_V6);
            }
        }
    }
    features
}

/// What the bits of `features` stand for, in the words of the configuration.
#[must_use]
pub(crate) fn names(features: u32) -> String {
    let names = [
        (feature::NAT, "mode nat"),
        (feature::DNAT, "mode dnat"),
        (feature::L2_DSR, "mode l2-dsr"),
        (feature::IPIP, "mode ipip"),
        (feature::GUE, "mode gue"),
        (feature::IPV4, "IPv4 services"),
        (feature::IPV6, "IPv6 services"),
        (feature::PREFIX, "services of a prefix"),
        (feature::QUIC, "QUIC connection IDs"),
        (feature::OUTER_ENTROPY, "outer source entropy"),
        (feature::OUTER_V4, "outer IPv4 headers"),
        (feature::OUTER_V6, "outer IPv6 headers"),
        (feature::ECHO, "answers to echo requests"),
        (feature::REJECT, "no_backend = \"reject\""),
    ];
    let used = names.iter().filter(|(bit, _)| features & bit != 0);
    used.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}
