//! Tells that something of the kernel's may have changed, for those who then look themselves.

use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use rtnetlink::MulticastGroup;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// It is time to look anyway after this long: notifications may be lost.
const REFRESH: Duration = Duration::from_secs(30);

/// Notifications of a few groups, without what they say.
pub(crate) struct Changes {
    events: BoxStream<'static, ()>,
    refresh: tokio::time::Interval,
    connection: JoinHandle<()>,
}

impl Changes {
    /// Starts watching, in the network namespace of the calling thread.
    pub(crate) fn start(groups: &[MulticastGroup]) -> std::io::Result<Self> {
        let (connection, _, events) = rtnetlink::new_multicast_connection(groups)?;
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            events: events.map(|_| ()).boxed(),
            refresh,
            connection: tokio::spawn(connection),
        })
    }

    /// Waits for a notification, or until it is time to look anyway.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            Some(()) = self.events.next() => {}
            _ = self.refresh.tick() => {}
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
