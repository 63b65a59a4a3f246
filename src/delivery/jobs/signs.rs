//! Whether the gateway that works on a job lives: judged by its signs and this gateway's own clock, never by comparing two
//! clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::JobId;

/// How often it is looked whether a job has no gateway, though nothing was written.
pub(in crate::delivery) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A job whose owner gave no sign in so many looks has none. Looks are counted, and not the time, since this gateway may
/// have stood still itself.
const SILENT_LOOKS_MAX: u32 = 10;

/// The last signs of the owners of jobs.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Signs(BTreeMap<JobId, Sign>);

#[derive(Debug)]
struct Sign {
    beat: u64,
    /// Looks that found nothing new, and the last one.
    looks: u32,
    looked_at: Instant,
}

impl Signs {
    /// Whether a job's owner, that now has given this sign, is silent for too long.
    pub(in crate::delivery) fn is_silent(&mut self, id: &JobId, beat: u64, now: Instant) -> bool {
        let sign = self.0.entry(id.clone()).or_insert(Sign { beat, looks: 0, looked_at: now });
        if sign.beat != beat {
            *sign = Sign { beat, looks: 0, looked_at: now };
        } else if now.duration_since(sign.looked_at) >= LOOK_EVERY {
            (sign.looks, sign.looked_at) = (sign.looks + 1, now);
        }
        sign.looks >= SILENT_LOOKS_MAX
    }

    /// Forgets all but those that run.
    pub(in crate::delivery) fn retain(&mut self, runs: impl Fn(&JobId) -> bool) {
        self.0.retain(|id, _| runs(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_silent_when_its_sign_stays_the_same() {
        let mut signs = Signs::default();
        let id = JobId::parse("inventory-sync.1").unwrap();
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        assert!(!signs.is_silent(&id, 7, at(0)), "the first look knows nothing");
        for second in 1..10 {
            assert!(!signs.is_silent(&id, 7, at(second * 1_000)));
            assert!(!signs.is_silent(&id, 7, at(second * 1_000 + 999)), "too early to count");
        }
        assert!(signs.is_silent(&id, 7, at(10_000)));
        assert!(!signs.is_silent(&id, 8, at(10_001)), "a sign");
        assert!(!signs.is_silent(&id, 8, at(90_000)), "it stood still itself");
        signs.retain(|_| false);
        assert!(!signs.is_silent(&id, 8, at(99_000)));
    }
}
