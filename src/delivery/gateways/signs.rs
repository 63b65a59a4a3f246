//! Which gateways live, judged by their beats and this gateway's own clock. Two clocks are compared once only, when a
//! gateway is seen for the first time: by then nobody has watched it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Timestamp;

/// After so long without a sign what a gateway told is removed, by whoever sees it.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// That a gateway lives.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Beat {
    /// The gateway's name, which another may have, too.
    pub(super) node: Arc<str>,
    /// Grows with each.
    pub(super) beat: u64,
    /// When, by its own clock.
    pub(super) at_ms: i64,
}

/// The last signs of gateways, by their lives; as many as the table has.
#[derive(Debug, Default)]
pub(super) struct Signs(BTreeMap<Box<str>, Sign>);

#[derive(Debug)]
struct Sign {
    /// `None` for one that only ever told of groups.
    beat: Option<Beat>,
    seen_at: Instant,
    /// How old it was then.
    age: Duration,
}

impl Sign {
    fn age(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.duration_since(self.seen_at))
    }
}

impl Signs {
    /// How long ago a gateway gave its last sign, of which this is the last that was told.
    pub(super) fn age(&mut self, life: &str, beat: &Beat, now: Instant, wall: Timestamp) -> Duration {
        let known = self.0.get(life).and_then(|sign| sign.beat.as_ref());
        if known != Some(beat) {
            let is_watched = known.is_some();
            let told = u64::try_from(wall.millis().saturating_sub(beat.at_ms)).unwrap_or(0);
            let age = if is_watched { Duration::ZERO } else { Duration::from_millis(told) };
            self.0.insert(life.into(), Sign { beat: Some(beat.clone()), seen_at: now, age });
        }
        self.0.get(life).map_or(Duration::ZERO, |sign| sign.age(now))
    }

    /// Of all that told anything those that gave no sign for so long that it can go; forgets who told nothing.
    pub(super) fn forgotten(&mut self, lives: &BTreeSet<Box<str>>, now: Instant) -> Vec<Box<str>> {
        self.0.retain(|life, _| lives.contains(life));
        for life in lives {
            let unseen = || Sign { beat: None, seen_at: now, age: Duration::ZERO };
            self.0.entry(life.clone()).or_insert_with(unseen);
        }
        let gone = self.0.iter().filter(|(_, sign)| sign.age(now) >= FORGOTTEN_AFTER);
        gone.map(|(life, _)| life.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Timestamp = Timestamp::from_millis(1_000_000);

    fn beat(beat: u64, at_ms: i64) -> Beat {
        Beat { node: "g1".into(), beat, at_ms }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_gateway_is_as_old_as_its_last_beat_by_the_clock_of_who_looks() {
        let (mut signs, begin) = (Signs::default(), Instant::now());
        // Its clock is an hour ahead.
        assert_eq!(signs.age("a", &beat(1, 4_600_000), begin, WALL), seconds(0));
        assert_eq!(signs.age("a", &beat(1, 4_600_000), begin + seconds(4), WALL), seconds(4));
        assert_eq!(signs.age("a", &beat(2, 4_605_000), begin + seconds(5), WALL), seconds(0));
        // And set back.
        assert_eq!(signs.age("a", &beat(3, 0), begin + seconds(9), WALL), seconds(0));
        assert_eq!(signs.age("a", &beat(3, 0), begin + seconds(12), WALL), seconds(3));
    }

    #[test]
    fn one_that_nobody_has_watched_is_as_old_as_it_says() {
        let (mut signs, begin) = (Signs::default(), Instant::now());
        assert_eq!(signs.age("a", &beat(7, 940_000), begin, WALL), seconds(60));
        assert_eq!(signs.age("a", &beat(8, 945_000), begin + seconds(5), WALL), seconds(0), "it lives");
    }

    #[test]
    fn what_was_told_by_who_is_gone_for_long_can_go() {
        let (mut signs, begin) = (Signs::default(), Instant::now());
        let lives = BTreeSet::from(["beats".into(), "silent".into()]);
        signs.age("beats", &beat(1, 1_000_000), begin, WALL);
        assert!(signs.forgotten(&lives, begin).is_empty(), "one without a beat has its time, too");
        signs.age("beats", &beat(2, 1_005_000), begin + seconds(5), WALL);
        assert!(signs.forgotten(&lives, begin + seconds(599)).is_empty());
        assert_eq!(signs.forgotten(&lives, begin + seconds(600)), ["silent".into()]);
        assert_eq!(signs.forgotten(&lives, begin + seconds(605)).len(), 2);
        assert!(signs.forgotten(&BTreeSet::new(), begin + seconds(605)).is_empty());
        assert!(signs.0.is_empty());
    }
}
