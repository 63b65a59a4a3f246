//! The service: what runs behind the handles.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::event::{Clock, LiveCatalogue};
use crate::log::EventLog;
use crate::telemetry::Registry;

use super::Feed;
use super::hub::Hub;
use super::metrics::Metrics;

/// The feed's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bytes one partition's ring may hold, frames included.
    pub ring_bytes_per_partition: usize,
    /// Bytes all rings together may hold.
    pub ring_bytes_total: usize,
    /// How many readers may read behind the rings at once.
    pub catch_up_readers_max: usize,
}

/// Runs the tails and the timers of the feed.
#[derive(Debug)]
pub struct Service(Arc<Hub>);

impl Service {
    /// A service and its handle; nothing is read, and subscribing waits, before [`Service::run`].
    #[must_use]
    pub fn new(
        config: Config,
        log: Arc<dyn EventLog>,
        catalogue: LiveCatalogue,
        clock: Clock,
        registry: &Registry,
    ) -> (Self, Feed) {
        let hub = Arc::new(Hub::new(config, log, catalogue, clock, Metrics::register(registry)));
        (Self(Arc::clone(&hub)), Feed(hub))
    }

    /// Runs until `shutdown`; subscriptions then end with [`super::Error::Closed`].
    pub async fn run(self, shutdown: CancellationToken) {
        let Self(hub) = self;
        let mut changes = hub.log.topic_changes();
        hub.start(Handle::current());
        let mut turns = interval(Duration::from_secs(1));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn: usize = 0;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                changed = changes.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    hub.topics_changed();
                }
                _ = turns.tick() => {
                    turn = turn.wrapping_add(1);
                    hub.ask_reports(turn);
                    hub.tidy();
                }
            }
        }
        hub.close().await;
    }
}
