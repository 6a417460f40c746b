//! `evenkeel decap`: the backend's side of modes `ipip` and `gue`, in the foreground.
//!
//! - `host`: the addresses of this host, followed as they change.
//! - `status`: what it tells about itself.

mod host;
mod status;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use engine::EngineError;
use engine::dataplane::AttachMode;
use engine::decap::{Decap, DecapOptions, Lists};
use engine::desired::Prefix;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::api::{self, ApiError, Role};
use crate::config::ApiSettings;
use crate::instance::{RunError, check, describe_interface};
use crate::nexthop::{Changes, InterfaceError, interface};
use crate::status::InterfaceStatus;

pub use host::prefix;
use host::{GROUPS, HostAddresses};
pub use status::{DecapStatus, fetch_status};

/// What to run.
#[derive(Clone, Debug)]
pub struct DecapRun {
    /// Names of the interfaces.
    pub interfaces: BTreeSet<String>,
    /// What inner packets may be addressed to; empty: every address of the host.
    pub vips: BTreeSet<Prefix>,
    /// Who may send, and the port of GUE.
    pub options: DecapOptions,
    /// How to attach.
    pub mode: AttachMode,
    /// Name of the instance.
    pub name: String,
}

/// Why it does not run (any more).
#[derive(Debug, thiserror::Error)]
pub enum DecapError {
    /// One of the interfaces is not there.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// One of the interfaces cannot be used.
    #[error(transparent)]
    Unusable(#[from] RunError),
    /// Nothing that an outer packet could be addressed to.
    #[error(
        "expected an address that the load balancer sends to, found none on any interface of this host: add one, as in `ip address add 10.0.0.2/24 dev {0}`"
    )]
    NoAddress(String),
    /// Addresses of the host.
    #[error("the kernel did not list the addresses of this host: {0}")]
    Addresses(#[from] nix::errno::Errno),
    /// The program.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Status socket.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Standard output, signals or netlink.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The program on its interfaces.
#[derive(Debug)]
struct Running {
    run: DecapRun,
    plane: Decap,
    attached: Vec<InterfaceStatus>,
    lists: Lists,
    started: Instant,
}

/// Runs until SIGINT or SIGTERM; then detaches, leaves nothing behind, and returns what the
/// counters were. The last line that is written to `out` before packets are taken starts with
/// `ready`.
///
/// # Errors
/// See [`DecapError`]. After an error, too, nothing is left behind.
pub async fn run(run: DecapRun, out: &mut impl Write) -> Result<DecapStatus, DecapError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = api::listen(Role::Decap, &run.name, &ApiSettings::default())?;
    // Before the first look at the addresses, so that no change is missed.
    let mut changes = Changes::start(&GROUPS)?;
    let running = start(run).await?;
    running.describe(out)?;
    let running = Arc::new(Mutex::new(running));
    let mut tasks = JoinSet::new();
    tasks.spawn(status::serve(listener, Arc::clone(&running)));
    let result = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
            Some(ended) = tasks.join_next() => break match ended {
                Ok(result) => result.map_err(DecapError::from),
                Err(panic) => Err(std::io::Error::other(panic).into()),
            },
            () = changes.next() => lock(&running).follow()?,
        }
    };
    info!("stopping");
    tasks.shutdown().await;
    let mut running = lock(&running);
    let status = running.status()?;
    running.plane.detach()?;
    writeln!(out, "stopped: detached from every interface")?;
    result.map(|()| status)
}

/// No method leaves it half changed, so a panic elsewhere does not spoil it.
fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at interfaces and addresses, loads, fills and attaches.
async fn start(run: DecapRun) -> Result<Running, DecapError> {
    let mut interfaces = Vec::new();
    for name in &run.interfaces {
        let interface = interface(name).await?;
        check(&interface)?;
        interfaces.push(interface);
    }
    let host = HostAddresses::read()?;
    let lists = host.lists(&run.vips);
    if lists.locals.is_empty() {
        let name = run.interfaces.first().cloned();
        return Err(DecapError::NoAddress(name.unwrap_or_default()));
    }
    for warning in host.warnings(&run.interfaces, &run.vips) {
        warn!("{warning}");
    }
    let mut plane = Decap::load(&run.options)?;
    plane.set(&lists)?;
    let mut attached = Vec::new();
    for interface in interfaces {
        let attachment = plane.attach(&interface.name, interface.index, run.mode)?;
        attached.push(InterfaceStatus {
            name: interface.name,
            index: interface.index,
            mac: interface.mac.map(|mac| mac.to_string()),
            mode: attachment.mode.name().into(),
            native_refused: attachment.native_refused,
        });
    }
    Ok(Running {
        run,
        plane,
        attached,
        lists,
        started: Instant::now(),
    })
}

impl Running {
    /// Takes over the addresses that the host has now.
    fn follow(&mut self) -> Result<(), DecapError> {
        let lists = HostAddresses::read()?.lists(&self.run.vips);
        if lists != self.lists {
            self.plane.set(&lists)?;
            info!("addresses of this host: {}", status::list(&lists.locals));
            self.lists = lists;
        }
        Ok(())
    }

    /// Says what is running.
    fn describe(&self, out: &mut impl Write) -> Result<(), DecapError> {
        let status = self.status()?;
        writeln!(
            out,
            "evenkeel {}, decapsulation, instance {}",
            status.version, status.instance
        )?;
        for interface in &status.interfaces {
            describe_interface(interface, out)?;
        }
        status.describe_lists(out)?;
        writeln!(
            out,
            "ready: takes ipip, and gue at UDP port {}; `evenkeel decap --status` shows counters, \
             Ctrl-C stops",
            status.gue_port
        )?;
        out.flush()?;
        Ok(())
    }
}
