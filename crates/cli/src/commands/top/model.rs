//! One status after the other becomes rates. Pure: who calls says when a status was taken.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use abi::reason::{Action, Reason};
use control::status::{BackendStatus, ServiceStatus, Status};

/// Rates that are remembered of each service, for its sparkline.
pub(super) const HISTORY: usize = 120;

/// What happens in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Traffic {
    pub(super) packets: f64,
    pub(super) bytes: f64,
    pub(super) reply_packets: f64,
    pub(super) reply_bytes: f64,
    pub(super) new_flows: f64,
}

impl Traffic {
    fn between(earlier: Option<&BackendStatus>, now: &BackendStatus, seconds: f64) -> Self {
        let nothing = BackendStatus::default();
        // One that was not there before began with nothing.
        let earlier = earlier.unwrap_or(&nothing);
        let rate = |number: fn(&BackendStatus) -> u64| rate(number(earlier), number(now), seconds);
        Self {
            packets: rate(|backend| backend.packets),
            bytes: rate(|backend| backend.bytes),
            reply_packets: rate(|backend| backend.reply_packets),
            reply_bytes: rate(|backend| backend.reply_bytes),
            new_flows: rate(|backend| backend.new_flows),
        }
    }

    fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.reply_packets += other.reply_packets;
        self.reply_bytes += other.reply_bytes;
        self.new_flows += other.new_flows;
    }

    /// Packets, both ways.
    pub(super) fn both_ways(self) -> f64 {
        self.packets + self.reply_packets
    }

    /// Bits of IP packets, both ways.
    pub(super) fn bits(self) -> f64 {
        (self.bytes + self.reply_bytes) * 8.0
    }
}

/// A counter that has fallen began anew.
fn rate(earlier: u64, now: u64, seconds: f64) -> f64 {
    now.checked_sub(earlier).unwrap_or(now) as f64 / seconds
}

/// A service's rates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServiceRates {
    pub(super) all: Traffic,
    /// In the order of the status' backends.
    pub(super) backends: Vec<Traffic>,
}

/// What happens in a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Packets that come in, whatever becomes of them.
    pub(super) packets: f64,
    pub(super) drops: f64,
    /// Over all services.
    pub(super) all: Traffic,
    /// In the order of the status' services.
    pub(super) services: Vec<ServiceRates>,
    pub(super) reasons: HashMap<String, f64>,
}

/// The last status, and how it differs from the one before.
#[derive(Debug, Default)]
pub(super) struct Model {
    latest: Option<(Duration, Status)>,
    /// `None` until there are two.
    rates: Option<Rates>,
    /// Packets in a second of each service, both ways, the latest last.
    histories: HashMap<String, VecDeque<f64>>,
}

impl Model {
    /// Takes a status over; `at` is the time since any one moment.
    pub(super) fn take(&mut self, at: Duration, status: Status) {
        if let Some((before, earlier)) = &self.latest {
            let seconds = at.saturating_sub(*before).as_secs_f64();
            // Two of one moment have no rate.
            if seconds > 0.0 {
                let rates = rates(earlier, &status, seconds);
                self.remember(&status, &rates);
                self.rates = Some(rates);
            }
        }
        self.latest = Some((at, status));
    }

    fn remember(&mut self, status: &Status, rates: &Rates) {
        let mut before = std::mem::take(&mut self.histories);
        for (service, rates) in status.services.iter().zip(&rates.services) {
            let mut history = before.remove(&service.service).unwrap_or_default();
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(rates.all.both_ways());
            self.histories.insert(service.service.clone(), history);
        }
    }

    /// The last status, if there was one.
    pub(super) fn status(&self) -> Option<&Status> {
        self.latest.as_ref().map(|(_, status)| status)
    }

    /// What happens in a second, if there were two.
    pub(super) fn rates(&self) -> Option<&Rates> {
        self.rates.as_ref()
    }

    /// Rates of the service at this index of the status.
    pub(super) fn service(&self, index: usize) -> Option<&ServiceRates> {
        self.rates()?.services.get(index)
    }

    /// Packets in a second of a service, both ways, the latest last.
    pub(super) fn history(&self, service: &str) -> impl DoubleEndedIterator<Item = f64> {
        self.histories.get(service).into_iter().flatten().copied()
    }
}

fn rates(earlier: &Status, now: &Status, seconds: f64) -> Rates {
    let by_name: HashMap<&str, &ServiceStatus> = earlier
        .services
        .iter()
        .map(|service| (&*service.service, service))
        .collect();
    let services: Vec<ServiceRates> = now
        .services
        .iter()
        .map(|service| service_rates(by_name.get(&*service.service).copied(), service, seconds))
        .collect();
    let mut all = Traffic::default();
    for service in &services {
        all.add(service.all);
    }
    let reasons: HashMap<String, f64> = now
        .reasons
        .iter()
        .map(|(reason, count)| {
            let before = earlier.reasons.get(reason).copied().unwrap_or_default();
            (reason.clone(), rate(before, *count, seconds))
        })
        .collect();
    let drops = reasons.iter().filter(|(reason, _)| is_drop(reason));
    Rates {
        packets: reasons.values().sum(),
        drops: drops.map(|(_, rate)| rate).sum(),
        all,
        services,
        reasons,
    }
}

fn service_rates(
    earlier: Option<&ServiceStatus>,
    now: &ServiceStatus,
    seconds: f64,
) -> ServiceRates {
    let earlier = earlier.into_iter().flat_map(|service| &service.backends);
    let by_address: HashMap<&str, &BackendStatus> = earlier
        .map(|backend| (&*backend.address, backend))
        .collect();
    let mut rates = ServiceRates::default();
    for backend in &now.backends {
        let before = by_address.get(&*backend.address).copied();
        let traffic = Traffic::between(before, backend, seconds);
        rates.all.add(traffic);
        rates.backends.push(traffic);
    }
    rates
}

/// What is done with packets of a reason; `None` if this program does not know it.
pub(super) fn action(reason: &str) -> Option<Action> {
    Reason::named(reason).map(Reason::action)
}

/// Whether packets of a reason are dropped.
pub(super) fn is_drop(reason: &str) -> bool {
    action(reason) == Some(Action::Drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uptime_seconds: u64, packets: u64, drops: u64) -> Status {
        let backend = BackendStatus {
            address: "10.0.0.2:80".into(),
            packets,
            bytes: packets * 100,
            reply_bytes: packets * 25,
            new_flows: packets / 10,
            ..BackendStatus::default()
        };
        let service = ServiceStatus {
            service: "tcp://10.0.0.10:80".into(),
            backends: vec![backend],
            ..ServiceStatus::default()
        };
        Status {
            uptime_seconds,
            services: vec![service],
            reasons: [("forwarded".into(), packets), ("no_backend".into(), drops)].into(),
            ..Status::default()
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rates_are_differences_over_the_time_between_two_statuses() {
        let mut model = Model::default();
        model.take(SECOND, status(10, 1_000, 5));
        assert_eq!(model.rates(), None);
        model.take(3 * SECOND, status(12, 3_000, 9));
        let rates = model.rates().unwrap();
        assert_eq!((rates.packets, rates.drops), (1_002.0, 2.0));
        assert_eq!(rates.all.new_flows, 100.0);
        assert_eq!(rates.all.bits(), 1_000_000.0);
        assert_eq!(model.service(0).unwrap().backends, [rates.all]);
        assert_eq!(rates.reasons["no_backend"], 2.0);
    }

    #[test]
    fn counters_that_fell_began_anew() {
        let mut model = Model::default();
        model.take(SECOND, status(10, 1_000, 0));
        model.take(2 * SECOND, status(11, 30, 0));
        assert_eq!(model.rates().unwrap().all.packets, 30.0);
        // So they did if the whole instance did.
        model.take(3 * SECOND, status(1, 20, 0));
        let rates = model.rates().unwrap();
        assert_eq!((rates.all.packets, rates.packets), (20.0, 20.0));
    }

    #[test]
    fn counters_that_outlive_their_process_go_on() {
        let mut model = Model::default();
        model.take(SECOND, status(10, 1_000, 5));
        model.take(2 * SECOND, status(0, 1_070, 6));
        let rates = model.rates().unwrap();
        assert_eq!((rates.all.packets, rates.drops), (70.0, 1.0));
        assert_eq!(rates.packets, 71.0);
    }

    #[test]
    fn a_service_that_comes_or_goes_has_a_history_of_its_own() {
        let mut model = Model::default();
        let history = |model: &Model| -> Vec<f64> { model.history("tcp://10.0.0.10:80").collect() };
        for second in 0..4 {
            model.take(second * SECOND, status(10, u64::from(second) * 10, 0));
        }
        assert_eq!(history(&model), [10.0, 10.0, 10.0]);
        model.take(
            4 * SECOND,
            Status {
                uptime_seconds: 10,
                ..Status::default()
            },
        );
        assert_eq!(history(&model), [0.0; 0]);
        model.take(5 * SECOND, status(10, 5, 0));
        assert_eq!(history(&model), [5.0]);
        for second in 6..1_000 {
            model.take(second * SECOND, status(10, 5, 0));
        }
        assert_eq!(history(&model).len(), HISTORY);
    }

    #[test]
    fn two_statuses_of_one_moment_change_no_rate() {
        let mut model = Model::default();
        model.take(SECOND, status(10, 0, 0));
        model.take(2 * SECOND, status(11, 10, 0));
        model.take(2 * SECOND, status(11, 10, 0));
        assert_eq!(model.rates().unwrap().all.packets, 10.0);
    }
}
