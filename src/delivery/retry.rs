//! The retry schedule: how long a failed record waits before its next attempt.

use std::time::Duration;

use super::Backoff;

/// Numbers in 0..1 from a seed (splitmix64): the same seed, the same schedule.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// A sequence that begins at this seed.
    #[must_use]
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, at least 0 and less than 1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

/// The delay after the `failed`-th counted failure (from 1), moved by up to ±`jitter` of itself as `random`
/// (0..1) says.
#[must_use]
pub(super) fn delay(backoff: &Backoff, failed: u32, random: f64) -> Duration {
    let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
    let longest = backoff.max.as_secs_f64();
    let grown = (backoff.first.as_secs_f64() * backoff.factor.powi(exponent)).min(longest);
    let moved = grown * (1.0 + backoff.jitter * (2.0 * random - 1.0));
    Duration::try_from_secs_f64(moved.max(0.0)).unwrap_or(backoff.max)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Random, delay};

    #[test]
    fn delays_double_from_100_ms_and_stop_at_30_s() {
        let delays: Vec<u128> =
            (1..=12).map(|failed| delay(&Backoff::default(), failed, 0.5).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]);
        assert_eq!(delay(&Backoff::default(), u32::MAX, 0.5), Duration::from_secs(30));
    }

    #[test]
    fn jitter_moves_a_delay_by_at_most_its_part() {
        let mut random = Random::new(7);
        let (low, high) = (Duration::from_millis(80), Duration::from_millis(120));
        let delays: Vec<Duration> =
            (0..1_000).map(|_| delay(&Backoff::default(), 1, random.next())).collect();
        assert!(delays.iter().all(|delay| (low..=high).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < Duration::from_millis(85)));
        assert!(delays.iter().any(|delay| *delay > Duration::from_millis(115)));
    }

    #[test]
    fn a_fixed_delay_is_factor_one() {
        let fixed = Backoff { first: Duration::from_secs(2), factor: 1.0, jitter: 0.0, ..Backoff::default() };
        assert_eq!(delay(&fixed, 1, 0.9), delay(&fixed, 5, 0.1));
    }
}
