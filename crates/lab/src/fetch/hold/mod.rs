//! Long connections and long UDP flows: opened once, used again and again, watched for any that
//! break.

mod holding;
mod watch;

use std::pin::pin;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::udp::Flow;
use super::{FetchOptions, block_on, within};
use crate::error::Result;

pub use holding::Holding;
pub use watch::{Broken, HoldReport, Watch};

/// Connections that are opened at the same time.
const OPENING: usize = 128;
/// From one connection's last request to the next one's: a thousand at once would ask more of
/// queues and buffers than of a load balancer.
const APART: Duration = Duration::from_micros(250);

/// How to hold connections.
#[derive(Debug, Clone)]
pub struct HoldOptions {
    /// Where they go, where they come from, the time for one request, and when to stop
    /// early. `requests` and `keep_alive` mean nothing here; `concurrency` is how many.
    pub fetch: FetchOptions,
    /// TCP connections, or UDP flows.
    pub protocol: Protocol,
    /// How long, once all are open.
    pub lasting: Duration,
    /// Pause between two requests of a connection.
    pub every: Duration,
    /// Gets the number of open connections once all have been tried.
    pub opened: Option<Sender<usize>>,
    /// Tells how they are, at any time.
    pub watch: Watch,
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Connections that carry HTTP requests.
    Tcp,
    /// Sockets that send datagrams. A lost one is a break: in a lab there should be none.
    Udp,
}

impl HoldOptions {
    /// TCP, for 10 s, a request every 100 ms.
    #[must_use]
    pub fn new(fetch: FetchOptions) -> Self {
        Self {
            fetch,
            protocol: Protocol::Tcp,
            lasting: Duration::from_secs(10),
            every: Duration::from_millis(100),
            opened: None,
            watch: Watch::default(),
        }
    }

    fn count(&self) -> usize {
        self.fetch.concurrency.max(1)
    }
}

/// Opens the connections, uses each of them for `lasting` or until `fetch.interrupt`, and then
/// once more: the report is about how they are at its end. Ends early when all have broken.
pub fn hold(options: &HoldOptions) -> Result<HoldReport> {
    block_on(async {
        options.watch.begin(options.count());
        let opening = (0..options.count()).map(|index| open(options, index));
        let held: Vec<_> = stream::iter(opening).buffered(OPENING).collect().await;
        if let Some(sender) = &options.opened {
            // Nobody has to listen.
            let _ = sender.send(options.watch.report().opened);
        }
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let open = held.into_iter().flatten();
        let mut uses = pin!(join_all(open.map(|held| keep_using(
            options,
            held,
            stopped.clone()
        ))));
        let interrupted = crate::serve::asked_to_stop(&options.fetch.interrupt);
        tokio::select! {
            _ = &mut uses => {}
            _ = timeout(options.lasting, interrupted) => {
                stop.send_replace(true);
                uses.await;
            }
        }
        Ok(options.watch.report())
    })?
}

/// One of those that are held.
struct Held {
    index: usize,
    asked: usize,
    by: Transport,
}

enum Transport {
    Tcp(Connection),
    Udp(Flow),
}

/// One that has answered a first request.
async fn open(options: &HoldOptions, index: usize) -> Option<Held> {
    let (to, from) = (options.fetch.target.address, options.fetch.source(index));
    let transport = async {
        Ok(match options.protocol {
            Protocol::Tcp => Transport::Tcp(Connection::open(to, from).await?),
            Protocol::Udp => Transport::Udp(Flow::open(to, from).await?),
        })
    };
    match within(options.fetch.timeout, "connect", transport).await {
        Ok(by) => {
            let asked = 0;
            let mut held = Held { index, asked, by };
            options.watch.opened(index, held.source());
            held.exchange(options).await.then_some(held)
        }
        Err(reason) => {
            options.watch.broke(index, reason);
            None
        }
    }
}

/// Uses it until it breaks, or until `stopped` and once more.
async fn keep_using(options: &HoldOptions, mut held: Held, mut stopped: Receiver<bool>) {
    let index = u32::try_from(held.index).unwrap_or(u32::MAX);
    let count = u32::try_from(options.count()).unwrap_or(u32::MAX);
    // Not all at the same time.
    let mut pause = options.every * index / count;
    loop {
        let last = timeout(pause, stopped.wait_for(|stop| *stop)).await.is_ok();
        if last {
            sleep(APART * index).await;
        }
        if !held.exchange(options).await || last {
            return;
        }
        pause = options.every;
    }
}

impl Held {
    fn source(&self) -> std::net::SocketAddr {
        match &self.by {
            Transport::Tcp(connection) => connection.source(),
            Transport::Udp(flow) => flow.source(),
        }
    }

    /// A request; false when it is broken now.
    async fn exchange(&mut self, options: &HoldOptions) -> bool {
        let start = Instant::now();
        let number = self.asked;
        self.asked += 1;
        let fetch = &options.fetch;
        let answer = match &mut self.by {
            Transport::Tcp(connection) => {
                let get = connection.get(&fetch.target, false);
                match within(fetch.timeout, "get", get).await {
                    Ok(head) if head.status != 200 => Err(format!("status {}", head.status)),
                    Ok(head) => Ok(head.server.unwrap_or_default()),
                    Err(reason) => Err(reason),
                }
            }
            Transport::Udp(flow) => {
                within(fetch.timeout, "udp", flow.ask(fetch.datagram, number)).await
            }
        };
        match answer {
            Ok(server) => options.watch.answered(self.index, server, start.elapsed()),
            Err(reason) => {
                options.watch.broke(self.index, reason);
                false
            }
        }
    }
}
