//! What happens to an instance, told as it happens: the log, `evenkeel events`, `GET /v1/events`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tracing::{info, warn};
use utoipa::ToSchema;

/// Events that are remembered for whoever asks later.
const REMEMBERED: usize = 1_024;

/// How the change of an interface begins that is not there any more.
pub(crate) const IS_GONE: &str = "is gone";
/// How the change of an interface begins that the program cannot be attached to.
pub(crate) const CANNOT_BE_USED: &str = "cannot be used";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Counts from 1 since the process started.
    pub number: u64,
    /// Milliseconds since 1970-01-01 00:00 UTC.
    pub time_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Services are named as `tcp://10.0.0.10:443`, backends as `10.0.0.2:443`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// Packets are balanced from now on, or, if `adopted`, have been all along.
    Started {
        /// Version of the program.
        version: String,
        /// What an earlier process left was gone on with.
        adopted: bool,
    },
    /// The process ends.
    Stopping {
        /// Packets are balanced without it.
        keep: bool,
    },
    /// Another configuration is in force.
    Applied {
        /// In a line.
        summary: String,
        /// Slots that have another owner.
        slots_changed: u64,
        /// How long it took, in milliseconds.
        milliseconds: u64,
    },
    /// A configuration was not applied; what was in force still is.
    Refused {
        /// Why.
        problem: String,
    },
    /// The program was exchanged while packets flowed.
    ProgramExchanged {
        /// For what.
        reason: String,
    },
    /// A backend's health changed.
    Health {
        /// The service.
        service: String,
        /// The backend.
        backend: String,
        /// Its state before.
        from: String,
        /// Its state now.
        to: String,
        /// What the check said.
        reason: String,
    },
    /// A service's backends changed as a whole: panic, sorry backends, nobody left.
    Service {
        /// The service.
        service: String,
        /// How it is served now: `normal`, `panic`, `sorry` or `empty`.
        condition: String,
    },
    /// A backend that takes no new flows has no flow left: it can go.
    Drained {
        /// The service.
        service: String,
        /// The backend.
        backend: String,
    },
    /// A way to a backend was found or lost.
    NextHop {
        /// Address of the backend.
        address: String,
        /// MAC that packets are sent to.
        mac: Option<String>,
        /// What is wrong, if something is.
        problem: Option<String>,
    },
    /// An interface came, went or changed.
    Interface {
        /// Its name.
        interface: String,
        /// What it is now.
        change: String,
    },
    /// Something was changed by hand, beside the file.
    Override {
        /// What.
        change: String,
    },
}

impl What {
    /// Whether somebody should look.
    fn is_bad(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Health { to, .. } => to == "down",
            Self::Service { condition, .. } => condition != "normal",
            Self::NextHop { problem, .. } => problem.is_some(),
            Self::Interface { change, .. } => {
                change.starts_with(IS_GONE) || change.starts_with(CANNOT_BE_USED)
            }
            _ => false,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                version,
                adopted: true,
            } => {
                write!(f, "evenkeel {version} goes on with what was running")
            }
            Self::Started { version, .. } => write!(f, "evenkeel {version} has started"),
            Self::Stopping { keep: true } => f.write_str("ending; packets are balanced on"),
            Self::Stopping { .. } => f.write_str("stopping"),
            Self::Applied {
                summary,
                milliseconds,
                ..
            } => {
                write!(f, "applied: {summary} ({milliseconds} ms)")
            }
            Self::Refused { problem } => write!(f, "the configuration was not applied\n{problem}"),
            Self::ProgramExchanged { reason } => {
                write!(
                    f,
                    "the program was exchanged while packets flowed: {reason}"
                )
            }
            Self::Health {
                service,
                backend,
                from,
                to,
                reason,
            } => {
                write!(
                    f,
                    "backend {backend} of {service} is {to} (was {from}): {reason}"
                )
            }
            Self::Service { service, condition } => match condition.as_str() {
                "normal" => write!(f, "{service} has backends again"),
                "panic" => write!(
                    f,
                    "{service} has too few backends that are up: all are used"
                ),
                "sorry" => write!(
                    f,
                    "{service} has no backend left: its sorry backends are used"
                ),
                _ => write!(f, "{service} has no backend left"),
            },
            Self::Drained { service, backend } => {
                write!(
                    f,
                    "backend {backend} of {service} has no flow left: it can go"
                )
            }
            Self::NextHop {
                address,
                mac: Some(mac),
                ..
            } => {
                write!(f, "{address} is reached at {mac}")
            }
            Self::NextHop {
                address, problem, ..
            } => {
                let problem = problem.as_deref().unwrap_or("no next hop");
                write!(f, "{address} is unreachable: {problem}")
            }
            Self::Interface { interface, change } => write!(f, "interface {interface} {change}"),
            Self::Override { change } => write!(f, "changed by hand: {change}"),
        }
    }
}

/// Where events are told and heard.
#[derive(Clone, Debug)]
pub struct Events {
    shared: Arc<Mutex<Remembered>>,
    live: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Remembered {
    count: u64,
    latest: VecDeque<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            shared: Arc::default(),
            live: broadcast::Sender::new(REMEMBERED),
        }
    }
}

impl Events {
    /// Tells of something: to the log, to those who listen, and to those who ask later.
    pub fn tell(&self, what: What) {
        match what.is_bad() {
            true => warn!("{what}"),
            false => info!("{what}"),
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let time_ms = since_1970.map_or(0, |time| time.as_millis() as u64);
        let mut remembered = self.lock();
        remembered.count += 1;
        let event = Event {
            number: remembered.count,
            time_ms,
            what,
        };
        if remembered.latest.len() == REMEMBERED {
            remembered.latest.pop_front();
        }
        remembered.latest.push_back(event.clone());
        // Under the lock, so that nobody misses or doubles one. Nobody may be listening.
        let _ = self.live.send(event);
    }

    /// The latest events, the oldest first, and those to come.
    #[must_use]
    pub fn listen(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let remembered = self.lock();
        let latest = remembered.latest.iter().cloned().collect();
        (latest, self.live.subscribe())
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.live.receiver_count() > 0
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        // Nothing that holds the lock leaves it half changed.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_listens_hears_each_event_once() {
        let events = Events::default();
        let tell = |backend: usize| {
            events.tell(What::Drained {
                service: "tcp://10.0.0.10:80".into(),
                backend: backend.to_string(),
            });
        };
        (0..REMEMBERED + 5).for_each(tell);
        let (before, mut after) = events.listen();
        assert_eq!(before.len(), REMEMBERED);
        tell(0);
        let last = before.last().map(|event| event.number);
        assert_eq!(last, Some(REMEMBERED as u64 + 5));
        assert_eq!(
            after.recv().await.map(|event| Some(event.number - 1)),
            Ok(last)
        );
    }

    #[test]
    fn an_interface_without_the_program_is_a_warning() {
        let is_bad = |change: &str| {
            let (interface, change) = ("eth0".into(), change.into());
            What::Interface { interface, change }.is_bad()
        };
        assert!(is_bad("is gone"));
        assert!(is_bad("cannot be used: it has an XDP program already"));
        assert!(!is_bad("is no longer evenkeel's"));
        assert!(!is_bad("is there, the program is attached"));
        assert!(!is_bad("has another MTU: 1400, was 1500"));
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event {
            number: 7,
            time_ms: 1,
            what: What::Stopping { keep: true },
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            r#"{"number":7,"time_ms":1,"event":"stopping","keep":true}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
