//! What a subscription asks of others while it waits: topics to be opened, and reads of the log behind the rings.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Topic;
use crate::log;

use super::super::backlog::Outcome;
use super::super::seat::{Place, Seat, Stand};
use super::super::start::{self, Begun};
use super::super::stream::Stream;
use super::super::{Admission, Error};
use super::Subscription;

/// How long a failed read of the log is let alone.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What a subscription waits for besides its bell. Holds nothing others wait for.
pub(super) type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What has been done.
pub(super) enum Done {
    Opened(Topic, Option<(Arc<Stream>, Begun)>),
    Read { partition: u64, outcome: Outcome },
    Failed(log::Error),
}

impl Subscription {
    /// Begins what there is to do besides waiting for the bell: a topic to be opened, or a place that lies behind.
    pub(super) fn start_work(&mut self) -> Option<Work> {
        let hub = Arc::clone(&self.hub);
        if let Some((topic, start)) = self.joining.pop() {
            return Some(Box::pin(async move {
                loop {
                    match hub.open(&topic, |_| start.clone()).await {
                        Ok(opened) => return Done::Opened(topic, opened),
                        Err(error) if error.is_temporary() => tokio::time::sleep(RETRY_PAUSE).await,
                        Err(error) => return Done::Failed(error),
                    }
                }
            }));
        }
        let places = self.seats.iter().flat_map(|seat| seat.places.iter().map(move |place| (seat, place)));
        let behind = places.filter(|(seat, place)| place.stand == Stand::Behind && !seat.stream.is_gone());
        let behind: Vec<_> = behind.collect();
        let (seat, place) = behind.get(self.turn.checked_rem(behind.len())?)?;
        let partition = place.partition.id;
        let mut reading = hub.read_behind(&seat.stream, &place.partition, place.at);
        Some(Box::pin(async move {
            let outcome = reading.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
            let outcome = outcome.unwrap_or(Outcome::Failed(log::Error::Closed));
            if let Outcome::Failed(error) = &outcome
                && error.is_temporary()
            {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Done::Read { partition, outcome }
        }))
    }

    /// Takes over what has been done.
    pub(super) fn apply(&mut self, done: Done) -> Result<(), Error> {
        match done {
            Done::Opened(topic, None) => {
                let of_topic = self.seats.iter_mut().filter(|seat| seat.stream.topic == topic);
                of_topic.for_each(|seat| seat.is_moving = false);
            }
            Done::Opened(topic, Some((stream, begun))) => {
                self.seats.retain(|seat| seat.stream.topic != topic);
                self.sit(stream, begun);
            }
            Done::Read { partition, outcome } => self.apply_read(partition, outcome)?,
            Done::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn apply_read(&mut self, partition: u64, outcome: Outcome) -> Result<(), Error> {
        let is_meant =
            |place: &Place| place.partition.id == partition && !matches!(place.stand, Stand::Live(_));
        let mut found = None;
        for Seat { stream, places, .. } in &mut self.seats {
            found = found
                .or_else(|| places.iter_mut().find(|place| is_meant(place)).map(|place| (stream, place)));
        }
        let Some((stream, place)) = found else { return Ok(()) };
        match outcome {
            Outcome::Read => {}
            Outcome::AtEnd => place.stand = Stand::Waiting,
            Outcome::Outside(bounds) => {
                if let Some((to, reason)) = start::missing(place.at, bounds) {
                    self.gaps.push(start::gap(&stream.topic, place.partition.number, place.at, to, reason));
                    self.hub.metrics.gap(reason);
                    place.at = to;
                }
            }
            Outcome::Failed(error) if error.is_temporary() => {}
            // The stream's tail notices too, and what comes next is decided then.
            Outcome::Failed(log::Error::UnknownTopic(_) | log::Error::UnknownPartition { .. }) => {
                place.stand = Stand::Waiting;
            }
            Outcome::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes a place in each partition of a topic.
    pub(super) fn sit(&mut self, stream: Arc<Stream>, begun: Begun) {
        let admitted = self.admitted(&stream.topic);
        if admitted == Admission::Denied {
            return;
        }
        begun.gaps.iter().for_each(|gap| self.hub.metrics.gap(gap.reason));
        self.gaps.extend(begun.gaps);
        self.seats.push(Seat::new(stream, admitted.rows(), &self.bell, begun.offsets));
    }
}
