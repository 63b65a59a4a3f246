//! What a group and audiences were given, against what lies in the log.

use std::collections::{HashMap, HashSet};

use crate::history::{Deed, Entry, Kind};

use super::{Case, Finding, GROUP, finding};

/// In the log, and never given to the group, or to someone who followed from the beginning; of what was removed, nor told to be
/// missing.
pub(super) fn unseen(case: &Case) -> Vec<Finding> {
    let group = case.has_group.then(|| {
        let mut seen = positions(case.of(Deed::Deliver, Kind::Ok));
        seen.extend(case.told_missing(|proc| !case.is_audience(proc)));
        (GROUP, seen)
    });
    let audiences = case.audiences.iter().map(|audience| {
        let seen = case.of(Deed::Follow, Kind::Ok).filter(|entry| entry.proc == *audience);
        let mut seen = positions(seen);
        seen.extend(case.told_missing(|proc| proc == audience));
        (audience.as_str(), seen)
    });
    let missing = |(reader, seen): (&str, HashSet<(i32, i64)>)| {
        let missing = case.truth.iter().filter(move |stored| !seen.contains(&(stored.part, stored.off)));
        let reader = reader.to_owned();
        missing.map(move |stored| {
            finding("unseen", &reader, format!("{} at {}/{}", stored.id, stored.part, stored.off))
        })
    };
    group.into_iter().chain(audiences).flat_map(missing).collect()
}

/// A connection's deliveries go back in a partition though nothing was withdrawn or failed, or an audience is shown
/// something again.
pub(super) fn nonmonotonic_poll(case: &Case) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut highest: HashMap<(&str, i32), i64> = HashMap::new();
    // What may come again on this connection, and the last attempt of each delivery.
    let mut returned: HashSet<(&str, i32, i64)> = HashSet::new();
    let mut attempts: HashMap<(&str, i32, i64), u64> = HashMap::new();
    for entry in &case.history {
        let proc = entry.proc.as_str();
        if entry.f == Deed::Assign {
            highest.retain(|(of, _), _| *of != proc);
        }
        let Some((part, off)) = entry.position() else { continue };
        match entry.f {
            Deed::Withdraw => drop(returned.insert((proc, part, off))),
            Deed::Deliver | Deed::Follow => {
                let attempt = entry.attempt.unwrap_or(1);
                let before = attempts.insert((proc, part, off), attempt);
                let may_come_again = entry.f == Deed::Deliver
                    && (returned.remove(&(proc, part, off)) || before.is_some_and(|before| before < attempt));
                let high = highest.entry((proc, part)).or_insert(-1);
                if off <= *high && !may_come_again {
                    findings.push(finding(
                        "nonmonotonic-poll",
                        proc,
                        format!("{part}/{off} after {part}/{high}"),
                    ));
                }
                *high = off.max(*high);
            }
            _ => {}
        }
    }
    findings
}

/// An event is given for the first time while an earlier one of its partition never was.
pub(super) fn poll_skip(case: &Case) -> Vec<Finding> {
    let mut findings = Vec::new();
    if case.has_group {
        let is_theirs = |entry: &&Entry| {
            entry.f == Deed::Deliver || entry.f == Deed::Gap && !case.is_audience(&entry.proc)
        };
        findings.extend(skips(case, GROUP, case.history.iter().filter(is_theirs)));
    }
    for audience in &case.audiences {
        let is_theirs =
            |entry: &&Entry| entry.proc == *audience && matches!(entry.f, Deed::Follow | Deed::Gap);
        findings.extend(skips(case, audience, case.history.iter().filter(is_theirs)));
    }
    findings
}

fn skips<'a>(case: &Case, reader: &str, entries: impl Iterator<Item = &'a Entry>) -> Vec<Finding> {
    let offsets = case.offsets();
    let mut next: HashMap<i32, usize> = HashMap::new();
    let mut seen: HashSet<(i32, i64)> = HashSet::new();
    let mut findings = Vec::new();
    for entry in entries {
        let Some((part, off)) = entry.position() else { continue };
        let Some(all) = offsets.get(&part) else { continue };
        let next = next.entry(part).or_default();
        if entry.f == Deed::Gap {
            while all.get(*next).is_some_and(|expected| *expected < off) {
                *next += 1;
            }
            continue;
        }
        if seen.insert((part, off))
            && let Some(expected) = all.get(*next).filter(|expected| **expected < off)
        {
            findings.push(finding("poll-skip", reader, format!("{part}/{off} before {part}/{expected}")));
        }
        while all.get(*next).is_some_and(|expected| seen.contains(&(part, *expected))) {
            *next += 1;
        }
    }
    findings
}

fn positions<'a>(entries: impl Iterator<Item = &'a Entry>) -> HashSet<(i32, i64)> {
    entries.filter_map(Entry::position).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TRUTH, at, case, deliver, group};
    use super::{Case, Deed, Entry, Kind, nonmonotonic_poll, poll_skip, unseen};

    fn follow(off: i64) -> Entry {
        at(Deed::Follow, Kind::Ok, "", (0, off))
    }

    fn audience(lines: &[(&str, Entry)]) -> Case {
        Case { audiences: vec!["a0".to_owned()], ..case(lines, TRUTH) }
    }

    #[test]
    fn what_was_removed_is_missed_by_who_was_told_so() {
        let gap = |from: i64, to| Entry::new(Deed::Gap, Kind::Ok).at(0, to).note(from.to_string());
        let judge = |told: Entry| {
            let removed = [(0, 0), (0, 1)].into();
            unseen(&Case { removed, ..group(&[("w", told), ("w", deliver(3))]) }).len()
        };
        assert_eq!((judge(gap(0, 2)), judge(gap(1, 2)), judge(gap(2, 3))), (0, 1, 2));
        let kept = Case { removed: [(0, 0)].into(), ..group(&[("w", gap(0, 3)), ("w", deliver(3))]) };
        assert_eq!(unseen(&kept).len(), 1, "a gap excuses nothing that is there");
    }

    #[test]
    fn what_the_group_never_got_is_unseen() {
        let case = group(&[("w0.1", deliver(0)), ("w1.1", deliver(3)), ("a0", follow(1))]);
        let findings = unseen(&case);
        assert_eq!(findings.iter().map(|finding| &*finding.what).collect::<Vec<_>>(), ["p0-2 at 0/1"]);
    }

    #[test]
    fn what_an_audience_was_not_shown_is_unseen() {
        let case = audience(&[("a0", follow(0)), ("a0", follow(1)), ("w0.1", deliver(3))]);
        assert_eq!(unseen(&case).len(), 1);
    }

    #[test]
    fn a_connection_must_not_go_back_without_a_cause() {
        let back = [("w0.1", deliver(0)), ("w0.1", deliver(1)), ("w0.1", deliver(0))];
        assert_eq!(nonmonotonic_poll(&group(&back)).len(), 1);
        let same = [("w0.1", deliver(0)), ("w0.1", deliver(0))];
        assert_eq!(nonmonotonic_poll(&group(&same)).len(), 1);
        let other = [("w0.1", deliver(1)), ("w0.2", deliver(0))];
        assert_eq!(nonmonotonic_poll(&group(&other)), []);
        let shown_again = [("a0", follow(1)), ("a0", follow(1))];
        assert_eq!(nonmonotonic_poll(&audience(&shown_again)).len(), 1);
    }

    #[test]
    fn a_connection_may_go_back_to_what_was_withdrawn_or_failed_or_came_with_an_assignment() {
        let withdrawn = at(Deed::Withdraw, Kind::Ok, "", (0, 0));
        assert_eq!(nonmonotonic_poll(&group(&[("w", deliver(0)), ("w", withdrawn), ("w", deliver(0))])), []);
        let again = deliver(0).attempt(2);
        assert_eq!(nonmonotonic_poll(&group(&[("w", deliver(0)), ("w", again)])), []);
        let assigned = Entry::new(Deed::Assign, Kind::Ok);
        assert_eq!(nonmonotonic_poll(&group(&[("w", deliver(0)), ("w", assigned), ("w", deliver(0))])), []);
    }

    #[test]
    fn first_deliveries_skip_nothing() {
        let findings = poll_skip(&group(&[("w0.1", deliver(0)), ("w0.1", deliver(3)), ("w1.1", deliver(1))]));
        assert_eq!(findings.iter().map(|finding| &*finding.what).collect::<Vec<_>>(), ["0/3 before 0/1"]);
        assert_eq!(poll_skip(&group(&[("w", deliver(0)), ("w", deliver(1)), ("w", deliver(3))])), []);
    }

    #[test]
    fn an_audience_skips_only_what_it_was_told_of() {
        assert_eq!(poll_skip(&audience(&[("a0", follow(0)), ("a0", follow(3))])).len(), 1);
        let told = at(Deed::Gap, Kind::Ok, "", (0, 3));
        assert_eq!(poll_skip(&audience(&[("a0", follow(0)), ("a0", told), ("a0", follow(3))])), []);
    }
}
