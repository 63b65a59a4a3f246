//! One partition of a replay: how far it is read, and whether it is to be read again, now, later or never. Pure.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Offset, Partition, Record, Topic};
use crate::log::{self, Fetched, Reader};

/// After the log refused.
const AGAIN: Duration = Duration::from_secs(1);
/// A reader that is not used for so long is closed: what it reads ahead is memory, and what comes of opening it too often
/// is read from the log many times.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// A topic that is not there for so long was deleted. Before, this gateway may not have heard of it yet.
const GONE_MAX: Duration = Duration::from_secs(20);

/// A partition that is replayed.
pub(super) struct Feed {
    /// Which part of the job.
    pub(super) place: (usize, Partition),
    pub(super) topic: Topic,
    pub(super) incarnation: u64,
    pub(super) end: u64,
    /// Settled before this gateway took it, above the place where it began.
    pub(super) settled: Vec<Range<u64>>,
    /// Opened where it has read to, where there is none.
    pub(super) reader: Option<Box<dyn Reader>>,
    /// Since when it is not used.
    pub(super) idle_since: Instant,
    pub(super) is_reading: bool,
    /// Read and meant, and not handed over.
    pub(super) records: VecDeque<Record>,
    /// With no `records` all before it is handed over.
    pub(super) read: u64,
    pub(super) is_held: bool,
    /// Whether the last read failed.
    pub(super) is_failing: bool,
    /// Nothing is read before.
    pub(super) again_at: Option<Instant>,
    /// Since when the log, whenever it answers, says that the events are not there.
    pub(super) gone_since: Option<Instant>,
}

/// Why a range cannot be read now.
#[derive(Debug)]
pub(super) enum Stop {
    /// The topic is not the one that it was.
    Gone(String),
    /// The partition ends here, before the range does, and nothing comes.
    Short(Offset),
    Log(log::Error),
}

impl Feed {
    /// Takes in what was read, of it what is meant.
    pub(super) fn take(&mut self, fetched: Fetched, is_meant: impl Fn(&Record) -> bool) {
        self.goes_on();
        let range = self.read..self.end;
        let is_in = |record: &Record| range.contains(&record.offset.number()) && is_meant(record);
        self.read = fetched.next.number().clamp(self.read, self.end);
        self.records.extend(fetched.records.into_iter().filter(is_in));
    }

    /// It could not be read now; why it never can be, if so.
    pub(super) fn stop(&mut self, stop: Stop, now: Instant) -> Option<String> {
        let short = |end: Offset| {
            let (topic, partition) = (&self.topic, self.place.1);
            format!(
                "partition {partition} of '{topic}' ends at {end} now, and was to be read up to {}",
                self.end
            )
        };
        let reason = match stop {
            // Retention was faster.
            Stop::Log(log::Error::OffsetOutOfRange { start, .. }) if start.number() > self.read => {
                self.read = start.number().min(self.end);
                self.goes_on();
                return None;
            }
            Stop::Log(log::Error::OffsetOutOfRange { end, .. }) | Stop::Short(end)
                if end.number() < self.end =>
            {
                short(end)
            }
            Stop::Gone(reason) => reason,
            Stop::Log(error @ (log::Error::UnknownTopic(_) | log::Error::UnknownPartition { .. })) => {
                error.to_string()
            }
            Stop::Log(error) if !error.is_temporary() => return Some(error.to_string()),
            // The log is away: what it said before counts no more.
            Stop::Log(_) | Stop::Short(_) => {
                self.gone_since = None;
                self.again(now);
                return None;
            }
        };
        self.again(now);
        let since = *self.gone_since.get_or_insert(now);
        (now.duration_since(since) >= GONE_MAX).then_some(reason)
    }

    /// Takes its reader back, where that can still be used.
    pub(super) fn end_read(&mut self, reader: Option<Box<dyn Reader>>, now: Instant) {
        (self.reader, self.is_reading, self.idle_since) = (reader, false, now);
    }

    /// Closes a reader that is not used for long, or never will be.
    pub(super) fn close_idle(&mut self, now: Instant) {
        let is_used = self.read < self.end && now.duration_since(self.idle_since) < IDLE_MAX;
        self.reader.take_if(|_| !is_used);
    }

    /// Forgets when it was to be read again, once that is now.
    pub(super) fn wait_until(&mut self, now: Instant) {
        self.again_at.take_if(|at| *at <= now);
    }

    pub(super) fn is_hungry(&self) -> bool {
        let is_idle = !self.is_held && !self.is_reading && self.again_at.is_none();
        is_idle && self.records.is_empty() && self.read < self.end
    }

    /// Whether it cannot be read now, and is neither read nor handed over.
    pub(super) fn is_stuck(&self) -> bool {
        let is_idle = !self.is_reading && self.records.is_empty();
        is_idle && self.is_failing && self.again_at.is_some() && self.gone_since.is_none()
    }

    fn goes_on(&mut self) {
        (self.is_failing, self.gone_since) = (false, None);
    }

    fn again(&mut self, now: Instant) {
        (self.is_failing, self.again_at) = (true, Some(now + AGAIN));
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl Reader for Silent {
        async fn next(&mut self, _bytes_max: usize) -> Result<Fetched, log::Error> {
            std::future::pending().await
        }

        fn seek(&mut self, _offset: Offset) {}

        fn position(&self) -> Offset {
            Offset::ZERO
        }
    }

    fn feed() -> Feed {
        Feed {
            place: (0, Partition::new(3)),
            topic: Topic::parse("orders.v1").unwrap(),
            incarnation: 1,
            end: 9,
            settled: Vec::new(),
            reader: None,
            idle_since: Instant::now(),
            is_reading: false,
            records: VecDeque::new(),
            read: 4,
            is_held: false,
            is_failing: false,
            again_at: None,
            gone_since: None,
        }
    }

    fn gone() -> Stop {
        Stop::Gone("topic 'orders.v1' was deleted".to_owned())
    }

    #[test]
    fn a_topic_that_stays_away_was_deleted() {
        let (mut feed, now) = (feed(), Instant::now());
        assert_eq!(feed.stop(gone(), now), None);
        assert!(!feed.is_hungry());
        feed.wait_until(now + AGAIN);
        assert!(feed.is_hungry());
        let reason = feed.stop(gone(), now + GONE_MAX);
        assert_eq!(reason.as_deref(), Some("topic 'orders.v1' was deleted"));
    }

    #[test]
    fn a_log_that_is_away_deletes_nothing() {
        let (mut feed, now) = (feed(), Instant::now());
        assert_eq!(feed.stop(gone(), now), None);
        assert_eq!(feed.stop(Stop::Log(log::Error::OutcomeUnknown), now + GONE_MAX), None);
        assert_eq!(feed.stop(gone(), now + GONE_MAX + AGAIN), None, "its time begins anew");
        assert!(feed.stop(gone(), now + GONE_MAX * 2 + AGAIN).is_some());
    }

    #[test]
    fn a_range_whose_end_was_cut_off_fails_with_that_reason() {
        let out = |end| {
            let (offset, start) = (Offset::new(4), Offset::new(0));
            Stop::Log(log::Error::OffsetOutOfRange { offset, start, end: Offset::new(end) })
        };
        let (mut feed, now) = (feed(), Instant::now());
        assert_eq!(feed.stop(Stop::Short(Offset::new(6)), now), None, "a new leader may know it later");
        let reason = feed.stop(Stop::Short(Offset::new(6)), now + GONE_MAX);
        let expected = "partition 3 of 'orders.v1' ends at 6 now, and was to be read up to 9";
        assert_eq!(reason.as_deref(), Some(expected));
        assert!(feed.stop(out(2), now + GONE_MAX).is_some());
        assert!(feed.stop(Stop::Log(log::Error::NotSupported("reading")), now).is_some());
    }

    #[test]
    fn what_retention_took_is_passed_over() {
        let (mut feed, now) = (feed(), Instant::now());
        let (offset, start, end) = (Offset::new(4), Offset::new(7), Offset::new(20));
        assert_eq!(feed.stop(Stop::Log(log::Error::OffsetOutOfRange { offset, start, end }), now), None);
        assert_eq!((feed.read, feed.is_hungry()), (7, true));
        assert_eq!(feed.stop(gone(), now), None);
        let fetched = Fetched { records: Vec::new(), next: Offset::new(20), end };
        feed.take(fetched, |_| true);
        assert_eq!((feed.read, feed.gone_since), (9, None));
    }

    #[test]
    fn a_reader_that_is_not_used_for_long_is_closed() {
        let (mut feed, now) = (feed(), Instant::now());
        feed.end_read(Some(Box::new(Silent)), now);
        feed.is_held = true;
        feed.close_idle(now + IDLE_MAX - AGAIN);
        assert!(feed.reader.is_some());
        feed.close_idle(now + IDLE_MAX);
        assert!(feed.reader.is_none());
        feed.is_held = false;
        assert_eq!((feed.is_hungry(), feed.read), (true, 4), "it is opened again where it was");
    }

    #[test]
    fn a_reader_at_the_end_is_closed_at_once() {
        let (mut feed, now) = (feed(), Instant::now());
        feed.end_read(Some(Box::new(Silent)), now);
        let fetched = Fetched { records: Vec::new(), next: Offset::new(9), end: Offset::new(20) };
        feed.take(fetched, |_| true);
        feed.close_idle(now);
        assert!(feed.reader.is_none());
    }
}
