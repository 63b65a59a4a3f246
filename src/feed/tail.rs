//! The tail of one partition: reads the log's end into the ring, for as long as anybody may want it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::event::{Offset, Storage};
use crate::log::{self, Bounds, Fetched, Purpose};

use super::hub::Hub;
use super::partition::Partition;
use super::stream::Stream;

/// Bytes asked of the log at once; never more than a quarter of the ring.
const FETCH_BYTES: usize = 1024 * 1024;
/// Waits between attempts double from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// One partition's tail.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) hub: Arc<Hub>,
    /// Weak, so that a stream without readers can end.
    pub(super) stream: Weak<Stream>,
    pub(super) partition: Arc<Partition>,
}

/// Why a tail stopped reading.
enum Stop {
    /// The topic is gone, or made anew, or nobody wants it.
    Ended,
    /// The position is no longer in the log.
    Lost,
    Failed(log::Error),
}

impl Tail {
    /// Follows the partition until its stream stops.
    pub(super) async fn run(self) {
        let Some(stop) = self.stream.upgrade().map(|stream| stream.stop.clone()) else { return };
        self.hub.metrics.tails.inc();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow() => {}
        }
        self.hub.metrics.tails.dec();
        self.partition.shrink(0);
    }

    async fn follow(&self) {
        let mut pause = RETRY.0;
        let mut from = None;
        loop {
            let stop = self.read_on(from, &mut pause).await;
            let partition = self.partition.number;
            from = match stop {
                Stop::Ended => {
                    if let Some(stream) = self.stream.upgrade() {
                        stream.end();
                    }
                    return;
                }
                Stop::Lost => {
                    tracing::warn!(%partition, "A tail's place has left the log; it begins anew at the end");
                    None
                }
                Stop::Failed(error) => {
                    tracing::warn!(%partition, %error, "A tail failed and is tried again");
                    self.partition.tail_position()
                }
            };
            self.hub.metrics.tail_failures.inc();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    async fn read_on(&self, from: Option<Offset>, pause: &mut Duration) -> Stop {
        match self.read_until_stopped(from, pause).await {
            Ok(stop) => stop,
            Err(log::Error::UnknownTopic(_) | log::Error::UnknownPartition { .. }) => Stop::Ended,
            Err(log::Error::OffsetOutOfRange { .. }) => Stop::Lost,
            Err(error) => Stop::Failed(error),
        }
    }

    async fn read_until_stopped(
        &self,
        from: Option<Offset>,
        pause: &mut Duration,
    ) -> Result<Stop, log::Error> {
        let Some(topic) = self.stream.upgrade().map(|stream| stream.topic.clone()) else {
            return Ok(Stop::Ended);
        };
        let (log, number) = (&self.hub.log, self.partition.number);
        let at = match from {
            Some(at) => at,
            None => {
                let Bounds { end, .. } = log.bounds(&topic, number).await?;
                end
            }
        };
        let mut reader = log.reader(&topic, number, at, Purpose::Tail).await?;
        if from.is_none() {
            self.partition.open(at);
            self.ring_all();
        }
        let fetch_bytes = FETCH_BYTES.min(self.hub.config.ring_bytes_per_partition / 4).max(1);
        loop {
            let fetched = reader.next(fetch_bytes).await?;
            *pause = RETRY.0;
            let Some(stream) = self.stream.upgrade() else { return Ok(Stop::Ended) };
            if !self.hub.is_current(&stream) {
                return Ok(Stop::Ended);
            }
            self.publish(&stream, fetched);
        }
    }

    fn publish(&self, stream: &Stream, fetched: Fetched) {
        let storage: Storage = self.hub.catalogue.load().rule(&stream.topic).storage;
        if let Some(first) = fetched.records.first() {
            let delay_ms = self.hub.clock.now().millis().saturating_sub(first.timestamp.millis()).max(0);
            self.hub.metrics.tail_delay.observe(Duration::from_millis(delay_ms.unsigned_abs()).as_secs_f64());
        }
        stream.publish(&self.partition, fetched, storage);
        self.partition.shrink(self.hub.config.ring_bytes_per_partition);
        self.hub.shrink();
    }

    fn ring_all(&self) {
        if let Some(stream) = self.stream.upgrade() {
            stream.ring_all();
        }
    }
}
