//! Connections that are held while something happens.

use std::time::Duration;

use lab::Host;
use lab::fetch::{FetchOptions, HoldOptions, HoldReport, Holding, Target};

use super::wait::{PATIENCE, eventually};

/// Longer than any test goes on.
const LASTING: Duration = Duration::from_secs(600);

/// Opens this many connections from a host, each of which asks every half second.
///
/// # Panics
/// One does not open.
#[must_use]
pub fn hold(client: &Host, target: Target, connections: usize) -> Holding {
    let options = HoldOptions {
        lasting: LASTING,
        every: Duration::from_millis(500),
        ..HoldOptions::new(FetchOptions {
            concurrency: connections,
            timeout: Duration::from_secs(10),
            ..FetchOptions::new(target)
        })
    };
    let holding = Holding::start(client, options).unwrap_or_else(|error| panic!("{error}"));
    let report = holding.report();
    assert_eq!(report.opened, connections, "{report}");
    holding
}

/// Waits until each connection has been used twice; `when` says where the test is. Each of them is
/// used once more when the holding is finished.
///
/// # Panics
/// A connection is broken, or it takes too long.
pub fn assert_used(holding: &Holding, when: &str) {
    let report = used(holding, when);
    assert!(report.broken.is_empty(), "{when}: {report}");
}

/// The same, also if connections break: what has become of them then.
///
/// # Panics
/// It takes too long.
pub fn used(holding: &Holding, when: &str) -> HoldReport {
    let before = holding.report();
    eventually(&format!("{when}: two rounds of requests"), PATIENCE, || {
        let report = holding.report();
        let over = report.broken.len() == report.connections;
        (over || report.answered_each >= before.answered_each + 2).then_some(report)
    })
}
