//! Clients that ask a service and get every answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use lab::fetch::{Datagram, FetchOptions, Report, Target, download, fetch, udp, upload};
use lab::{Host, Result};

use super::service::Family;
use super::wait::PATIENCE;

/// Makes this many requests from a host, each on a connection of its own, and says how many each
/// server answered.
///
/// # Panics
/// One is not answered.
pub fn requests(client: &Host, service: SocketAddr, count: usize) -> BTreeMap<String, usize> {
    all_answered(client, fetch, &options(service, count))
}

/// The same from ports that nobody had before: neither the kernel's own choice nor an earlier call's.
/// A port that is used again may belong to a flow that is remembered.
///
/// # Panics
/// One is not answered.
pub fn fresh_requests(client: &Host, service: SocketAddr, count: usize) -> BTreeMap<String, usize> {
    all_answered(client, fetch, &fresh(client, service, count))
}

/// The same with datagrams.
///
/// # Panics
/// One is not answered.
pub fn fresh_datagrams(
    client: &Host,
    service: SocketAddr,
    count: usize,
) -> BTreeMap<String, usize> {
    all_answered(client, udp, &fresh(client, service, count))
}

/// [`requests`] with datagrams.
///
/// # Panics
/// One is not answered.
pub fn datagrams(
    client: &Host,
    service: SocketAddr,
    count: usize,
    datagram: Datagram,
) -> BTreeMap<String, usize> {
    let options = FetchOptions {
        datagram,
        ..options(service, count)
    };
    all_answered(client, udp, &options)
}

fn fresh(client: &Host, service: SocketAddr, count: usize) -> FetchOptions {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    let first = NEXT.fetch_add(count as u16, Ordering::Relaxed);
    let address = Family::of(service.ip()).address_of(client);
    let sources = (first..).take(count).map(|port| (address, port).into());
    FetchOptions {
        sources: sources.collect(),
        ..options(service, count)
    }
}

fn options(service: SocketAddr, count: usize) -> FetchOptions {
    FetchOptions {
        requests: count,
        concurrency: 4,
        timeout: Duration::from_secs(10),
        ..FetchOptions::new(Target::root(service))
    }
}

fn all_answered(
    client: &Host,
    ask: fn(&FetchOptions) -> Result<Report>,
    options: &FetchOptions,
) -> BTreeMap<String, usize> {
    let report = client.inside(|| ask(options)).flatten();
    let summary = report.unwrap_or_else(|error| panic!("{error}")).summary;
    let service = options.target.address;
    assert_eq!(summary.answered, options.requests, "{service}: {summary}");
    summary.by_server
}

/// Sends this many bytes to a service and gets as many from it, whole.
///
/// # Panics
/// They are not.
pub fn transfer(client: &Host, service: SocketAddr, bytes: u64) {
    let target = Target::root(service);
    for transfer in [
        client.inside(|| download(&target, bytes, PATIENCE)),
        client.inside(|| upload(&target, bytes, PATIENCE)),
    ] {
        let transfer = transfer.flatten();
        let transfer = transfer.unwrap_or_else(|error| panic!("{error}"));
        assert!(transfer.intact(), "{service}: {transfer:?}");
    }
}
