//! The task that keeps the table in step with the kernel, and the handle to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::kernel;
use super::resolution::{Resolution, Target};
use super::table::Table;

/// What the kernel tells about by itself.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
];
/// How often neighbours are looked through for those to ask for.
const TICK: Duration = Duration::from_secs(1);
/// Every route is looked up anew this often, for changes that no notification tells of.
const REFRESH: Duration = Duration::from_secs(60);
/// Notifications handled before their consequences are drawn.
const BATCH: usize = 1_024;
/// Requests on their way to the kernel at one time.
const IN_FLIGHT: usize = 64;

/// Why next hops cannot be looked up (any more).
#[derive(Debug, thiserror::Error)]
pub enum NextHopError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel did not list links or neighbours.
    #[error("the kernel did not list its links and neighbours: {0}")]
    Dump(#[from] rtnetlink::Error),
    /// The task has ended.
    #[error("next hops are no longer watched: the netlink connection ended")]
    Stopped,
}

/// Follows the next hops of a set of targets until dropped.
pub struct NextHops {
    shared: Arc<Shared>,
    targets: watch::Sender<Vec<Target>>,
    tasks: [JoinHandle<()>; 3],
}

impl Drop for NextHops {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What the task tells its handle.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    resolutions: BTreeMap<IpAddr, Resolution>,
    changed: BTreeSet<IpAddr>,
    overruns: u64,
    stopped: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NextHops {
    /// Starts watching, in the network namespace of the calling thread; needs a tokio runtime with
    /// time and I/O.
    ///
    /// # Errors
    /// Netlink is not available.
    pub async fn start(targets: Vec<Target>) -> Result<Self, NextHopError> {
        // Notifications have a socket of their own, so that an overrun loses no answer.
        let (event_connection, _, events) = rtnetlink::new_multicast_connection(&GROUPS)?;
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let (targets_sender, targets_receiver) = watch::channel(targets);
        let shared = Arc::new(Shared::default());
        let connections = [tokio::spawn(event_connection), tokio::spawn(connection)];
        let mut watcher = Watcher {
            handle,
            table: Table::default(),
            shared: Arc::clone(&shared),
            targets: targets_receiver,
        };
        let ready = watcher.resync().await;
        let [events_task, requests_task] = connections;
        let watching = tokio::spawn(async move {
            watcher.run(events).await;
            watcher.shared.state().stopped = true;
            watcher.shared.news.notify_waiters();
        });
        let next_hops = Self {
            shared,
            targets: targets_sender,
            tasks: [events_task, requests_task, watching],
        };
        ready.map(|()| next_hops)
    }

    /// Replaces the targets. Those that stay keep what is known about them.
    pub fn set_targets(&self, targets: Vec<Target>) {
        self.targets.send_replace(targets);
    }

    /// What is known about each target now.
    #[must_use]
    pub fn current(&self) -> BTreeMap<IpAddr, Resolution> {
        self.shared.state().resolutions.clone()
    }

    /// How often notifications came faster than they were read, and everything was read anew.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.shared.state().overruns
    }

    /// Waits until something has changed since the last call and returns each target that did,
    /// once, as it is now. The first call returns all. Cancelling it loses nothing.
    ///
    /// # Errors
    /// There will be no more changes.
    pub async fn changes(&mut self) -> Result<Vec<(IpAddr, Resolution)>, NextHopError> {
        loop {
            let news = self.shared.news.notified();
            {
                let mut state = self.shared.state();
                let changed = std::mem::take(&mut state.changed);
                if !changed.is_empty() {
                    let known = |address| Some((address, state.resolutions.get(&address)?.clone()));
                    return Ok(changed.into_iter().filter_map(known).collect());
                }
                if state.stopped {
                    return Err(NextHopError::Stopped);
                }
            }
            news.await;
        }
    }

    /// Waits until every target is settled (see [`Resolution::is_settled`]), but not past
    /// `deadline`; then returns what is known, as [`Self::current`] does.
    pub async fn wait_all(&self, deadline: Instant) -> BTreeMap<IpAddr, Resolution> {
        let all_settled = async {
            loop {
                let news = self.shared.news.notified();
                {
                    let state = self.shared.state();
                    let settled = |target: &Target| {
                        let known = state.resolutions.get(&target.address);
                        known.is_some_and(Resolution::is_settled)
                    };
                    if state.stopped || self.targets.borrow().iter().all(settled) {
                        return;
                    }
                }
                news.await;
            }
        };
        // Whether in time or not: the answer says it for each target.
        let _ = tokio::time::timeout_at(deadline.into(), all_settled).await;
        self.current()
    }
}

struct Watcher {
    handle: Handle,
    table: Table,
    shared: Arc<Shared>,
    targets: watch::Receiver<Vec<Target>>,
}

impl Watcher {
    async fn run<S, A>(&mut self, mut events: S)
    where
        S: Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, A)> + Unpin,
    {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refreshed = Instant::now();
        loop {
            let mut overrun = false;
            tokio::select! {
                event = events.next() => {
                    let Some((message, _)) = event else { return };
                    overrun |= self.receive(message.payload);
                    for _ in 1..BATCH {
                        let Some(Some((message, _))) = events.next().now_or_never() else { break };
                        overrun |= self.receive(message.payload);
                    }
                }
                changed = self.targets.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.retarget();
                }
                _ = tick.tick() => {
                    if refreshed.elapsed() >= REFRESH {
                        refreshed = Instant::now();
                        self.table.all_routes_are_stale();
                    }
                }
            }
            if overrun {
                self.shared.state().overruns += 1;
                if let Err(error) = self.resync().await {
                    tracing::error!(%error, "next hops cannot be read anew");
                    return;
                }
            }
            self.settle().await;
        }
    }

    /// Notes a notification; true when some were lost.
    fn receive(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) -> bool {
        match payload {
            NetlinkPayload::InnerMessage(message) => {
                if let Some(event) = kernel::event(&message) {
                    self.table.apply(event, Instant::now());
                }
                false
            }
            NetlinkPayload::Overrun(_) => true,
            _ => false,
        }
    }

    /// Reads everything anew.
    async fn resync(&mut self) -> Result<(), NextHopError> {
        let links = kernel::links(&self.handle).await?;
        let neighbours = kernel::neighbours(&self.handle).await?;
        self.retarget();
        self.table.resync(links, neighbours, Instant::now());
        self.settle().await;
        Ok(())
    }

    fn retarget(&mut self) {
        let targets = self.targets.borrow_and_update().clone();
        self.table.set_targets(&targets);
        let kept: BTreeSet<IpAddr> = targets.iter().map(|target| target.address).collect();
        let mut state = self.shared.state();
        state
            .resolutions
            .retain(|address, _| kept.contains(address));
        state.changed.retain(|address| kept.contains(address));
    }

    /// Draws the consequences of what has changed: route lookups, questions, news.
    async fn settle(&mut self) {
        let handle = &self.handle;
        let mut routes = stream::iter(self.table.take_stale_routes())
            .map(|address| async move { (address, kernel::route(handle, address).await) })
            .buffer_unordered(IN_FLIGHT);
        while let Some((address, route)) = routes.next().await {
            self.table.set_route(address, route, Instant::now());
        }
        drop(routes);
        let mut questions = stream::iter(self.table.take_due(Instant::now()))
            .map(|key| async move { (key, kernel::ask(handle, key).await) })
            .buffer_unordered(IN_FLIGHT);
        while let Some((key, result)) = questions.next().await {
            self.table.asked(key, result);
        }
        drop(questions);
        self.publish();
    }

    fn publish(&mut self) {
        let touched = self.table.take_touched();
        if touched.is_empty() {
            return;
        }
        let mut news = false;
        let mut state = self.shared.state();
        for address in touched {
            let Some(resolution) = self.table.resolution(address) else {
                continue;
            };
            if state.resolutions.get(&address) != Some(&resolution) {
                tracing::debug!(%address, ?resolution, "next hop");
                state.resolutions.insert(address, resolution);
                state.changed.insert(address);
                news = true;
            }
        }
        drop(state);
        if news {
            self.shared.news.notify_waiters();
        }
    }
}
