//! What differs of what is chosen once for an instance.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};

use engine::desired::Desired;

use super::FieldPlan;
use crate::config::Checked;
use crate::health::ServiceHealth;

/// Interfaces that a configuration has no more, if there are services: their packets are not
/// balanced from then on.
pub(super) fn released([old, new]: [&Desired; 2]) -> Vec<String> {
    if old.services.is_empty() {
        return Vec::new();
    }
    let interfaces = old.interfaces.iter();
    let gone = interfaces.filter(|name| !new.interfaces.contains(name));
    gone.cloned().collect()
}

/// The fields outside of services that are configured differently, as the file calls them.
pub(super) fn differences([old, new]: [&Desired; 2]) -> Vec<FieldPlan> {
    changed(told(old), told(new))
}

/// The same of what the process does beside the data plane: health, metrics, its API, its file.
pub(crate) fn of_the_process(old: &Checked, new: &Checked) -> Vec<FieldPlan> {
    let ids = old.health.keys().chain(new.health.keys());
    let ids: BTreeSet<_> = ids.collect();
    let health = ids.into_iter().filter_map(|id| {
        let [old, new] = [old, new].map(|checked| checked.health.get(id));
        (old != new).then(|| FieldPlan {
            field: format!("health of {id}"),
            old: checks(old),
            new: match checks(new) {
                same if same == checks(old) => "the same, configured otherwise".into(),
                other => other,
            },
        })
    });
    let process = changed(process(old), process(new));
    health.chain(process).collect()
}

fn changed<const N: usize>(
    old: [(&'static str, String); N],
    new: [(&'static str, String); N],
) -> Vec<FieldPlan> {
    let both = old.into_iter().zip(new);
    let changed = both.filter(|((_, old), (_, new))| old != new);
    changed
        .map(|((field, old), (_, new))| FieldPlan {
            field: field.into(),
            old,
            new,
        })
        .collect()
}

/// What is said about the health of a service's backends, in a word for each check.
fn checks(health: Option<&ServiceHealth>) -> String {
    let said = health.map(|said| (said.check.as_ref(), said.agent.is_some()));
    match said {
        None => "not checked".into(),
        Some((None, false)) => "no check".into(),
        Some((None, true)) => "agent".into(),
        Some((Some(check), false)) => check.kind.word().into(),
        Some((Some(check), true)) => format!("{}, agent", check.kind.word()),
    }
}

fn process(checked: &Checked) -> [(&'static str, String); 4] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".into());
    let Checked {
        metrics,
        api,
        daemon,
        ..
    } = checked;
    [
        (
            "[metrics] listen",
            or_none(metrics.listen.map(|listen| listen.to_string())),
        ),
        ("[metrics] per_backend", metrics.per_backend.to_string()),
        ("[api] group", or_none(api.group.clone())),
        ("[daemon] watch", daemon.watch.to_string()),
    ]
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
