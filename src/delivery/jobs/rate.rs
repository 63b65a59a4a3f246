//! So many in a second: a bucket that fills with time. Time is a parameter.

use std::time::Duration;

use tokio::time::Instant;

/// The most that a rate can be.
pub(in crate::delivery) const RATE_MAX: u32 = 100_000;
/// A batch is about what comes together in this part of a second, so that a slow job goes evenly.
const BATCHES_PER_SECOND: u32 = 5;

/// How fast a job goes.
#[derive(Debug)]
pub(in crate::delivery) struct Rate {
    per_second: Option<u32>,
    /// When the next one may go.
    next: Instant,
}

impl Rate {
    /// As many as `per_second`; `None` is no limit.
    pub(in crate::delivery) const fn new(per_second: Option<u32>, now: Instant) -> Self {
        Self { per_second, next: now }
    }

    /// The most that goes together, where more than `most` never does.
    pub(in crate::delivery) fn batch_max(&self, most: usize) -> usize {
        let share = self
            .per_second
            .map_or(most, |rate| usize::try_from((rate / BATCHES_PER_SECOND).max(1)).unwrap_or(most));
        share.min(most)
    }

    /// When the next batch may go. What was not used before is not saved up.
    pub(in crate::delivery) fn ready_at(&mut self, now: Instant) -> Instant {
        self.next = self.next.max(now);
        self.next
    }

    /// When the next one may go.
    pub(in crate::delivery) const fn next(&self) -> Instant {
        self.next
    }

    /// So many have gone.
    pub(in crate::delivery) fn take(&mut self, count: usize) {
        if let Some(rate) = self.per_second {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.next += Duration::from_secs(1).saturating_mul(count) / rate.max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH_MAX: usize = 500;

    #[test]
    fn no_second_has_more_than_the_rate() {
        for rate in [1, 3, 7, 100, 4_999, 100_000] {
            let begin = Instant::now();
            let mut now = begin;
            let mut bucket = Rate::new(Some(rate), now);
            let mut sent = 0_u64;
            loop {
                // A late caller does not make up for what it missed.
                now = bucket.ready_at(now) + Duration::from_micros(u64::from(rate % 5));
                if now >= begin + Duration::from_secs(10) {
                    break;
                }
                bucket.take(bucket.batch_max(BATCH_MAX));
                sent += bucket.batch_max(BATCH_MAX) as u64;
            }
            let most = u64::from(rate) * 10 + bucket.batch_max(BATCH_MAX) as u64;
            assert!(sent <= most && sent * 10 >= most * 8, "{rate}: {sent} of {most}");
        }
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let now = Instant::now();
        let mut bucket = Rate::new(None, now);
        bucket.take(1_000_000);
        assert_eq!((bucket.ready_at(now), bucket.batch_max(BATCH_MAX)), (now, BATCH_MAX));
    }
}
