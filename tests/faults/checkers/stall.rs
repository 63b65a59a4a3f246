//! How long publishers stood still.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::history::{Deed, Entry, Kind};

/// The longest time of one publisher without an event stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) publisher: String,
    /// Where its events lie, if any was stored.
    pub(crate) part: Option<i32>,
    pub(crate) longest: Duration,
}

/// All of a run.
pub(crate) const WHOLE: Range<u64> = 0..u64::MAX;

/// Each publisher's longest gap between two answers that say stored, from its first event to its last line; of each gap
/// what lies within the time that is looked at.
pub(crate) fn stalls(history: &[Entry], window: &Range<u64>) -> Vec<Stall> {
    let mut publishers: BTreeMap<&str, (u64, Stall)> = BTreeMap::new();
    for entry in history.iter().filter(|entry| entry.f == Deed::Publish) {
        let now = entry.t_mono.clamp(window.start, window.end);
        let (since, stall) = publishers.entry(&entry.proc).or_insert_with(|| {
            let publisher = entry.proc.clone();
            (now, Stall { publisher, part: None, longest: Duration::ZERO })
        });
        stall.longest = Duration::from_micros(now.saturating_sub(*since)).max(stall.longest);
        if entry.kind == Kind::Ok {
            *since = now;
            stall.part = stall.part.or(entry.part);
        }
    }
    publishers.into_values().map(|(_, stall)| stall).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{case, published, sent};
    use super::{Kind, Range, WHOLE, stalls};

    fn longest(lines: &[(&str, crate::history::Entry)]) -> Vec<u64> {
        longest_within(&WHOLE, lines)
    }

    fn longest_within(window: &Range<u64>, lines: &[(&str, crate::history::Entry)]) -> Vec<u64> {
        let stalls = stalls(&case(lines, &[]).history, window);
        stalls.iter().map(|stall| u64::try_from(stall.longest.as_micros()).unwrap()).collect()
    }

    #[test]
    fn the_longest_gap_counts_also_before_the_first_and_after_the_last_answer() {
        let ok = || ("p0", published("p0-1", Kind::Ok));
        let failed = || ("p0", published("p0-1", Kind::Info));
        let send = || ("p0", sent("p0-1"));
        assert_eq!(longest(&[send(), ok(), send(), failed(), send(), ok()]), [4]);
        assert_eq!(longest(&[send(), failed(), send(), ok()]), [3]);
        assert_eq!(longest(&[send(), ok(), send(), failed(), send(), failed()]), [4]);
    }

    #[test]
    fn of_a_gap_only_what_lies_within_the_window_counts() {
        let ok = || ("p0", published("p0-1", Kind::Ok));
        let failed = || ("p0", published("p0-1", Kind::Info));
        let lines = [ok(), failed(), failed(), failed(), ok(), ok(), failed()];
        assert_eq!(longest(&lines), [4]);
        assert_eq!(longest_within(&(1..3), &lines), [2]);
        assert_eq!(longest_within(&(3..6), &lines), [1]);
        assert_eq!(longest_within(&(7..9), &lines), [0]);
    }

    #[test]
    fn each_publisher_has_its_own() {
        let lines = [("p0", sent("p0-1")), ("p1", sent("p1-1")), ("p1", published("p1-1", Kind::Ok))];
        assert_eq!(longest(&lines), [0, 1]);
    }
}
