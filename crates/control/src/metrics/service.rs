//! The families about services and backends.

use std::fmt::Error;

use prometheus_client::encoding::DescriptorEncoder;

use super::family::{counters, gauges, infos};
use super::totals::Traffic;
use crate::status::{BackendStatus, ServiceStatus};

/// States that a backend can be in; see [`BackendStatus::state`].
const STATES: [&str; 6] = ["up", "drain", "down", "leaving", "standby", "unreachable"];

/// A family of counters: its name, its help, and which of the numbers it tells.
type Told = (&'static str, &'static str, fn(Traffic) -> u64);

const SERVICE_COUNTERS: [Told; 5] = [
    (
        "service_packets",
        "Packets to the backends of a service, those that are gone included",
        |traffic| traffic.packets,
    ),
    (
        "service_bytes",
        "Bytes of IP packets to the backends of a service",
        |traffic| traffic.bytes,
    ),
    (
        "service_reply_packets",
        "Packets that came back through the instance from the backends of a service",
        |traffic| traffic.reply_packets,
    ),
    (
        "service_reply_bytes",
        "Bytes of IP packets that came back from the backends of a service",
        |traffic| traffic.reply_bytes,
    ),
    (
        "service_new_flows",
        "Flows given to the backends of a service",
        |traffic| traffic.new_flows,
    ),
];

const BACKEND_COUNTERS: [Told; 5] = [
    ("backend_packets", "Packets to a backend", |traffic| {
        traffic.packets
    }),
    (
        "backend_bytes",
        "Bytes of IP packets to a backend",
        |traffic| traffic.bytes,
    ),
    (
        "backend_reply_packets",
        "Packets that came back through the instance from a backend",
        |traffic| traffic.reply_packets,
    ),
    (
        "backend_reply_bytes",
        "Bytes of IP packets that came back from a backend",
        |traffic| traffic.reply_bytes,
    ),
    ("backend_new_flows", "Flows given to a backend", |traffic| {
        traffic.new_flows
    }),
];

/// The services; `totals` is in their order.
pub(super) fn encode_services(
    services: &[ServiceStatus],
    totals: &[Traffic],
    to: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    let mut modes = infos(to, "service", "A service and its forwarding mode")?;
    for service in services {
        modes.put([("service", &*service.service), ("mode", &*service.mode)])?;
    }
    for (name, help, number) in SERVICE_COUNTERS {
        let mut family = counters(to, name, help)?;
        for (service, total) in services.iter().zip(totals) {
            family.put([("service", &*service.service)], number(*total))?;
        }
    }
    slots(services, to)?;
    let mut states = gauges(
        to,
        "service_backends",
        "Backends of a service, by their state",
    )?;
    for service in services {
        let mut counts = STATES.map(|state| (state, 0_u64)).to_vec();
        for BackendStatus { state, .. } in &service.backends {
            match counts.iter_mut().find(|(known, _)| known == state) {
                Some((_, count)) => *count += 1,
                None => counts.push((state, 1)),
            }
        }
        for (state, count) in counts {
            states.put([("service", &*service.service), ("state", state)], count)?;
        }
    }
    Ok(())
}

fn slots(services: &[ServiceStatus], to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let mut rings = gauges(to, "service_ring_slots", "Length of a service's ring")?;
    for service in services {
        rings.put([("service", &*service.service)], service.slots)?;
    }
    let mut states = gauges(to, "service_slots", "Slots of a service's ring, by state")?;
    for service in services {
        let settling = service.slots_settling;
        for (state, count) in [
            (
                "steady",
                service.slots.saturating_sub(service.slots_changing),
            ),
            (
                "transition",
                service.slots_changing.saturating_sub(settling),
            ),
            ("settling", settling),
        ] {
            states.put([("service", &*service.service), ("state", state)], count)?;
        }
    }
    Ok(())
}

/// The backends of these services.
pub(super) fn encode_backends(
    services: &[ServiceStatus],
    to: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    for (name, help, number) in BACKEND_COUNTERS {
        let mut family = counters(to, name, help)?;
        for (service, backend) in pairs(services) {
            family.put(labels(service, backend), number(Traffic::of(backend)))?;
        }
    }
    let mut weights = gauges(to, "backend_weight", "Weight of a backend")?;
    for (service, backend) in pairs(services) {
        weights.put(labels(service, backend), backend.weight)?;
    }
    let mut shares = gauges(
        to,
        "backend_share_ratio",
        "Part of its service's slots that a backend owns, 0 to 1",
    )?;
    for (service, backend) in pairs(services) {
        shares.put(labels(service, backend), backend.share)?;
    }
    let mut states = gauges(
        to,
        "backend_state",
        "Whether a backend is in a state: 1 for the one it is in, else 0",
    )?;
    for (service, backend) in pairs(services) {
        let [service, address] = labels(service, backend);
        let is_known = STATES.contains(&&*backend.state);
        let unknown = (!is_known).then_some(&*backend.state);
        for state in STATES.into_iter().chain(unknown) {
            let is_in_it = u64::from(state == backend.state);
            states.put([service, address, ("state", state)], is_in_it)?;
        }
    }
    Ok(())
}

/// Each backend with its service.
pub(super) fn pairs(
    services: &[ServiceStatus],
) -> impl Iterator<Item = (&ServiceStatus, &BackendStatus)> {
    services.iter().flat_map(|service| {
        let backends = service.backends.iter();
        backends.map(move |backend| (service, backend))
    })
}

/// The labels of a backend.
pub(super) fn labels<'a>(
    service: &'a ServiceStatus,
    backend: &'a BackendStatus,
) -> [(&'a str, &'a str); 2] {
    [
        ("service", &*service.service),
        ("backend", &*backend.address),
    ]
}
