//! `evenkeel status`.

mod condition;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use abi::reason::{Action, Reason};
use anyhow::Result;
use control::api::fetch_status;
use control::instance::default_name;
use control::status::{BackendStatus, Status as InstanceStatus, TransitionStatus};

use super::reasons::{Counted, write_reasons};
use crate::arguments::Status;
use crate::output::stdout;

pub(crate) fn status(arguments: &Status) -> Result<ExitCode> {
    let name = arguments.instance.clone().unwrap_or_else(default_name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(fetch_status(&name))?;
    if arguments.json {
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        write_text(&mut stdout(), &status)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_text(out: &mut impl Write, status: &InstanceStatus) -> io::Result<()> {
    writeln!(
        out,
        "instance {}, evenkeel {}, up {}",
        status.instance,
        status.version,
        duration(status.uptime_seconds)
    )?;
    for interface in &status.interfaces {
        let mac = interface.mac.as_deref().unwrap_or("-");
        writeln!(
            out,
            "interface {}  {} XDP  {mac}",
            interface.name, interface.mode
        )?;
    }
    let flows = &status.flows;
    writeln!(
        out,
        "flows     {} of {} established, {} of {} half-open",
        flows.established, flows.established_limit, flows.half_open, flows.half_open_limit
    )?;
    writeln!(
        out,
        "memory    {} process, {} maps",
        bytes(status.memory.process_bytes),
        bytes(status.memory.maps_bytes)
    )?;
    for difference in &status.configuration.differs {
        writeln!(out, "differs   {difference}")?;
    }
    write_transitions(out, &status.transitions)?;
    let now_ms = now_ms();
    for service in &status.services {
        let changing = match service.slots_changing {
            0 => String::new(),
            count => format!(", {count} of them changing"),
        };
        writeln!(
            out,
            "\n{}  {}, affinity {}, {} slots{changing}",
            service.service, service.mode, service.affinity, service.slots
        )?;
        if let Some(condition) = condition::of_service(&service.condition) {
            writeln!(out, "  {condition}")?;
        }
        writeln!(
            out,
            "  {:<21} {:>6} {:>7} {:>9} {:>10} {:>9} {:>9}",
            "backend", "weight", "share", "new flows", "packets to", "bytes to", "from"
        )?;
        for backend in &service.backends {
            write_backend(out, backend, now_ms)?;
        }
    }
    writeln!(out)?;
    let counted = Reason::ALL.iter().map(|reason| Counted {
        name: reason.name(),
        count: status.reasons.get(reason.name()).copied().unwrap_or(0),
        action: action(*reason),
    });
    write_reasons(out, counted)
}

/// How changes of the configuration are getting on.
fn write_transitions(out: &mut impl Write, transitions: &TransitionStatus) -> io::Result<()> {
    let idle = TransitionStatus {
        exceptions_limit: transitions.exceptions_limit,
        ..TransitionStatus::default()
    };
    if *transitions == idle {
        return writeln!(out, "changes   none under way, and none has cost a flow");
    }
    writeln!(
        out,
        "changes   slots in transition: {}, settling: {}; backends leaving: {}",
        transitions.slots_in_transition, transitions.slots_settling, transitions.backends_leaving,
    )?;
    writeln!(
        out,
        "          flows in the exception table: {} of {}; not entered, table full or too many at \
         once: {}",
        transitions.exceptions, transitions.exceptions_limit, transitions.refusals,
    )?;
    writeln!(
        out,
        "          flows kept by their previous backend: {}; lost because their backend died: {}",
        transitions.kept_by_previous, transitions.flows_lost,
    )
}

/// What the reason's packets met.
fn action(reason: Reason) -> &'static str {
    match reason.action() {
        Action::Pass => "passed to the host",
        Action::Forward => "forwarded",
        Action::Drop => "DROPPED",
    }
}

fn write_backend(out: &mut impl Write, backend: &BackendStatus, now_ms: u64) -> io::Result<()> {
    writeln!(
        out,
        "  {:<21} {:>6} {:>5.1} % {:>9} {:>10} {:>9} {:>9}",
        backend.address,
        backend.weight,
        backend.share * 100.0,
        backend.new_flows,
        backend.packets,
        bytes(backend.bytes),
        bytes(backend.reply_bytes),
    )?;
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let source = match &backend.source {
        Some(source) => format!(", from {source}"),
        None => String::new(),
    };
    match &backend.problem {
        Some(problem) => write!(out, "    {}: {problem}", backend.state)?,
        None => write!(
            out,
            "    {}, via {} to {}{source}",
            backend.state,
            or_dash(&backend.interface),
            or_dash(&backend.mac),
        )?,
    }
    match condition::well(backend, now_ms) {
        Some(well) => writeln!(out, "; {well}")?,
        None => writeln!(out)?,
    }
    match condition::extra(backend, now_ms) {
        Some(extra) => writeln!(out, "    {extra}"),
        None => Ok(()),
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| time.as_millis() as u64)
}

/// In powers of 1,000, as link speeds are.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{count} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} PB")
}

pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(u64::MAX), "18446.7 PB");
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(61), "1 min 1 s");
        assert_eq!(duration(90_000), "1 d 1 h");
    }

    fn text(transitions: &TransitionStatus) -> String {
        let mut text = Vec::new();
        write_transitions(&mut text, transitions).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_number_of_the_transitions_is_told() {
        let transitions = TransitionStatus {
            slots_in_transition: 11,
            slots_settling: 22,
            exceptions: 33,
            exceptions_limit: 44,
            kept_by_previous: 55,
            flows_lost: 66,
            refusals: 77,
            backends_leaving: 88,
        };
        assert_eq!(
            text(&transitions),
            "changes   slots in transition: 11, settling: 22; backends leaving: 88\n\
             \x20         flows in the exception table: 33 of 44; not entered, table full or too \
             many at once: 77\n\
             \x20         flows kept by their previous backend: 55; lost because their backend \
             died: 66\n"
        );
    }

    #[test]
    fn an_instance_that_nothing_has_happened_to_says_so_in_a_line() {
        let mut transitions = TransitionStatus {
            exceptions_limit: 44,
            ..TransitionStatus::default()
        };
        let quiet = "changes   none under way, and none has cost a flow\n";
        assert_eq!(text(&transitions), quiet);
        transitions.refusals = 1;
        assert_ne!(text(&transitions), quiet);
    }
}
