//! Long connections: opened once, used again and again, watched for any that break.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Serialize;

use super::connection::Connection;
use super::{FetchOptions, Latency, block_on, within};
use crate::error::Result;

/// How to hold connections.
#[derive(Debug, Clone)]
pub struct HoldOptions {
    /// Where they go, where they come from, the time for one request, and when to stop
    /// early. `requests` and `keep_alive` mean nothing here; `concurrency` is how many.
    pub fetch: FetchOptions,
    /// How long, once all are open.
    pub lasting: Duration,
    /// Pause between two requests of a connection.
    pub every: Duration,
    /// Gets the number of open connections once all have been tried.
    pub opened: Option<Sender<usize>>,
}

/// A connection that broke.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// Which one, counted from 0.
    pub connection: usize,
    /// Where it came from, if it was ever open.
    pub source: Option<SocketAddr>,
    /// Requests that it had answered.
    pub answered: usize,
    /// Why it broke.
    pub reason: String,
}

/// What became of held connections.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HoldReport {
    /// Connections wanted.
    pub connections: usize,
    /// Connections that opened and answered a first request.
    pub opened: usize,
    /// Requests that were answered.
    pub answered: usize,
    /// Connections by server name.
    pub by_server: BTreeMap<String, usize>,
    /// Connections that broke or were answered by two servers.
    pub broken: Vec<Broken>,
    /// Times of the answered requests.
    pub latency: Latency,
}

/// One connection's story.
struct Held {
    index: usize,
    connection: Option<Connection>,
    server: Option<String>,
    times: Vec<Duration>,
    failure: Option<String>,
}

/// Opens the connections, uses each of them for `lasting`, and reports.
pub fn hold(options: &HoldOptions) -> Result<HoldReport> {
    block_on(async {
        let wanted = options.fetch.concurrency.max(1);
        let held = join_all((0..wanted).map(|index| open(&options.fetch, index))).await;
        let opened = held.iter().filter(|one| one.failure.is_none()).count();
        if let Some(sender) = &options.opened {
            // Nobody has to listen.
            let _ = sender.send(opened);
        }
        let deadline = Instant::now() + options.lasting;
        let held = join_all(
            held.into_iter()
                .map(|one| keep_using(options, one, deadline)),
        )
        .await;
        report(opened, held)
    })
}

async fn open(options: &FetchOptions, index: usize) -> Held {
    let mut held = Held {
        index,
        connection: None,
        server: None,
        times: Vec::new(),
        failure: None,
    };
    let open = Connection::open(options.target.address, options.source(index));
    match within(options.timeout, "connect", open).await {
        Ok(connection) => held.connection = Some(connection),
        Err(failure) => held.failure = Some(failure),
    }
    exchange(options, &mut held).await;
    held
}

async fn keep_using(options: &HoldOptions, mut held: Held, deadline: Instant) -> Held {
    while held.failure.is_none() && Instant::now() < deadline && !options.fetch.interrupt.is_set() {
        tokio::time::sleep(options.every).await;
        exchange(&options.fetch, &mut held).await;
    }
    held
}

async fn exchange(options: &FetchOptions, held: &mut Held) {
    let Some(connection) = held.connection.as_mut().filter(|_| held.failure.is_none()) else {
        return;
    };
    let start = Instant::now();
    match within(
        options.timeout,
        "get",
        connection.get(&options.target, false),
    )
    .await
    {
        Ok(head) if head.status != 200 => held.failure = Some(format!("status {}", head.status)),
        Ok(head) if !held.times.is_empty() && head.server != held.server => {
            held.failure = Some(format!(
                "answered by {:?}, then {:?}",
                held.server, head.server
            ));
        }
        Ok(head) => {
            held.server = head.server;
            held.times.push(start.elapsed());
        }
        Err(failure) => held.failure = Some(failure),
    }
}

fn report(opened: usize, held: Vec<Held>) -> HoldReport {
    let mut report = HoldReport {
        connections: held.len(),
        opened,
        ..HoldReport::default()
    };
    report.answered = held.iter().map(|one| one.times.len()).sum();
    report.latency = Latency::of(held.iter().flat_map(|one| one.times.iter().copied()));
    for one in held {
        if let Some(server) = one.server {
            *report.by_server.entry(server).or_default() += 1;
        }
        if let Some(reason) = one.failure {
            report.broken.push(Broken {
                connection: one.index,
                source: one.connection.as_ref().map(Connection::source),
                answered: one.times.len(),
                reason,
            });
        }
    }
    report
}
