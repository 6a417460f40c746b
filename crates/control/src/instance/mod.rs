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
use engine::desired::Desired;
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::warn;

use crate::api::{self, ApiError, Role, Served};
use crate::config::{ConfigError, Origin};
use crate::event::{Events, What};
use crate::health::Health;
use crate::metrics::{self, MetricsError, MetricsSettings};
use crate::nexthop::{
    Changes as KernelChanges, InterfaceError, NextHopError, NextHops, Resolution, Target,
    interfaces, targets,
};
use file_watch::FileWatch;
use lock::InstanceLock;
use saved::Saved;

pub(crate) use configuration::Configuration;
pub(crate) use flows::{FlowError, Wanted, cursor, from_cursor};
pub(crate) use name::{MAX_NAME, is_valid};
pub use name::{SOCKET_DIRECTORY, decap_socket_path, default_name, running, socket_path};
pub use reload::ReloadError;
pub(crate) use request::{Change, Request};
pub(crate) use start::{check, describe_interface};
pub use state::Instance;
pub use stop::{StopError, Stopped, stop};

/// Time between two sweeps of the flow tables.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Time for those who listen to hear that this is the end.
const FAREWELL: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Services, backends, interfaces.
    pub desired: Desired,
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
    /// Whether metrics are served, and where.
    pub metrics: MetricsSettings,
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
pub async fn run(mut options: RunOptions, out: &mut impl Write) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let _lock = InstanceLock::take(&options.name)?;
    let (configuration, dropped) = Configuration::at_start(&mut options)?;
    for change in dropped {
        warn!("{change}");
    }
    let listener = api::listen(Role::Balancer, &options.name, &configuration.checked().api)?;
    let events = Events::default();
    let mut file = FileWatch::new(options.watch, options.origin.as_ref());
    let metrics_settings = options.metrics;
    let metrics = metrics::bind(&metrics_settings).await?;
    let known = Saved::load(&options.name).health;
    let known = known.and_then(|known| serde_json::from_value(known).ok());
    let mut health = Health::start(known);
    // Before there are next hops: most checks need none, and so some know before packets flow.
    health.set_subjects(configuration.checked());
    let (desired, conditions) = health::at_start(&health, configuration.checked());
    options.desired = desired;
    let targets = targets(options.desired.backends());
    let mut keep = options.keep;
    // Before the first look at the interfaces, so that no change is missed.
    let mut links = KernelChanges::start(&interfaces::GROUPS)?;
    let (instance, next_hops) =
        start::start(options, (configuration, health.reader()), events.clone()).await?;
    start::describe(&instance, out)?;
    let mut watchdog = notify::ready(&instance);
    let (requests, mut asked) = mpsc::channel(16);
    let mut running = Running {
        instance: Arc::new(Mutex::new(instance)),
        next_hops,
        targets,
        health,
        events: events.clone(),
    };
    running.tell_next_hops();
    lock(&running.instance).note_conditions(conditions);
    let served = Served {
        instance: Arc::clone(&running.instance),
        requests,
        events: events.clone(),
    };
    // A task of its own, so that it answers while a reload waits for neighbours.
    let mut tasks = JoinSet::new();
    tasks.spawn(api::serve(listener, served));
    if let Some(listener) = metrics {
        let instance = Arc::clone(&running.instance);
        let source = Arc::new(move || report::told(lock(&instance).status()));
        tasks.spawn(async move {
            metrics::serve_metrics(listener, metrics_settings.per_backend, source).await;
            Ok(())
        });
    }
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let result = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                // Without a file to read again it means what it does to any foreground process.
                Signal::Hangup if running.has_file() => running.reload().await,
                Signal::Hangup | Signal::End => break Ok(()),
            },
            Some(request) = asked.recv() => match request {
                Request::Stop { keep: kept, answer } => {
                    keep = kept;
                    // Whoever asked may have gone.
                    let _ = answer.send(());
                    break Ok(());
                }
                Request::Change(change, answer) => running.answer(change, answer).await,
            },
            Some(ended) = tasks.join_next() => break match ended {
                Ok(result) => result.map_err(RunError::from),
                Err(panic) => Err(std::io::Error::other(panic).into()),
            },
            _ = sweep.tick() => running.sweep(),
            changed = running.next_hops.changes() => running.next_hops_changed(changed).await,
            changed = running.health.changes() => running.follow_health(changed),
            () = file.changed() => running.reload_if_watched(&file).await,
            () = watchdog.due() => watchdog.alive(),
            () = links.next() => running.follow_interfaces().await,
        }
    };
    running.end(keep, out)?;
    if events.is_heard() {
        sleep(FAREWELL).await;
    }
    tasks.shutdown().await;
    result
}

/// What the process is told by signals.
enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGINT or SIGTERM.
    End,
}

struct Signals {
    interrupt: UnixSignal,
    terminate: UnixSignal,
    hangup: UnixSignal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::End,
            _ = self.terminate.recv() => Signal::End,
            _ = self.hangup.recv() => Signal::Hangup,
        }
    }
}

/// A running instance and what it follows.
struct Running {
    instance: Arc<Mutex<Instance>>,
    next_hops: NextHops,
    /// What `next_hops` follows.
    targets: Vec<Target>,
    health: Health,
    events: Events,
}

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
    fn end(&self, keep: bool, out: &mut impl Write) -> Result<(), RunError> {
        let mut instance = lock(&self.instance);
        let keep = keep && instance.plane.can_be_replaced();
        notify::stopping(keep);
        self.events.tell(What::Stopping { keep });
        if keep {
            writeln!(
                out,
                "ended: packets are balanced on; `evenkeel run` goes on with that, `evenkeel stop` ends it"
            )?;
            return Ok(());
        }
        instance.stop()?;
        Saved::remove(&instance.name);
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
