//! The service: what runs behind the handles.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::event::{Clock, LiveCatalogue};
use crate::log::EventLog;
use crate::telemetry::Registry;

use super::Feed;

/// The feed's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bytes one partition's ring may hold.
    pub ring_bytes_per_partition: usize,
    /// Bytes all rings together may hold.
    pub ring_bytes_total: usize,
    /// How many readers may read behind the rings at once.
    pub catch_up_readers_max: usize,
}

/// Runs the tails and the timers of the feed.
#[derive(Debug)]
pub struct Service(());

impl Service {
    /// A service and its handle; nothing is read before [`Service::run`].
    #[must_use]
    pub fn new(
        _config: Config,
        _log: Arc<dyn EventLog>,
        _catalogue: LiveCatalogue,
        _clock: Clock,
        _registry: &Registry,
    ) -> (Self, Feed) {
        unimplemented!()
    }

    /// Runs until `shutdown`; subscriptions then end with [`super::Error::Closed`].
    pub async fn run(self, shutdown: CancellationToken) {
        shutdown.cancelled().await;
    }
}
