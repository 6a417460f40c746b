//! What services have had altogether.
//!
//! A service's sum over the backends that are there now would fall when one of them is gone, and
//! Prometheus takes a counter that falls for one that began anew: it would count the rest twice.
//! So would it when a process goes on with the backends' counters, but not with what others had that
//! are gone. A process therefore begins at 0.

use std::collections::HashMap;

use crate::status::{BackendStatus, ServiceStatus, Status};

/// Packets, bytes and flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) reply_packets: u64,
    pub(super) reply_bytes: u64,
    pub(super) new_flows: u64,
}

impl Traffic {
    pub(super) fn of(backend: &BackendStatus) -> Self {
        Self {
            packets: backend.packets,
            bytes: backend.bytes,
            reply_packets: backend.reply_packets,
            reply_bytes: backend.reply_bytes,
            new_flows: backend.new_flows,
        }
    }

    fn is_below(self, other: Self) -> bool {
        self.packets < other.packets
            || self.bytes < other.bytes
            || self.reply_packets < other.reply_packets
            || self.reply_bytes < other.reply_bytes
            || self.new_flows < other.new_flows
    }

    /// What came since `earlier`; all of it if the counters began anew meanwhile, as those of a
    /// backend do that comes back from the dead.
    fn since(self, earlier: Self) -> Self {
        if self.is_below(earlier) {
            return self;
        }
        Self {
            packets: self.packets - earlier.packets,
            bytes: self.bytes - earlier.bytes,
            reply_packets: self.reply_packets - earlier.reply_packets,
            reply_bytes: self.reply_bytes - earlier.reply_bytes,
            new_flows: self.new_flows - earlier.new_flows,
        }
    }

    fn add(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.reply_packets += more.reply_packets;
        self.reply_bytes += more.reply_bytes;
        self.new_flows += more.new_flows;
    }
}

/// A service's sum, and what each of its backends had when it was last looked at.
#[derive(Debug, Default)]
struct Account {
    sum: Traffic,
    backends: HashMap<String, Traffic>,
}

/// The sums of all services.
#[derive(Debug, Default)]
pub(super) struct Totals {
    services: HashMap<String, Account>,
}

impl Totals {
    /// Leaves out what came so far: that was for an earlier process to count.
    pub(super) fn begin(&mut self, status: &Status) {
        self.add(status);
        for account in self.services.values_mut() {
            account.sum = Traffic::default();
        }
    }

    /// Adds what came since the last time, and returns the sums in the order of the services.
    pub(super) fn add(&mut self, status: &Status) -> Vec<Traffic> {
        let mut before = std::mem::take(&mut self.services);
        let mut sums = Vec::with_capacity(status.services.len());
        for service in &status.services {
            let mut account = before.remove(&service.service).unwrap_or_default();
            account.add(service);
            sums.push(account.sum);
            self.services.insert(service.service.clone(), account);
        }
        sums
    }
}

impl Account {
    fn add(&mut self, service: &ServiceStatus) {
        let mut before = std::mem::take(&mut self.backends);
        for backend in &service.backends {
            let (address, earlier) = before
                .remove_entry(&backend.address)
                .unwrap_or_else(|| (backend.address.clone(), Traffic::default()));
            let now = Traffic::of(backend);
            self.sum.add(now.since(earlier));
            self.backends.insert(address, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(backends: &[(&str, u64)]) -> Status {
        let backends = backends.iter().map(|(address, packets)| BackendStatus {
            address: (*address).into(),
            packets: *packets,
            ..BackendStatus::default()
        });
        Status {
            services: vec![ServiceStatus {
                service: "tcp://10.0.0.10:80".into(),
                backends: backends.collect(),
                ..ServiceStatus::default()
            }],
            ..Status::default()
        }
    }

    #[test]
    fn a_services_sum_never_falls_whatever_becomes_of_its_backends() {
        let mut totals = Totals::default();
        let mut sum = |backends: &[(&str, u64)]| totals.add(&status(backends))[0].packets;
        assert_eq!(sum(&[("a", 10), ("b", 5)]), 15);
        assert_eq!(sum(&[("a", 11), ("b", 5)]), 16);
        // One leaves, another comes, and the first comes back with counters of its own.
        assert_eq!(sum(&[("b", 7)]), 18);
        assert_eq!(sum(&[("b", 7), ("c", 2)]), 20);
        assert_eq!(sum(&[("a", 3), ("b", 7), ("c", 2)]), 23);
        // One that was dead is back before anybody looked.
        assert_eq!(sum(&[("a", 1), ("b", 7), ("c", 2)]), 24);
        assert_eq!(sum(&[]), 24);
    }

    #[test]
    fn a_process_counts_what_came_since_it_began() {
        let mut totals = Totals::default();
        totals.begin(&status(&[("a", 10), ("b", 5)]));
        let mut sum = |backends: &[(&str, u64)]| totals.add(&status(backends))[0].packets;
        assert_eq!(sum(&[("a", 10), ("b", 5)]), 0);
        assert_eq!(sum(&[("a", 11), ("b", 5), ("c", 2)]), 3);
        assert_eq!(sum(&[("a", 11), ("b", 1), ("c", 2)]), 4);
        assert_eq!(sum(&[("c", 3)]), 5);
    }

    #[test]
    fn a_service_that_was_removed_begins_anew() {
        let mut totals = Totals::default();
        totals.add(&status(&[("a", 10)]));
        assert_eq!(totals.add(&Status::default()), []);
        assert_eq!(totals.add(&status(&[("a", 1)]))[0].packets, 1);
    }
}
