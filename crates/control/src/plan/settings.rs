//! What differs of what is chosen once for an instance.

use std::fmt::{Debug, Display};

use engine::desired::Desired;

use super::FieldPlan;

/// Interfaces that a configuration has no more: their packets are not balanced from then on.
pub(super) fn released<'a>(old: &'a Desired, new: &Desired) -> Vec<&'a str> {
    let interfaces = old.interfaces.iter();
    let gone = interfaces.filter(|name| !new.interfaces.contains(name));
    gone.map(String::as_str).collect()
}

/// The fields outside of services that are configured differently, as the file calls them.
pub(super) fn differences(old: &Desired, new: &Desired) -> Vec<FieldPlan> {
    let both = told(old).into_iter().zip(told(new));
    let changed = both.filter(|((_, old), (_, new))| old != new);
    changed
        .map(|((field, old), (_, new))| FieldPlan {
            field: field.into(),
            old,
            new,
        })
        .collect()
}

fn told(desired: &Desired) -> [(&'static str, String); 18] {
    let Desired {
        interfaces,
        nat,
        tunnel,
        timeouts,
        limits,
        ..
    } = desired;
    [
        ("interfaces", interfaces.join(", ")),
        ("[nat] address", chosen(nat.address.as_ref())),
        ("[nat] address6", chosen(nat.address6.as_ref())),
        (
            "[nat] ports",
            format!("{}-{}", nat.first_port, nat.last_port),
        ),
        ("[tunnel] source", chosen(tunnel.source.as_ref())),
        ("[tunnel] source6", chosen(tunnel.source6.as_ref())),
        ("[tunnel] ttl", tunnel.ttl.to_string()),
        ("[tunnel] entropy", tunnel.entropy.to_string()),
        ("[timeouts] half_open", time(&timeouts.half_open)),
        ("[timeouts] established", time(&timeouts.established)),
        ("[timeouts] udp", time(&timeouts.udp)),
        ("[timeouts] rest", time(&timeouts.rest)),
        ("[limits] flows", limits.flows.to_string()),
        (
            "[limits] half_open_flows",
            limits.half_open_flows.to_string(),
        ),
        ("[limits] exceptions", limits.exceptions.to_string()),
        (
            "[limits] exceptions_per_second",
            limits.exceptions_per_second.to_string(),
        ),
        (
            "[limits] icmp_errors_per_second",
            limits.icmp_errors_per_second.to_string(),
        ),
        (
            "[limits] rejections_per_second",
            limits.rejections_per_second.to_string(),
        ),
    ]
}

fn chosen(address: Option<&impl Display>) -> String {
    address.map_or_else(|| "by the routes".into(), ToString::to_string)
}

fn time(time: &impl Debug) -> String {
    format!("{time:?}")
}
