//! Whether what a group rejected became dead letters.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Deed, Kind};
use crate::settling::POISON;

use super::{Case, Finding, GROUP, Stored, finding};

/// A committed offset passes an event that was rejected, and no letter of its partition is of it.
pub(crate) fn unburied(case: &Case, letters: &[Stored]) -> Vec<Finding> {
    let mut committed: BTreeMap<i32, i64> = BTreeMap::new();
    for (part, off) in case.of(Deed::Commit, Kind::Ok).filter_map(|entry| entry.position()) {
        let last = committed.entry(part).or_default();
        *last = off.max(*last);
    }
    let settled: BTreeSet<(i32, i64)> =
        case.of(Deed::Ack, Kind::Invoke).filter_map(|entry| entry.position()).collect();
    let is_rejected = |one: &&Stored| one.id.starts_with(POISON) && settled.contains(&(one.part, one.off));
    let is_passed = |one: &&Stored| committed.get(&one.part).is_some_and(|next| *next > one.off);
    let has_letter =
        |one: &Stored| letters.iter().any(|letter| letter.part == one.part && letter.id == one.id);
    let lost = case.truth.iter().filter(is_rejected).filter(is_passed).filter(|one| !has_letter(one));
    lost.map(|one| finding("unburied", GROUP, format!("{} at {}/{}", one.id, one.part, one.off))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, case};
    use super::{Case, Deed, Kind, Stored, unburied};
    use crate::history::Entry;

    const ID: &str = "poison-1";

    /// An event is rejected, and then something is committed.
    fn rejected(next: i64) -> Case {
        let place = (0, 3);
        let lines = [
            ("w0.1", at(Deed::Deliver, Kind::Ok, ID, place)),
            ("w0.1", at(Deed::Ack, Kind::Invoke, ID, place)),
            ("commits", Entry::new(Deed::Commit, Kind::Ok).at(0, next)),
        ];
        case(&lines, &[(0, 3, ID)])
    }

    fn letter(part: i32, id: &str) -> Vec<Stored> {
        vec![Stored { part, off: 0, id: id.to_owned(), sha: String::new() }]
    }

    #[test]
    fn what_is_passed_though_it_was_rejected_has_a_letter() {
        assert_eq!(unburied(&rejected(4), &letter(0, ID)), []);
        let findings = unburied(&rejected(4), &[]);
        assert_eq!(findings.iter().map(|one| &*one.what).collect::<Vec<_>>(), ["poison-1 at 0/3"]);
        assert_eq!(unburied(&rejected(4), &letter(0, "poison-2")).len(), 1, "of another event");
        assert_eq!(unburied(&rejected(4), &letter(1, ID)).len(), 1, "in another partition");
        assert_eq!(unburied(&rejected(3), &[]), [], "its letter may still be written");
    }

    #[test]
    fn what_nobody_rejected_needs_none() {
        let lines = [("commits", Entry::new(Deed::Commit, Kind::Ok).at(0, 4))];
        assert_eq!(unburied(&case(&lines, &[(0, 3, ID)]), &[]), []);
        let place = (0, 3);
        let lines = [("w0.1", at(Deed::Ack, Kind::Invoke, "p0-1", place)), lines[0].clone()];
        assert_eq!(unburied(&case(&lines, &[(0, 3, "p0-1")]), &[]), []);
    }
}
