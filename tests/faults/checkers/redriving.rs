//! What became of dead letters that were sent back.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Deed, Kind};
use crate::settling::ACKNOWLEDGED;

use super::{Case, Finding, GROUP, finding};

/// A dead letter comes to another group than the one that failed.
pub(super) fn astray(case: &Case) -> Vec<Finding> {
    let strays = case.of(Deed::Aside, Kind::Ok).filter(|entry| !entry.note.is_empty());
    strays
        .map(|entry| finding("astray", &entry.proc, format!("{} at {:?}", entry.id, entry.position())))
        .collect()
}

/// Of two letters of one key that come back for the same time, the later one comes first.
pub(super) fn overtake(case: &Case) -> Vec<Finding> {
    let mut latest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for entry in case.of(Deed::Return, Kind::Ok) {
        let Some((part, off)) = entry.position() else { continue };
        if !seen.insert((&entry.note, part, off)) {
            continue;
        }
        let latest = latest.entry((&entry.key, &entry.note)).or_insert(off);
        if off < *latest {
            let what = format!("{part}/{off} of key {} came back after {part}/{latest}", entry.key);
            findings.push(finding("overtake", &entry.proc, what));
        }
        *latest = off.max(*latest);
    }
    findings
}

/// A letter came back, and nobody acknowledged it in the end.
pub(super) fn unresolved(case: &Case) -> Vec<Finding> {
    let settled = case.of(Deed::Settle, Kind::Ok).filter(|entry| entry.note == ACKNOWLEDGED);
    let settled: BTreeSet<(i32, i64)> = settled.filter_map(|entry| entry.position()).collect();
    let returned = case.of(Deed::Return, Kind::Ok).filter_map(|entry| entry.position());
    let left: BTreeSet<(i32, i64)> = returned.filter(|place| !settled.contains(place)).collect();
    left.into_iter().map(|(part, off)| finding("unresolved", GROUP, format!("{part}/{off}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, group};
    use super::{ACKNOWLEDGED, Deed, Kind, astray, overtake, unresolved};
    use crate::history::Entry;

    fn back(off: i64, time: &str) -> Entry {
        at(Deed::Return, Kind::Ok, "", (0, off)).note(time)
    }

    fn settled(off: i64, kind: Kind, how: &str) -> Entry {
        at(Deed::Settle, kind, "", (0, off)).note(how)
    }

    #[test]
    fn another_group_is_given_events_and_no_letters() {
        let aside = |note: &str| at(Deed::Aside, Kind::Ok, "", (0, 0)).note(note);
        assert_eq!(astray(&group(&[("aside", aside(""))])), []);
        assert_eq!(astray(&group(&[("aside", aside("1"))])).len(), 1);
    }

    #[test]
    fn letters_come_back_in_their_order_each_time() {
        let in_order = [("w", back(0, "1")), ("w", back(1, "1")), ("w1", back(0, "2")), ("w1", back(1, "2"))];
        assert_eq!(overtake(&group(&in_order)), []);
        let repeated = [("w", back(0, "1")), ("w", back(1, "1")), ("w1", back(0, "1"))];
        assert_eq!(overtake(&group(&repeated)), [], "what came twice may");
        let overtaken = [("w", back(1, "1")), ("w", back(0, "1"))];
        assert_eq!(overtake(&group(&overtaken)).len(), 1);
        let other_key = [("w", back(1, "1")), ("w", Entry { key: "k".to_owned(), ..back(0, "1") })];
        assert_eq!(overtake(&group(&other_key)), []);
    }

    #[test]
    fn who_came_back_is_acknowledged_in_the_end() {
        let acknowledged = [("w", back(0, "1")), ("w", settled(0, Kind::Ok, ACKNOWLEDGED))];
        assert_eq!(unresolved(&group(&acknowledged)), []);
        for (kind, how) in [(Kind::Invoke, ACKNOWLEDGED), (Kind::Ok, "rejected"), (Kind::Fail, "stale")] {
            let lines = [("w", back(0, "1")), ("w", settled(0, kind, how))];
            assert_eq!(unresolved(&group(&lines)).len(), 1, "{kind:?} {how}");
        }
    }
}
