//! How often the room measures what it shows: often where there is little to ask the log for, else ever less.

use std::time::Duration;

/// How often where there is little to ask for.
const EVERY: Duration = Duration::from_secs(5);
/// After a round it rests so many times as long as that took, within the two bounds around this.
const REST: u32 = 20;
const EVERY_MAX: Duration = Duration::from_secs(60);

/// How long to rest after a round that took so long.
pub(super) fn rest(took: Duration) -> Duration {
    took.saturating_mul(REST).clamp(EVERY, EVERY_MAX)
}

#[cfg(test)]
mod tests {
    use super::{Duration, rest};

    #[test]
    fn a_round_that_takes_longer_comes_less_often_within_bounds() {
        for (took_ms, rest_ms) in
            [(0, 5_000), (250, 5_000), (1_000, 20_000), (3_000, 60_000), (900_000, 60_000)]
        {
            assert_eq!(rest(Duration::from_millis(took_ms)), Duration::from_millis(rest_ms), "{took_ms}");
        }
        assert_eq!(rest(Duration::MAX), Duration::from_secs(60));
    }
}
