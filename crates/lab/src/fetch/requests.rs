//! Many requests, each on a fresh connection or on a few that are kept.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::connection::Connection;
use super::{Datagram, Outcome, Report, Target, block_on, within};
use crate::error::Result;
use crate::interrupt::Interrupt;

/// How to make requests.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Where they go.
    pub target: Target,
    /// How many.
    pub requests: usize,
    /// How many at a time.
    pub concurrency: usize,
    /// Keep connections and use them again; otherwise a fresh one for each request.
    pub keep_alive: bool,
    /// Addresses and ports to come from, in turn; port 0 and an empty list leave the choice
    /// to the kernel. With as many at a time as there are ports, they collide with
    /// those of other clients but not with each other.
    pub sources: Vec<SocketAddr>,
    /// How long one request may take, connecting included.
    pub timeout: Duration,
    /// What [`udp`](super::udp) sends; HTTP requests have no use for it.
    pub datagram: Datagram,
    /// Stops early when set; requests not made are not counted.
    pub interrupt: Interrupt,
}

impl FetchOptions {
    /// 100 requests on fresh connections, one after the other, 5 s for each.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            requests: 100,
            concurrency: 1,
            keep_alive: false,
            sources: Vec::new(),
            timeout: Duration::from_secs(5),
            datagram: Datagram::Short,
            interrupt: Interrupt::never(),
        }
    }

    /// The address and port for a request.
    pub(super) fn source(&self, index: usize) -> Option<SocketAddr> {
        let at = index.checked_rem(self.sources.len())?;
        self.sources.get(at).copied()
    }
}

/// Makes the requests and waits for all of them.
pub fn fetch(options: &FetchOptions) -> Result<Report> {
    in_workers(options, async |kept, outcome| {
        exchange(options, kept, outcome).await
    })
}

/// As many exchanges as there are requests, in `concurrency` workers, each of which may keep
/// something from one exchange to the next.
pub(super) fn in_workers<K>(
    options: &FetchOptions,
    exchange: impl AsyncFn(&mut Option<K>, &mut Outcome) -> std::result::Result<(), String>,
) -> Result<Report> {
    block_on(async {
        let start = Instant::now();
        let next = AtomicUsize::new(0);
        let workers = (0..options.concurrency.max(1)).map(|_| worker(options, &next, &exchange));
        let outcomes = join_all(workers).await.concat();
        Report::of(outcomes, start.elapsed())
    })
}

async fn worker<K>(
    options: &FetchOptions,
    next: &AtomicUsize,
    exchange: &impl AsyncFn(&mut Option<K>, &mut Outcome) -> std::result::Result<(), String>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut kept = None;
    while !options.interrupt.is_set() {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= options.requests {
            break;
        }
        let start = Instant::now();
        let mut outcome = Outcome {
            index,
            source: None,
            server: None,
            failure: None,
            micros: 0,
        };
        if let Err(failure) = exchange(&mut kept, &mut outcome).await {
            outcome.failure = Some(failure);
            kept = None;
        }
        outcome.micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        outcomes.push(outcome);
    }
    outcomes
}

async fn exchange(
    options: &FetchOptions,
    kept: &mut Option<Connection>,
    outcome: &mut Outcome,
) -> std::result::Result<(), String> {
    let start = Instant::now();
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => {
            let open = Connection::open(options.target.address, options.source(outcome.index));
            within(options.timeout, "connect", open).await?
        }
    };
    outcome.source = Some(connection.source());
    let rest = options.timeout.saturating_sub(start.elapsed());
    let head = within(
        rest,
        "get",
        connection.get(&options.target, !options.keep_alive),
    )
    .await?;
    outcome.server = head.server;
    if head.status != 200 {
        return Err(format!("status {}", head.status));
    }
    if options.keep_alive {
        *kept = Some(connection);
    }
    Ok(())
}
