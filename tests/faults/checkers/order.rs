//! Whether a group's deliveries kept their order around one that failed.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Deed, Kind};

use super::{Case, Finding, finding};

/// A later delivery of a partition counts as settled between an earlier one's failure and its next attempt.
pub(super) fn overtake(case: &Case) -> Vec<Finding> {
    let mut failed: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    let mut attempts: BTreeMap<(i32, i64), u64> = BTreeMap::new();
    let mut findings = Vec::new();
    for entry in &case.history {
        let Some((part, off)) = entry.position() else { continue };
        let failed = failed.entry(part).or_default();
        let (attempt, last) = (entry.attempt.unwrap_or(1), attempts.entry((part, off)).or_default());
        match (entry.f, entry.kind) {
            // Who failed may hear that it counts later than another one is given the next attempt.
            (Deed::Nack, Kind::Ok) if *last > attempt => {}
            (Deed::Nack, Kind::Ok) => drop(failed.insert(off)),
            (Deed::Deliver, Kind::Ok) => {
                *last = attempt.max(*last);
                failed.remove(&off);
            }
            (Deed::Ack, Kind::Ok) => {
                if let Some(first) = failed.first().filter(|first| **first < off) {
                    let what = format!("{part}/{off} was settled before {part}/{first} came again");
                    findings.push(finding("overtake", &entry.proc, what));
                }
            }
            _ => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, deliver, group};
    use super::{Deed, Kind, overtake};
    use crate::history::Entry;

    fn acked(off: i64) -> Entry {
        at(Deed::Ack, Kind::Ok, "", (0, off))
    }

    #[test]
    fn nothing_later_is_settled_before_what_failed_comes_again() {
        let nacked = |kind| at(Deed::Nack, kind, "", (0, 1));
        let begun = || vec![("w", deliver(1)), ("w", deliver(3)), ("w", nacked(Kind::Invoke))];
        let overtaken = [begun(), vec![("w", nacked(Kind::Ok)), ("w", acked(3)), ("w", deliver(1))]].concat();
        assert_eq!(overtake(&group(&overtaken)).len(), 1);
        let by_another =
            [begun(), vec![("w", nacked(Kind::Ok)), ("w1", deliver(3)), ("w1", acked(3))]].concat();
        assert_eq!(overtake(&group(&by_another)).len(), 1);
        let in_order =
            [begun(), vec![("w", nacked(Kind::Ok)), ("w1", deliver(1)), ("w1", acked(3))]].concat();
        assert_eq!(overtake(&group(&in_order)), []);
        let next = ("w1", deliver(1).attempt(2));
        let heard_late = [begun(), vec![next, ("w", nacked(Kind::Ok)), ("w1", acked(3))]].concat();
        assert_eq!(overtake(&group(&heard_late)), []);
        let refused = [begun(), vec![("w", nacked(Kind::Fail)), ("w", acked(3))]].concat();
        assert_eq!(overtake(&group(&refused)), []);
        let earlier = [begun(), vec![("w", nacked(Kind::Ok)), ("w", acked(0))]].concat();
        assert_eq!(overtake(&group(&earlier)), []);
    }
}
