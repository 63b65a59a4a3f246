//! An append in flight: many records, one answer.
//!
//! Kafka reports every record by itself. The last report answers the append: stored when all are, refused when surely
//! none is, unknown in between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::event::{Offset, Partition, Timestamp, Topic};
use crate::log::{Appended, Error};

use super::locked;
use super::metrics::Metrics;

/// Bytes that may be in flight at once.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
    pub(super) metrics: Arc<Metrics>,
}

impl Budget {
    pub(super) const fn new(bytes_max: usize, metrics: Arc<Metrics>) -> Self {
        Self { used: AtomicUsize::new(0), bytes_max, metrics }
    }

    /// Takes so many bytes, unless that is too much. A single append above the bound still passes when it is alone.
    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| (used == 0 || used + bytes <= self.bytes_max).then_some(used + bytes);
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits);
        match taken {
            Ok(_) => self.metrics.queue_bytes.add(gauge(bytes)),
            Err(_) => self.metrics.overloads.inc(),
        }
        taken.is_ok()
    }

    /// Takes so many bytes until the share is dropped, unless that is too much.
    pub(super) fn share(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        self.take(bytes).then(|| Share { budget: Arc::clone(self), bytes })
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.metrics.queue_bytes.sub(gauge(bytes));
    }
}

/// Bytes taken of a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

fn gauge(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Records of one append.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) topic: Topic,
    pub(super) partition: Partition,
    pub(super) record_bytes_max: usize,
    budget: Arc<Budget>,
    bytes: usize,
    records: usize,
    time: Timestamp,
    /// Guards what is known of the records so far.
    flight: Mutex<Flight>,
}

#[derive(Debug)]
struct Flight {
    left: usize,
    /// Where records were stored, in the order of the reports, which is theirs.
    stored: Vec<i64>,
    time: Option<Timestamp>,
    failure: Option<Error>,
    answer: Option<oneshot::Sender<Result<Appended, Error>>>,
}

impl Batch {
    /// A batch of so many records and bytes, as of `time`; gives the answer back where the budget is used up.
    pub(super) fn begin(
        (topic, partition): (Topic, Partition),
        (records, bytes): (usize, usize),
        record_bytes_max: usize,
        time: Timestamp,
        budget: &Arc<Budget>,
        answer: oneshot::Sender<Result<Appended, Error>>,
    ) -> Result<Arc<Self>, oneshot::Sender<Result<Appended, Error>>> {
        if !budget.take(bytes) {
            return Err(answer);
        }
        let flight =
            Flight { left: records, stored: Vec::new(), time: None, failure: None, answer: Some(answer) };
        Ok(Arc::new(Self {
            topic,
            partition,
            record_bytes_max,
            budget: Arc::clone(budget),
            bytes,
            records,
            time,
            flight: Mutex::new(flight),
        }))
    }

    /// A record was stored. `time` is the broker's where it sets one.
    pub(super) fn stored(&self, offset: i64, time: Option<Timestamp>) {
        let mut flight = locked(&self.flight);
        flight.stored.push(offset);
        flight.time = flight.time.or(time);
        self.reported(&mut flight, 1);
    }

    /// So many records failed.
    pub(super) fn failed(&self, error: Error, records: usize) {
        let mut flight = locked(&self.flight);
        if !matches!(flight.failure, Some(Error::OutcomeUnknown)) {
            flight.failure = Some(error);
        }
        self.reported(&mut flight, records);
    }

    fn reported(&self, flight: &mut Flight, records: usize) {
        flight.left = flight.left.saturating_sub(records);
        if flight.left > 0 {
            return;
        }
        let Some(answer) = flight.answer.take() else { return };
        self.budget.give_back(self.bytes);
        drop(answer.send(self.outcome(flight)));
    }

    fn outcome(&self, flight: &mut Flight) -> Result<Appended, Error> {
        if let Some(failure) = flight.failure.take() {
            return Err(if flight.stored.is_empty() { failure } else { Error::OutcomeUnknown });
        }
        let appended = appended(&flight.stored, flight.time.unwrap_or(self.time));
        let appended = appended.ok_or(Error::OutcomeUnknown)?;
        self.budget.metrics.records.inc_by(self.records as u64);
        self.budget.metrics.bytes.inc_by(self.bytes as u64);
        Ok(appended)
    }
}

/// Where records went that the broker reported at these offsets; `None` where one came back without its place, as may a
/// repeated send that the broker had stored already.
pub(super) fn appended(offsets: &[i64], timestamp: Timestamp) -> Option<Appended> {
    let place = |offset: &i64| u64::try_from(*offset).map(Offset::new).ok();
    let offsets = offsets.iter().map(place).collect::<Option<Vec<Offset>>>()?;
    let base = offsets.first().copied()?;
    let is_consecutive = (0..).zip(&offsets).all(|(index, offset)| *offset == base.plus(index));
    let scattered = (!is_consecutive).then(|| offsets.into());
    Some(Appended { base, timestamp, scattered })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Appended, Batch, Budget, Error, Offset, Partition, Timestamp, Topic};
    use crate::log_kafka::metrics::Metrics;
    use crate::telemetry::Registry;
    use tokio::sync::oneshot;

    type Answer = oneshot::Receiver<Result<Appended, Error>>;

    fn budget(bytes_max: usize) -> Arc<Budget> {
        Arc::new(Budget::new(bytes_max, Arc::new(Metrics::register(&Registry::new()))))
    }

    fn batch(records: usize, budget: &Arc<Budget>) -> Option<(Arc<Batch>, Answer)> {
        let (answer, answered) = oneshot::channel();
        let place = (Topic::parse("t").unwrap(), Partition::new(0));
        let time = Timestamp::from_millis(5);
        let batch = Batch::begin(place, (records, 10 * records), 100, time, budget, answer).ok()?;
        Some((batch, answered))
    }

    #[test]
    fn the_last_report_answers() {
        let (batch, mut answer) = batch(2, &budget(100)).unwrap();
        batch.stored(7, None);
        assert!(answer.try_recv().is_err());
        batch.stored(8, None);
        let appended = answer.try_recv().unwrap().unwrap();
        assert_eq!(appended, Appended::from(Offset::new(7), Timestamp::from_millis(5)));
    }

    #[test]
    fn records_between_which_others_wrote_keep_their_own_offsets() {
        let (batch, mut answer) = batch(3, &budget(100)).unwrap();
        for offset in [7, 8, 11] {
            batch.stored(offset, None);
        }
        let appended = answer.try_recv().unwrap().unwrap();
        assert_eq!((0..3).map(|index| appended.offset(index).number()).collect::<Vec<_>>(), [7, 8, 11]);
    }

    #[test]
    fn a_part_stored_is_an_unknown_outcome() {
        let (batch, mut answer) = batch(2, &budget(100)).unwrap();
        batch.stored(7, None);
        batch.failed(Error::Overloaded, 1);
        assert!(matches!(answer.try_recv().unwrap(), Err(Error::OutcomeUnknown)));
    }

    #[test]
    fn nothing_stored_is_refused_unless_one_outcome_is_unknown() {
        let (refused, mut answer) = batch(2, &budget(100)).unwrap();
        refused.failed(Error::Overloaded, 2);
        assert!(matches!(answer.try_recv().unwrap(), Err(Error::Overloaded)));
        let (unknown, mut answer) = batch(3, &budget(100)).unwrap();
        unknown.failed(Error::OutcomeUnknown, 1);
        unknown.failed(Error::Overloaded, 2);
        assert!(matches!(answer.try_recv().unwrap(), Err(Error::OutcomeUnknown)));
    }

    #[test]
    fn a_stored_record_without_a_place_is_an_unknown_outcome() {
        let (batch, mut answer) = batch(1, &budget(100)).unwrap();
        batch.stored(-1_001, None);
        assert!(matches!(answer.try_recv().unwrap(), Err(Error::OutcomeUnknown)));
    }

    #[test]
    fn bytes_in_flight_are_bounded_and_given_back() {
        let budget = budget(25);
        let (first, _answer) = batch(1, &budget).unwrap();
        let (second, _answer) = batch(1, &budget).unwrap();
        assert!(batch(1, &budget).is_none());
        first.stored(0, None);
        assert!(batch(1, &budget).is_some());
        second.failed(Error::Closed, 1);
        assert!(batch(9, &budget).is_none(), "a large one waits for its turn");
    }

    #[test]
    fn one_append_above_the_bound_passes_alone() {
        assert!(batch(9, &budget(25)).is_some());
    }
}
