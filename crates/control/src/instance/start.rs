//! From options to packets.

use std::io::Write;
use std::time::{Duration, Instant as Clock};

use engine::dataplane::{AttachedMode, program_name};
use engine::desired::{Backend, Service};
use engine::live::Live;
use engine::sweep::Ages;

use super::state::{Attached, Instance, Reach};
use super::{RunError, RunOptions, running};
use crate::nexthop::{Interface, NextHops, XdpMode, interface, targets};
use crate::status::{BackendStatus, InterfaceStatus};

/// How long to wait for neighbours to answer before going on without them.
pub(super) const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(4);

/// Looks at the interfaces, finds the next hops, loads, fills and attaches. On an error whatever
/// was attached is detached again, because the links go with the data plane.
pub(super) async fn start(options: RunOptions) -> Result<(Instance, NextHops), RunError> {
    let desired = options.desired;
    if desired.interfaces.is_empty() {
        return Err(RunError::NoInterface);
    }
    let mut interfaces = Vec::new();
    for name in &desired.interfaces {
        let interface = interface(name).await?;
        check(&interface)?;
        interfaces.push(interface);
    }
    let next_hops = NextHops::start(targets(desired.backends())).await?;
    let resolutions = next_hops.wait_all(Clock::now() + NEIGHBOUR_PATIENCE).await;

    let ages = Ages::of(&desired.timeouts);
    let reach = Reach::new(&interfaces, resolutions);
    let next_hop = |service: &Service, backend: &Backend| reach.next_hop(service, backend);
    let (live, mut plane) = Live::load(&desired, &next_hop, false)?;
    let mut attached = Vec::new();
    for interface in interfaces {
        let attachment = plane.attach(&interface.name, interface.index, options.mode)?;
        attached.push(Attached {
            interface,
            attachment,
        });
    }
    let instance = Instance {
        name: options.name,
        started: Clock::now(),
        plane,
        live,
        attached,
        reach,
        is_behind: false,
        ages,
    };
    Ok((instance, next_hops))
}

/// Refuses an interface that the program cannot be attached to.
pub(crate) fn check(interface: &Interface) -> Result<(), RunError> {
    if interface.mac.is_none() {
        return Err(RunError::NotEthernet(interface.name.clone()));
    }
    let Some(other) = interface.xdp.first() else {
        return Ok(());
    };
    let name = program_name(other.program_id).unwrap_or_else(|| "unknown".into());
    Err(RunError::Occupied {
        interface: interface.name.clone(),
        id: other.program_id,
        mode: other.mode.to_string(),
        remedy: remedy(&interface.name, &name, other.mode),
        name,
    })
}

/// How a program goes from an interface. Ours is held by a link, which `ip` cannot break.
fn remedy(interface: &str, program: &str, mode: XdpMode) -> String {
    match program {
        "evenkeel" => {
            let running = running().join(", ");
            format!("this is another instance's: stop that first (running: {running})")
        }
        "decap" => "this is that of `evenkeel decap`: stop that first".into(),
        _ => {
            let off = match mode {
                XdpMode::Native => "xdpdrv",
                XdpMode::Generic => "xdpgeneric",
                XdpMode::Offloaded => "xdpoffload",
            };
            format!(
                "if it is no longer needed, stop what attached it, or remove it with \
                 `ip link set dev {interface} {off} off`"
            )
        }
    }
}

/// Says what is running.
pub(super) fn describe(instance: &Instance, out: &mut impl Write) -> Result<(), RunError> {
    let status = instance.status()?;
    writeln!(
        out,
        "evenkeel {}, instance {}",
        status.version, status.instance
    )?;
    for interface in &status.interfaces {
        describe_interface(interface, out)?;
    }
    for service in &status.services {
        writeln!(
            out,
            "service   {}  {}, {} slots, affinity {}",
            service.service, service.mode, service.slots, service.affinity
        )?;
        for backend in &service.backends {
            write!(
                out,
                "  backend {}  weight {}, {:.1} % of new flows, ",
                backend.address,
                backend.weight,
                backend.share * 100.0
            )?;
            writeln!(out, "{}", way_to(backend))?;
        }
    }
    let backends: usize = status.services.iter().map(|s| s.backends.len()).sum();
    writeln!(
        out,
        "ready: {} service{}, {} backend{}; `evenkeel status` shows counters, Ctrl-C stops",
        status.services.len(),
        plural(status.services.len()),
        backends,
        plural(backends),
    )?;
    out.flush()?;
    Ok(())
}

/// Says how an interface runs the program.
pub(crate) fn describe_interface(
    interface: &InterfaceStatus,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let mac = interface.mac.as_deref().unwrap_or("no MAC");
    writeln!(
        out,
        "interface {}  {} XDP, {mac}",
        interface.name, interface.mode
    )?;
    if interface.mode == AttachedMode::Generic.name() {
        writeln!(
            out,
            "  generic: in the network stack; works with every driver, at a fraction of the speed"
        )?;
    }
    if let Some(refused) = &interface.native_refused {
        writeln!(out, "  native was refused: {refused}")?;
    }
    Ok(())
}

/// How a backend is reached, or why it is not.
fn way_to(backend: &BackendStatus) -> String {
    let mut way = match (&backend.mac, &backend.interface) {
        (Some(mac), Some(interface)) => format!("via {interface} to {mac}"),
        _ => {
            let problem = backend.problem.as_deref().unwrap_or("next hop unknown");
            format!("UNREACHABLE: {problem}")
        }
    };
    if let Some(source) = &backend.source {
        way += &format!(", from {source}");
    }
    if ["drain", "down"].contains(&backend.state.as_str()) {
        way += &format!(", {}", backend.state);
    }
    way
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
