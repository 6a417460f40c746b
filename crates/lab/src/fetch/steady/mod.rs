//! A steady number of requests a second, each on a connection of its own, while something else
//! happens.

mod tally;

use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time;

use super::connection::Connection;
use super::{Target, block_on, within};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::interrupt::Interrupt;
use crate::namespace::POLL;

pub use tally::Counts;
use tally::Tally;

/// What to send.
#[derive(Debug, Clone)]
pub struct SteadyOptions {
    /// Where requests go.
    pub target: Target,
    /// Requests that begin in a second, whether earlier ones have been answered or not.
    pub per_second: u32,
    /// How long one try may take, connecting included.
    pub timeout: Duration,
    /// A try that fails sooner than this after the request began is repeated, on a new
    /// connection; one that fails later is the request's end.
    pub patience: Duration,
    /// Time between a try that failed and the next one.
    pub pause: Duration,
}

impl SteadyOptions {
    /// 200 a second, 2 s for each, tried again every 50 ms.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            per_second: 200,
            timeout: Duration::from_secs(2),
            patience: Duration::from_secs(2),
            pause: Duration::from_millis(50),
        }
    }
}

/// Requests of a host, sent by a thread of their own until this is finished or dropped.
#[derive(Debug)]
pub struct Steady {
    tally: Tally,
    limit: Duration,
    interrupt: Interrupt,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Steady {
    /// Begins to send.
    pub fn start(host: &Host, options: SteadyOptions) -> Result<Self> {
        let (tally, interrupt) = (Tally::default(), Interrupt::never());
        let (theirs, flag) = (tally.clone(), interrupt.clone());
        let limit = options.patience + options.timeout;
        let thread = host.thread(move || send(&options, &theirs, &flag))?;
        Ok(Self {
            tally,
            limit,
            interrupt,
            thread: Some(thread),
        })
    }

    /// Begins a new count, waits for the end of requests that belong to the last one, and
    /// returns that.
    #[must_use]
    pub fn turn(&self) -> Counts {
        let last = self.tally.turn();
        let deadline = Instant::now() + self.limit;
        while self.tally.is_open(last) && Instant::now() < deadline {
            sleep(POLL);
        }
        self.tally.counts(last)
    }

    /// Ends it; the counts of all there was.
    pub fn finish(mut self) -> Result<Counts> {
        self.end()?;
        Ok(self.tally.all())
    }

    fn end(&mut self) -> Result<()> {
        self.interrupt.set();
        let panicked = |_| Error::Tool("the thread that sends requests panicked".to_owned());
        match self.thread.take() {
            Some(thread) => thread.join().map_err(panicked)??,
            None => Ok(()),
        }
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.end();
    }
}

fn send(options: &SteadyOptions, tally: &Tally, interrupt: &Interrupt) -> Result<()> {
    block_on(async {
        let mut ticks = time::interval(Duration::from_secs(1) / options.per_second.max(1));
        let mut requests = JoinSet::new();
        while !interrupt.is_set() {
            ticks.tick().await;
            let count = tally.begin();
            let (options, tally) = (options.clone(), tally.clone());
            requests.spawn(async move { request(&options, &tally, count).await });
            while requests.try_join_next().is_some() {}
        }
        while requests.join_next().await.is_some() {}
    })
}

/// Tries until it is answered or patience is over.
async fn request(options: &SteadyOptions, tally: &Tally, count: usize) {
    let begun = Instant::now();
    loop {
        match attempt(options).await {
            Ok(server) => return tally.answered(count, server, begun.elapsed()),
            Err(reason) if begun.elapsed() < options.patience => tally.again(count, reason),
            Err(reason) => return tally.failed(count, reason),
        }
        time::sleep(options.pause).await;
    }
}

/// One connection and one request on it; who has answered.
async fn attempt(options: &SteadyOptions) -> std::result::Result<String, String> {
    let begun = Instant::now();
    let open = Connection::open(options.target.address, None);
    let mut connection = within(options.timeout, "connect", open).await?;
    let rest = options.timeout.saturating_sub(begun.elapsed());
    let head = within(rest, "get", connection.get(&options.target, true)).await?;
    match head.status {
        200 => Ok(head.server.unwrap_or_default()),
        status => Err(format!("status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::*;
    use crate::serve::{ServeOptions, serve};

    /// A port of the loopback where nobody listens.
    fn free() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    fn options(at: SocketAddr, patience: Duration) -> SteadyOptions {
        SteadyOptions {
            patience,
            pause: Duration::from_millis(5),
            ..SteadyOptions::new(Target::root(at))
        }
    }

    fn until(tally: &Tally, is_so: impl Fn(&Counts) -> bool) -> Counts {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let counts = tally.all();
            if is_so(&counts) {
                return counts;
            }
            assert!(Instant::now() < deadline, "{counts:?}");
            sleep(POLL);
        }
    }

    #[test]
    fn requests_to_a_server_that_is_dead_for_a_while_are_answered_late() {
        let (tally, interrupt) = (Tally::default(), Interrupt::never());
        let at = free();
        let options = options(at, Duration::from_secs(20));
        let end = Interrupt::never();
        let served = ServeOptions {
            name: "late".to_owned(),
            listen: vec![at],
        };
        thread::scope(|scope| {
            let sending = scope.spawn(|| send(&options, &tally, &interrupt));
            until(&tally, |counts| counts.tries_repeated() > 3);
            let serving = scope.spawn(|| serve(&served, &end, &mut Vec::new()));
            until(&tally, |counts| counts.answered > 20);
            interrupt.set();
            sending.join().unwrap().unwrap();
            end.set();
            serving.join().unwrap().unwrap();
        });
        let all = tally.all();
        assert_eq!((all.failed(), all.of("late")), (0, all.sent), "{all:?}");
    }

    #[test]
    fn requests_fail_when_patience_is_over() {
        let (tally, interrupt) = (Tally::default(), Interrupt::never());
        let options = options(free(), Duration::from_millis(50));
        thread::scope(|scope| {
            let sending = scope.spawn(|| send(&options, &tally, &interrupt));
            until(&tally, |counts| counts.failures.values().sum::<usize>() > 3);
            interrupt.set();
            sending.join().unwrap().unwrap();
        });
        let all = tally.all();
        let reasons: Vec<_> = all.failures.keys().map(String::as_str).collect();
        assert_eq!(reasons, ["connect: Connection refused"]);
        assert!(all.answered == 0 && all.tries_repeated() > 0, "{all:?}");
    }
}
