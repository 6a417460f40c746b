//! A running instance: data plane, next hops, sweeping, status.
//!
//! - `name`, `lock`: which instance this is, where its socket lies, and that it has one process.
//! - `start`: everything up to the moment packets flow.
//! - `request`: what the API asks of the process.
//! - `configuration`: which configuration is in force, and where it came from.
//! - `saved`: what the next process knows of it.
//! - `counted`: how many flows each backend has.
//! - `flows`: the flows that are known one by one.
//! - `file_watch`: whether the file has changed.
//! - `reload`: the configuration read again while packets flow.
//! - `interfaces`: where packets come in by, as interfaces come and go.
//! - `state`: what is running.
//! - `report`: its status.
//! - `memory`: how much of it there is, for the process and its maps.
//! - `notify`: what the service manager is told.
//! - `outside`: what the run loop waits for.
//! - `stop`: the end of it, whether or not a process works on it.

mod configuration;
mod counted;
mod file_watch;
mod flows;
mod health;
mod interfaces;
mod lock;
mod memory;
mod name;
mod notify;
mod outside;
mod reload;
mod report;
mod request;
mod saved;
mod start;
mod state;
mod stop;

use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::EngineError;
use engine::dataplane::AttachMode;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::warn;

use crate::api::{self, ApiError, Role};
use crate::config::{ApiSettings, ConfigError, Origin};
use crate::event::{Events, What};
use crate::health::Health;
use crate::metrics::{self, Exporter, MetricsError, MetricsSettings};
use crate::nexthop::{
    Changes as KernelChanges, InterfaceError, NextHopError, NextHops, Resolution, Target,
    interfaces,
};
use file_watch::FileWatch;
use lock::InstanceLock;
use outside::{Happening, Outside, Signals};
use saved::SavedFiles;

pub(crate) use configuration::Configuration;
pub(crate) use flows::{FlowError, Wanted, cursor, from_cursor};
pub(crate) use interfaces::check_interfaces;
pub(crate) use name::{MAX_NAME, is_valid};
pub use name::{SOCKET_DIRECTORY, decap_socket_path, default_name, running, socket_path};
pub use reload::ReloadError;
pub(crate) use request::{Change, Request};
pub(crate) use start::{check, describe_interface};
pub use state::Instance;
pub use stop::{StopError, Stopped, stop};

/// Time for those who listen to hear that this is the end.
const FAREWELL: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where to read it again; `None`: it came from flags, and stays as it is.
    pub origin: Option<Origin>,
    /// The text that says it.
    pub text: String,
    /// The file is read again whenever it has changed.
    pub watch: bool,
    /// How to attach.
    pub mode: AttachMode,
    /// Name of the instance.
    pub name: String,
    /// Packets are balanced on when the process ends.
    pub keep: bool,
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
        "{interface} has an XDP program already: id {id}, name {name}, {mode} mode. Only one can be attached; {remedy}"
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
        /// How it goes.
        remedy: String,
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
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Standard output or signals.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Runs until SIGINT, SIGTERM or a request to stop; then detaches and leaves nothing behind, unless
/// packets are to be balanced on. SIGHUP has the configuration read again. What was done is written to
/// `out`; its last line before packets flow starts with `ready`.
///
/// # Errors
/// See [`RunError`]. After an error, too, nothing is left behind, but what an earlier process left.
pub async fn run(options: RunOptions, out: &mut impl Write) -> Result<(), RunError> {
    let signals = Signals::new()?;
    let _lock = InstanceLock::take(&options.name)?;
    let mut keep = options.keep;
    let (mut running, listeners) = begin(options, signals, out).await?;
    let mut outside = Outside::open(&running, listeners);
    let result = loop {
        match outside.next(&mut running).await {
            // Without a file to read again it means what it does to any foreground process.
            Happening::Hangup if running.has_file() => running.reload().await,
            Happening::Hangup | Happening::End => break Ok(()),
            Happening::Asked(Request::Stop { keep: kept, answer }) => {
                keep = kept;
                // Whoever asked may have gone.
                let _ = answer.send(());
                break Ok(());
            }
            Happening::Asked(Request::Change(change, answer)) => {
                running.answer(change, answer).await;
            }
            Happening::Failed(error) => break Err(error),
            Happening::Sweep => running.sweep(),
            Happening::NextHops(changed) => running.next_hops_changed(changed).await,
            Happening::Health(changes) => running.follow_health(changes),
            Happening::Save => running.save_health(),
            Happening::File => running.reload_if_watched(&outside.file).await,
            Happening::Watchdog => outside.watchdog.alive(),
            Happening::Links => running.follow_interfaces().await,
        }
    };
    running.end(keep, out).await?;
    if running.events.is_heard() {
        sleep(FAREWELL).await;
    }
    outside.close().await;
    result
}

/// What is bound before packets flow, and listened to afterwards.
struct Listeners {
    signals: Signals,
    api: api::Listener,
    metrics: Option<TcpListener>,
    exporter: Exporter,
    file: FileWatch,
    links: KernelChanges,
}

/// Everything up to the moment packets flow.
async fn begin(
    options: RunOptions,
    signals: Signals,
    out: &mut impl Write,
) -> Result<(Running, Listeners), RunError> {
    let files = SavedFiles::of(&options.name);
    let (configuration, dropped) = Configuration::at_start(&options, files.overrides()?)?;
    if !dropped.is_empty() {
        files.keep_overrides(configuration.overrides());
    }
    for change in dropped {
        warn!("{change}");
    }
    let checked = configuration.checked();
    let mut listeners = Listeners {
        signals,
        api: api::listen(Role::Balancer, &options.name, &checked.api)?,
        metrics: metrics::bind(&checked.metrics).await?,
        exporter: Exporter::new(checked.metrics.per_backend),
        file: FileWatch::new(options.watch, options.origin.as_ref()),
        // Before the first look at the interfaces, so that no change is missed.
        links: KernelChanges::start(&interfaces::GROUPS)?,
    };
    let served = (checked.api.clone(), checked.metrics);
    let mut health = Health::start(files.health());
    // Before there are next hops: most checks need none, and so some know before packets flow.
    health.set_subjects(checked);
    let events = Events::default();
    let (instance, next_hops) =
        start::start(options, configuration, &health, events.clone()).await?;
    let status = instance.status()?;
    if listeners.metrics.is_some() {
        listeners.exporter.begin(&status);
    }
    start::describe(&status, out)?;
    let targets = instance.targets();
    let running = Running {
        instance: Arc::new(Mutex::new(instance)),
        next_hops,
        targets,
        health,
        saving: None,
        events,
        served,
    };
    running.tell_next_hops();
    Ok((running, listeners))
}

/// A running instance and what it follows.
struct Running {
    instance: Arc<Mutex<Instance>>,
    next_hops: NextHops,
    /// What `next_hops` follows.
    targets: Vec<Target>,
    health: Health,
    /// What is known of the backends, while it is written.
    saving: Option<JoinHandle<()>>,
    events: Events,
    served: Served,
}

/// How the API and metrics are served, which does not change as long as the process runs.
type Served = (ApiSettings, MetricsSettings);
type Changes = Vec<(IpAddr, Resolution)>;

impl Running {
    /// Takes next hops that changed over. If the kernel can no longer be followed, packets still flow:
    /// say so and watch anew.
    async fn next_hops_changed(&mut self, changed: Result<Changes, NextHopError>) {
        match changed {
            Ok(changes) => return self.follow(changes),
            Err(error) => warn!("{error}; starting again"),
        }
        match NextHops::start(self.targets.clone()).await {
            Ok(next_hops) => self.next_hops = next_hops,
            Err(error) => {
                warn!("{error}; trying again in a second");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Takes changed next hops over. Packets flow as before if that fails.
    fn follow(&mut self, changes: Changes) {
        let overruns = self.next_hops.overruns();
        let followed = {
            let mut instance = lock(&self.instance);
            instance.netlink_overruns = overruns;
            instance.follow(changes)
        };
        if let Err(error) = followed {
            warn!(
                "next hops have changed, packets still go where they went: {error}; trying again"
            );
        }
        self.tell_next_hops();
    }

    /// Takes over what has become of the interfaces.
    async fn follow_interfaces(&mut self) {
        let followed = match interfaces().await {
            Ok(present) => lock(&self.instance)
                .follow_interfaces(&present)
                .map_err(RunError::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = followed {
            warn!("interfaces could not be followed: {error}; trying again");
        }
    }

    /// Lets packets be balanced on, or takes everything off.
    async fn end(&mut self, keep: bool, out: &mut impl Write) -> Result<(), RunError> {
        let keep = keep && lock(&self.instance).plane.can_be_replaced();
        notify::stopping(keep);
        self.events.tell(What::Stopping { keep });
        // So that nothing is written after what follows.
        self.finish_saving().await;
        if keep {
            self.save_health();
            self.finish_saving().await;
            writeln!(
                out,
                "ended: packets are balanced on; `evenkeel run` goes on with that, `evenkeel stop` ends it"
            )?;
            return Ok(());
        }
        let mut instance = lock(&self.instance);
        instance.stop()?;
        SavedFiles::of(&instance.name).remove();
        writeln!(out, "stopped: detached from every interface")?;
        Ok(())
    }

    /// Sweeps, and no longer follows those who have left meanwhile. What fails is tried again the
    /// next time.
    fn sweep(&mut self) {
        let swept = lock(&self.instance).sweep();
        self.tell_drained();
        match swept {
            Ok(()) => self.put_health_in_force(),
            Err(error) => warn!("the tables of flows were not swept: {error}; trying again"),
        }
    }

    /// Follows what the instance has to reach.
    fn retarget(&mut self) {
        let targets = lock(&self.instance).targets();
        if targets != self.targets {
            self.next_hops.set_targets(targets.clone());
            self.targets = targets;
        }
    }
}

/// No method leaves the instance half changed, so a panic elsewhere does not spoil it.
pub(crate) fn lock(instance: &Mutex<Instance>) -> std::sync::MutexGuard<'_, Instance> {
    instance.lock().unwrap_or_else(PoisonError::into_inner)
}
