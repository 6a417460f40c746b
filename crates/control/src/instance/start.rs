//! From options to packets.

use std::io::Write;
use std::time::{Duration, Instant as Clock};

use engine::EngineError;
use engine::dataplane::{AttachedMode, DataPlane, program_name};
use engine::desired::{Backend, BackendState, Desired, Service, ServiceId};
use engine::image::Image;
use engine::live::{BackendView, Live, Standing};
use engine::maps::Maps as _;
use engine::pins::Pins;
use engine::sweep::Ages;
use tracing::warn;

use super::counted::Counted;
use super::health::{Conditions, at_start};
use super::interfaces::LastTold;
use super::state::{Instance, Leave, Reach};
use super::{Configuration, RunError, RunOptions};
use crate::event::{Events, What};
use crate::health::{Endpoint, Health};
use crate::nexthop::{Interface, NextHops, XdpMode, interface, targets};
use crate::status::{ApplyStatus, BackendStatus, InterfaceStatus, Status};

/// How long to wait for neighbours to answer before going on without them.
pub(super) const NEIGHBOUR_PATIENCE: Duration = Duration::from_secs(4);

/// Looks at the interfaces, finds the next hops, loads, fills and attaches; or goes on with what an
/// earlier process has left, which is then as before if this fails.
pub(super) async fn start(
    options: RunOptions,
    configuration: Configuration,
    health: &Health,
    events: Events,
) -> Result<(Instance, NextHops), RunError> {
    let (desired, _) = at_start(health, configuration.checked());
    if desired.interfaces.is_empty() {
        return Err(RunError::NoInterface);
    }
    let pins = Pins::of(&options.name);
    let mut interfaces = Vec::new();
    for name in &desired.interfaces {
        let interface = interface(name).await?;
        if !is_ours(&pins, &interface) {
            check(&interface)?;
        }
        interfaces.push(interface);
    }
    let configured = targets(desired.backends());
    let next_hops = NextHops::start(configured.clone()).await?;
    let resolutions = next_hops.wait_all(Clock::now() + NEIGHBOUR_PATIENCE).await;

    let reach = Reach::new(&interfaces, resolutions);
    let next_hop = |service: &Service, backend: &Backend| reach.next_hop(service, backend);
    let image = Image::build(&desired, next_hop)?;
    let adopted = pins.exist();
    let mut plane = load(&pins, &desired, &image)?;
    let live = match adopted {
        true => Live::adopt_plane(&mut plane)?,
        false => Live::new(plane.settings(), plane.room(), engine::tick()),
    };
    health.doubt(in_use(&live));
    // Checks go on meanwhile: what they said may have been another thing at the beginning.
    let (desired, conditions) = at_start(health, configuration.checked());
    let mut instance = Instance {
        name: options.name,
        started: Clock::now(),
        plane,
        live,
        attached: Vec::new(),
        mode: options.mode,
        ages: Ages::of(&desired.timeouts),
        limits: desired.limits.clone(),
        is_behind: false,
        reach,
        events,
        told: LastTold::default(),
        configuration,
        board: health.reader(),
        conditions: Conditions::default(),
        applies: ApplyStatus::default(),
        netlink_overruns: 0,
        counted: Counted::default(),
    };
    // Those that leave are in no configuration, and have flows.
    let living = instance.live.living().map(|(_, backend)| backend);
    let all = targets(desired.backends().chain(living));
    if all != configured {
        next_hops.set_targets(all);
        let deadline = Clock::now() + NEIGHBOUR_PATIENCE;
        instance.reach.resolutions = next_hops.wait_all(deadline).await;
    }
    let began = Clock::now();
    if let Err(error) = fill_and_attach(&mut instance, &desired, interfaces) {
        if !adopted {
            // As well as it goes: the first error is the one to tell.
            let _ = instance.stop();
            let _ = pins.remove();
        }
        return Err(error);
    }
    instance.applies.note_applied(began.elapsed());
    instance.events.tell(What::Started {
        version: env!("CARGO_PKG_VERSION").into(),
        adopted,
    });
    instance.note_conditions(conditions);
    next_hops.set_targets(instance.targets());
    Ok((instance, next_hops))
}

/// The backends that take new flows.
fn in_use(live: &Live) -> impl Iterator<Item = (ServiceId, Endpoint)> {
    live.services().flat_map(|view| {
        let service = view.desired();
        let takes_new = |it: &BackendView<'_>| {
            it.standing == Standing::Configured && it.desired.state == BackendState::Up
        };
        let backends = view.backends().filter(takes_new);
        backends.map(|it| (service.id, Endpoint::of(service, it.desired)))
    })
}

fn fill_and_attach(
    instance: &mut Instance,
    desired: &Desired,
    interfaces: Vec<Interface>,
) -> Result<(), RunError> {
    let resolutions = instance.reach.resolutions.clone();
    instance.apply(desired, resolutions, Leave::ToBreakFlows)?;
    let indices: Vec<u32> = interfaces.iter().map(|it| it.index).collect();
    for interface in interfaces {
        instance.attach(interface)?;
    }
    Pins::of(&instance.name).keep_links(&indices)?;
    Ok(())
}

/// With maps that outlive the process, if there can be any.
fn load(pins: &Pins, desired: &Desired, image: &Image) -> Result<DataPlane, EngineError> {
    if pins.exist() {
        return DataPlane::adopt(pins, desired, image);
    }
    match DataPlane::load_pinned(pins, desired, image) {
        Err(error @ EngineError::NoBpfFileSystem(_)) => {
            warn!("{error}. Without it, balancing ends with this process");
            DataPlane::load(desired, image, false)
        }
        Err(error) => {
            // As well as it goes: the first error is the one to tell.
            let _ = pins.remove();
            Err(error)
        }
        loaded => loaded,
    }
}

/// Whether the only program on an interface is this instance's own, of an earlier process.
fn is_ours(pins: &Pins, interface: &Interface) -> bool {
    let links = pins.pinned_links();
    let mut programs = interface.xdp.iter();
    !interface.xdp.is_empty()
        && programs.all(|program| {
            links
                .iter()
                .any(|link| link.interface == interface.index && link.program == program.program_id)
        })
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
        remedy: remedy(&interface.name, &name, other.mode, owner(other.program_id)),
        name,
    })
}

/// The instance whose program this is, if its links are pinned.
fn owner(program: u32) -> Option<String> {
    let has_it = |name: &String| {
        let links = Pins::of(name).pinned_links();
        links.iter().any(|link| link.program == program)
    };
    Pins::instances().into_iter().find(has_it)
}

/// How a program goes from an interface. Ours is held by a link, which `ip` cannot break.
fn remedy(interface: &str, program: &str, mode: XdpMode, owner: Option<String>) -> String {
    match program {
        "evenkeel" => match owner {
            Some(name) => format!(
                "this is instance {name}'s: stop that first (`evenkeel stop --instance {name}`)"
            ),
            None => "this is another instance's: stop that first".into(),
        },
        // libxdp's (xdp-loader): it chains programs that were made for that.
        "xdp_dispatcher" => "it is libxdp's dispatcher, which evenkeel cannot be a part of yet: \
             unload what it runs, as in `xdp-loader unload --all`, or use another interface"
            .into(),
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
pub(super) fn describe(status: &Status, out: &mut impl Write) -> std::io::Result<()> {
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
    out.flush()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_program_goes_in_its_own_way() {
        for (program, mode, way) in [
            (
                "xdp_dispatcher",
                XdpMode::Native,
                "`xdp-loader unload --all`",
            ),
            ("xdp_dispatcher", XdpMode::Generic, "use another interface"),
            (
                "evenkeel",
                XdpMode::Native,
                "another instance's: stop that first",
            ),
            (
                "decap",
                XdpMode::Native,
                "that of `evenkeel decap`: stop that first",
            ),
            ("pass", XdpMode::Native, "`ip link set dev eth0 xdpdrv off`"),
            (
                "pass",
                XdpMode::Generic,
                "`ip link set dev eth0 xdpgeneric off`",
            ),
            (
                "pass",
                XdpMode::Offloaded,
                "`ip link set dev eth0 xdpoffload off`",
            ),
        ] {
            let remedy = remedy("eth0", program, mode, None);
            assert!(remedy.contains(way), "{program}, {mode}: {remedy}");
            // It takes only a program off that no link holds.
            assert_eq!(remedy.contains("ip link"), program == "pass", "{remedy}");
        }
    }
}
