//! A running instance: data plane, next hops, sweeping, status.
//!
//! - `name`: which instance this is, and where its socket lies.
//! - `start`: everything up to the moment packets flow.
//! - `state`: what is running, and its status.

mod name;
mod start;
mod state;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::EngineError;
use engine::dataplane::AttachMode;
use engine::desired::Desired;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::api::{self, ApiError};
use crate::nexthop::{InterfaceError, NextHopError, NextHops, Resolution, Target, targets};

pub(crate) use name::{MAX_NAME, is_valid};
pub use name::{SOCKET_DIRECTORY, default_name, running, socket_path};
pub use state::Instance;

/// Time between two sweeps of the flow tables.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Services, backends, interfaces.
    pub desired: Desired,
    /// How to attach.
    pub mode: AttachMode,
    /// Name of the instance.
    pub name: String,
}

/// Why an instance does not run (any more).
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing to attach to.
    #[error(
        "expected at least one interface, found none: name it, as in `evenkeel run eth0 ...`, or write `interfaces = [\"eth0\"]` into the config"
    )]
    NoInterface,
    /// One of the interfaces.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// An interface that is not Ethernet.
    #[error(
        "{0} has no MAC address: evenkeel balances Ethernet frames, so name an Ethernet interface"
    )]
    NotEthernet(String),
    /// Somebody else's program.
    #[error(
        "{interface} has an XDP program already: id {id}, name {name}, {mode} mode. Only one can be attached; if it is no longer needed, remove it with `ip link set dev {interface} {off} off`"
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// Kernel id of the program.
        id: u32,
        /// Its name.
        name: String,
        /// How it is attached.
        mode: String,
        /// The word that `ip link` wants.
        off: &'static str,
    },
    /// Data plane.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Routes and neighbours.
    #[error(transparent)]
    NextHop(#[from] NextHopError),
    /// Status socket.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Standard output or signals.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Runs until SIGINT or SIGTERM; then detaches and leaves nothing behind. What was done is
/// written to `out`; its last line before packets flow starts with `ready`.
///
/// # Errors
/// See [`RunError`]. After an error, too, nothing is left behind.
pub async fn run(options: RunOptions, out: &mut impl Write) -> Result<(), RunError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = api::listen(&options.name)?;
    let targets = targets(&options.desired);
    let (instance, mut next_hops) = start::start(options).await?;
    start::describe(&instance, out)?;
    let instance = Arc::new(Mutex::new(instance));
    let server = api::serve(listener, Arc::clone(&instance));
    tokio::pin!(server);
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            result = &mut server => result?,
            _ = sweep.tick() => lock(&instance).sweep()?,
            changed = follow(&mut next_hops, &targets) => {
                for (address, resolution) in changed? {
                    lock(&instance).follow(address, resolution)?;
                }
            }
        }
    }
    info!("stopping");
    lock(&instance).stop()?;
    writeln!(out, "stopped: detached from every interface")?;
    Ok(())
}

type Changes = Vec<(std::net::IpAddr, Resolution)>;

/// Next hops that changed. If the kernel can no longer be followed, packets still flow: say so
/// and watch anew.
async fn follow(next_hops: &mut NextHops, targets: &[Target]) -> Result<Changes, RunError> {
    loop {
        match next_hops.changes().await {
            Ok(changes) => return Ok(changes),
            Err(error) => {
                warn!("{error}; starting again");
                *next_hops = NextHops::start(targets.to_vec()).await?;
            }
        }
    }
}

/// No method leaves the instance half changed, so a panic elsewhere does not spoil it.
pub(crate) fn lock(instance: &Mutex<Instance>) -> std::sync::MutexGuard<'_, Instance> {
    instance.lock().unwrap_or_else(PoisonError::into_inner)
}
