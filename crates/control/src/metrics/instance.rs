//! The families about the instance as a whole.

use std::fmt::Error;

use abi::reason::{Action, Reason};
use prometheus_client::encoding::DescriptorEncoder;

use super::family::{counters, gauges, infos};
use crate::status::{ApplyStatus, FlowStatus, MemoryStatus, Status, TransitionStatus};

pub(super) fn encode(status: &Status, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    infos(
        to,
        "build",
        "The program that runs, and what its instance is called",
    )?
    .put([("version", &*status.version), ("name", &*status.instance)])?;
    gauges(to, "uptime_seconds", "Time since the instance started")?
        .only(Some(status.uptime_seconds))?;
    let mut attached = gauges(
        to,
        "interface_attached",
        "An interface that the data plane is attached to, and how: 1",
    )?;
    for interface in &status.interfaces {
        let labels = [("interface", &*interface.name), ("mode", &*interface.mode)];
        attached.put(labels, 1_u64)?;
    }
    memory(status.memory, to)?;
    packets(status, to)?;
    flow_tables(&status.flows, &status.transitions, to)?;
    transitions(&status.transitions, to)?;
    applies(&status.applies, to)?;
    next_hops(status, to)
}

fn memory(memory: MemoryStatus, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    gauges(
        to,
        "process_resident_memory_bytes",
        "Memory that the process takes",
    )?
    .only(Some(memory.process_bytes))?;
    gauges(
        to,
        "maps_memory_bytes",
        "Memory that the data plane's maps take in the kernel",
    )?
    .only(Some(memory.maps_bytes))
}

fn packets(status: &Status, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let mut packets = counters(
        to,
        "packets",
        "Packets that came in, by the reason of their verdict and what was done with them",
    )?;
    for (reason, count) in &status.reasons {
        packets.put([("reason", &**reason), ("action", action(reason))], *count)?;
    }
    let mut by_cpu = counters(
        to,
        "cpu_packets",
        "Packets that came in, by the CPU that met them",
    )?;
    for (cpu, count) in status.packets_by_cpu.iter().enumerate() {
        by_cpu.put([("cpu", &*cpu.to_string())], *count)?;
    }
    Ok(())
}

/// What is done with packets of a reason.
pub(super) fn action(reason: &str) -> &'static str {
    match Reason::named(reason).map(Reason::action) {
        Some(Action::Pass) => "pass",
        Some(Action::Forward) => "forward",
        Some(Action::Drop) => "drop",
        None => "unknown",
    }
}

fn flow_tables(
    flows: &FlowStatus,
    transitions: &TransitionStatus,
    to: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    let tables = [
        ("established", flows.established, flows.established_limit),
        ("half_open", flows.half_open, flows.half_open_limit),
        (
            "exceptions",
            transitions.exceptions,
            transitions.exceptions_limit,
        ),
    ];
    let mut entries = gauges(to, "flow_table_entries", "Flows in a table")?;
    for (table, count, _) in tables {
        entries.put([("table", table)], count)?;
    }
    let mut limits = gauges(to, "flow_table_limit", "Flows that fit into a table")?;
    for (table, _, limit) in tables {
        limits.put([("table", table)], limit)?;
    }
    Ok(())
}

fn transitions(now: &TransitionStatus, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let mut slots = gauges(
        to,
        "transition_slots",
        "Slots of all rings whose owner has changed, by how far they are",
    )?;
    slots.put([("state", "transition")], now.slots_in_transition)?;
    slots.put([("state", "settling")], now.slots_settling)?;
    gauges(
        to,
        "transition_backends_leaving",
        "Backends that were removed and still have flows or slots",
    )?
    .only(Some(now.backends_leaving))?;
    counters(
        to,
        "transition_refusals",
        "How often a flow was not entered in the exception table for lack of room or pace",
    )?
    .only(now.refusals)?;
    counters(
        to,
        "transition_kept_by_previous",
        "Flows that were entered for the backend that their slot had before",
    )?
    .only(now.kept_by_previous)?;
    counters(
        to,
        "transition_flows_lost",
        "Flows known one by one that lost their backend because it died or was removed",
    )?
    .only(now.flows_lost)
}

fn applies(applies: &ApplyStatus, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let mut results = counters(
        to,
        "applies",
        "Configurations that were to be applied, by what became of them",
    )?;
    for (result, count) in [
        ("applied", applies.applied),
        ("refused", applies.refused),
        ("failed", applies.failed),
    ] {
        results.put([("result", result)], count)?;
    }
    gauges(
        to,
        "apply_last_success_timestamp_seconds",
        "When the configuration in force was applied, since 1970",
    )?
    .only(applies.last_success_unix_seconds)?;
    gauges(
        to,
        "apply_last_duration_seconds",
        "How long the last application took",
    )?
    .only(applies.last_duration_seconds)
}

fn next_hops(status: &Status, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    let backends = status.services.iter().flat_map(|service| &service.backends);
    let unresolved =
        backends.filter(|backend| backend.state != "down" && backend.problem.is_some());
    gauges(
        to,
        "backends_unresolved",
        "Backends that should have packets and whose next hop is not known, over all services",
    )?
    .only(Some(unresolved.count() as u64))?;
    counters(
        to,
        "netlink_overruns",
        "How often the kernel told of routes and neighbours faster than that was read",
    )?
    .only(status.netlink_overruns)
}
