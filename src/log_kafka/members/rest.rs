//! How long a group rests after its membership failed for good, before it is joined again.
//!
//! A static member comes back under its name: too early it is refused while its old session lasts, or takes the place
//! of another gateway that was given the same name by mistake.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::Instant;

/// How long a membership must last to be none that failed again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);

/// A group's rest.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) until: Instant,
    failures: u32,
}

impl Rest {
    /// After a first failure.
    pub(super) fn first(code: Code, now: Instant) -> Self {
        Self::after(code, 0, now)
    }

    /// After one more failure.
    pub(super) fn next(&self, code: Code, now: Instant) -> Self {
        let is_forgotten = now.duration_since(self.until) > FORGOTTEN_AFTER;
        Self::after(code, if is_forgotten { 0 } else { self.failures + 1 }, now)
    }

    fn after(code: Code, failures: u32, now: Instant) -> Self {
        let (first, longest) = bounds(code);
        let time = first.saturating_mul(2_u32.saturating_pow(failures)).min(longest);
        Self { until: now + time, failures }
    }
}

const fn bounds(code: Code) -> (Duration, Duration) {
    let (first, longest) = match code {
        // The old session ends by itself; the place is taken soon after.
        Code::UnreleasedInstanceId => (1, 5),
        // Another gateway has the name: two of them must not take turns.
        Code::FencedInstanceId => (30, 300),
        _ => (1, 30),
    };
    (Duration::from_secs(first), Duration::from_secs(longest))
}

#[cfg(test)]
mod tests {
    use super::{Code, Duration, Instant, Rest};

    #[test]
    fn rests_grow_to_their_bound_and_are_forgotten() {
        let now = Instant::now();
        let seconds = |rest: &Rest| rest.until.duration_since(now).as_secs();
        let mut rest = Rest::first(Code::UnreleasedInstanceId, now);
        let mut all = vec![seconds(&rest)];
        for _ in 0..40 {
            rest = rest.next(Code::UnreleasedInstanceId, now);
            all.push(seconds(&rest));
        }
        assert_eq!(all[..5], [1, 2, 4, 5, 5]);
        assert_eq!(all[40], 5);
        let later = rest.until + Duration::from_secs(901);
        assert_eq!(rest.next(Code::FencedInstanceId, later).until, later + Duration::from_secs(30));
    }
}
