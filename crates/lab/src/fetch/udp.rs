//! Datagrams: one request, one answer.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use tokio::net::UdpSocket;

use super::{FetchOptions, Outcome, Report, block_on, within};
use crate::error::Result;

/// Sends `requests` datagrams to the target's address and waits for each answer. With
/// `keep_alive` each of the `concurrency` workers uses one socket, otherwise every request
/// has its own.
pub fn udp(options: &FetchOptions) -> Result<Report> {
    block_on(async {
        let start = Instant::now();
        let next = AtomicUsize::new(0);
        let workers = (0..options.concurrency.max(1)).map(|_| worker(options, &next));
        let outcomes = join_all(workers).await.concat();
        Report::of(outcomes, start.elapsed())
    })
}

async fn worker(options: &FetchOptions, next: &AtomicUsize) -> Vec<Outcome> {
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
        let exchange = exchange(options, &mut kept, &mut outcome);
        if let Err(failure) = within(options.timeout, "udp", exchange).await {
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
    kept: &mut Option<UdpSocket>,
    outcome: &mut Outcome,
) -> std::io::Result<()> {
    let socket = match kept.take() {
        Some(socket) => socket,
        None => open(options, outcome.index).await?,
    };
    outcome.source = Some(socket.local_addr()?);
    let question = format!("request {}", outcome.index);
    socket.send(question.as_bytes()).await?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).await?;
    let answer = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
    let name = answer
        .strip_suffix(&question)
        .and_then(|rest| rest.strip_suffix(' '));
    let Some(name) = name else {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "an answer to something else",
        ));
    };
    outcome.server = Some(name.to_owned());
    if options.keep_alive {
        *kept = Some(socket);
    }
    Ok(())
}

async fn open(options: &FetchOptions, index: usize) -> std::io::Result<UdpSocket> {
    let to = options.target.address;
    let any = match to.ip() {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(options.source(index).unwrap_or(any)).await?;
    socket.connect(to).await?;
    Ok(socket)
}
