//! What publishers were told, against what lies in the log.

use std::collections::{BTreeMap, HashMap};

use crate::history::{Deed, Entry, Kind};

use super::{Case, Fate, Finding, finding};

/// Answered as stored, and not in the log.
pub(super) fn lost_write(case: &Case) -> Vec<Finding> {
    let copies = case.copies();
    let mut stored: HashMap<&str, (u64, u64)> = HashMap::new();
    let fates = case.fates();
    for (_, fate) in fates.iter().filter(|(id, _)| copies.contains_key(*id)) {
        let range = stored.entry(fate.publisher).or_insert((fate.first_invoke, fate.first_invoke));
        *range = (range.0.min(fate.first_invoke), range.1.max(fate.first_invoke));
    }
    let lost = fates.iter().filter(|(id, fate)| fate.oks > 0 && !copies.contains_key(*id));
    let place = |publisher: &str, at: u64| match stored.get(publisher) {
        None => "all",
        Some((first, _)) if at < *first => "prefix",
        Some((_, last)) if at > *last => "postfix",
        Some(_) => "middle",
    };
    lost.map(|(id, fate)| {
        let place = place(fate.publisher, fate.first_invoke);
        finding("lost-write", fate.publisher, format!("{id} ({place} of its publisher's)"))
    })
    .collect()
}

/// Refused for sure, and in the log or delivered all the same.
pub(super) fn aborted_read(case: &Case) -> Vec<Finding> {
    let copies = case.copies();
    let is_read = |id: &str| case.history.iter().any(|entry| entry.id == id && is_seen(entry.f));
    let fates = case.fates();
    let refused = fates.iter().filter(|(_, fate)| fate.chances() == 0 && fate.oks == 0);
    let read = refused.filter(|(id, _)| copies.contains_key(*id) || is_read(id));
    read.map(|(id, fate)| finding("aborted-read", fate.publisher, (*id).to_owned())).collect()
}

/// In the log or delivered, and never sent.
pub(super) fn unexpected(case: &Case) -> Vec<Finding> {
    let fates = case.fates();
    let in_log = case.truth.iter().map(|stored| stored.id.as_str());
    let seen = case.history.iter().filter(|entry| is_seen(entry.f)).map(|entry| entry.id.as_str());
    let mut ids: Vec<&str> = in_log.chain(seen).filter(|id| !fates.contains_key(id)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| finding("unexpected", "log", id.to_owned())).collect()
}

/// More often in the log than attempts were made that may have stored it. Fewer copies are counted, not judged; nor is one
/// copy more that librdkafka made, as it does for anybody.
pub(super) fn duplicate(case: &Case) -> Vec<Finding> {
    let copies = case.copies();
    let fates = case.fates();
    let count = |id: &str| copies.get(id).map_or(0, Vec::len);
    let excess = fates.iter().filter(|(id, fate)| {
        let may_be = fate.chances() + usize::from(is_sent_again(case, id, fate));
        fate.chances() > 0 && count(id) > may_be
    });
    excess
        .map(|(id, fate)| {
            let what = format!("{id}: {} copies of {} attempts", count(id), fate.chances());
            finding("duplicate", fate.publisher, what)
        })
        .collect()
}

/// Whether librdkafka may have sent an event a second time while it was under way: when another record times out, it begins
/// a new epoch for all its records, and sends again what a broker had stored and not yet answered. What becomes of the event
/// itself in the end, stored or unknown, does not matter.
fn is_sent_again(case: &Case, id: &str, fate: &Fate<'_>) -> bool {
    let is_control = |proc: &str| proc.starts_with("control");
    let timed_out = |entry: &&Entry| {
        entry.f == Deed::Publish
            && entry.has_timed_out()
            && entry.id != id
            && is_control(&entry.proc) == is_control(fate.publisher)
    };
    let mut at = case.history.iter().filter(timed_out).map(|entry| entry.t_mono);
    let answered = fate.ok_at.or(fate.unknown_at);
    answered.is_some_and(|answered| at.any(|at| (fate.first_invoke..=answered).contains(&at)))
}

/// Of two events of one key, the first answered as stored before the second was sent, the second lies first.
pub(super) fn nonmonotonic_send(case: &Case) -> Vec<Finding> {
    let copies = case.copies();
    /// When an event was sent first and first answered as stored, and which.
    type Link<'a> = (u64, u64, &'a str);
    let mut chains: BTreeMap<(&str, &str), Vec<Link<'_>>> = BTreeMap::new();
    for (id, fate) in case.fates() {
        if let Some(ok_at) = fate.ok_at {
            chains.entry((fate.publisher, fate.key)).or_default().push((fate.first_invoke, ok_at, id));
        }
    }
    let mut findings = Vec::new();
    for ((publisher, key), mut chain) in chains {
        chain.sort_unstable();
        for pair in chain.windows(2) {
            let [(_, answered, one), (sent, _, other)] = pair else { continue };
            let (Some(before), Some(after)) = (copies.get(one), copies.get(other)) else { continue };
            let (before, after) = (before[0], after[0]);
            if answered < sent && (before.part, before.off) >= (after.part, after.off) {
                let what = format!(
                    "{one} at {}/{} and {other} at {}/{} of key {key}",
                    before.part, before.off, after.part, after.off
                );
                findings.push(finding("nonmonotonic-send", publisher, what));
            } else if before.part != after.part {
                let what = format!("key {key} lies in partitions {} and {}", before.part, after.part);
                findings.push(finding("nonmonotonic-send", publisher, what));
            }
        }
    }
    findings
}

/// One offset, two events.
pub(super) fn divergent(case: &Case) -> Vec<Finding> {
    let mut told: BTreeMap<(i32, i64), &str> =
        case.truth.iter().map(|stored| ((stored.part, stored.off), stored.id.as_str())).collect();
    let mut findings = Vec::new();
    for entry in case.history.iter().filter(|entry| entry.is(Deed::Publish, Kind::Ok) || is_seen(entry.f)) {
        let Some(position) = entry.position() else { continue };
        let known = told.entry(position).or_insert(&entry.id);
        if *known != entry.id {
            let what = format!("{known} and {} at {}/{}", entry.id, position.0, position.1);
            findings.push(finding("divergent", &entry.proc, what));
        }
    }
    findings
}

/// Answered as stored, or given to a reader, with a place where something else lies, or nothing; or answered with no place.
pub(super) fn misplaced(case: &Case) -> Vec<Finding> {
    let truth: HashMap<(i32, i64), &str> =
        case.truth.iter().map(|stored| ((stored.part, stored.off), stored.id.as_str())).collect();
    let placed = case.history.iter().filter(|entry| entry.is(Deed::Publish, Kind::Ok) || is_seen(entry.f));
    let is_there = |place: (i32, i64), id: &str| truth.get(&place) == Some(&id);
    placed
        .filter(|entry| !entry.position().is_some_and(|place| is_there(place, &entry.id)))
        .map(|entry| finding("misplaced", &entry.proc, format!("{} at {:?}", entry.id, entry.position())))
        .collect()
}

/// Other bytes than those that were sent.
pub(super) fn corrupt(case: &Case) -> Vec<Finding> {
    let fates = case.fates();
    let differs = |id: &str, sha: &str| fates.get(id).is_some_and(|fate| fate.sha != sha);
    let in_log = case.truth.iter().filter(|stored| differs(&stored.id, &stored.sha));
    let in_log = in_log.map(|stored| finding("corrupt", "log", stored.id.clone()));
    let seen = case.history.iter().filter(|entry| is_seen(entry.f) && differs(&entry.id, &entry.sha));
    in_log.chain(seen.map(|entry| finding("corrupt", &entry.proc, entry.id.clone()))).collect()
}

fn is_seen(f: Deed) -> bool {
    matches!(f, Deed::Deliver | Deed::Follow | Deed::Return | Deed::Aside)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, case, published, sent};
    use super::{
        Deed, Kind, aborted_read, corrupt, divergent, duplicate, lost_write, misplaced, nonmonotonic_send,
        unexpected,
    };

    #[test]
    fn what_was_answered_as_stored_and_is_not_there_is_lost() {
        let case = case(
            &[
                ("p0", sent("p0-1")),
                ("p0", published("p0-1", Kind::Ok).at(0, 0)),
                ("p0", sent("p0-2")),
                ("p0", published("p0-2", Kind::Ok).at(0, 1)),
                ("p0", sent("p0-3")),
                ("p0", published("p0-3", Kind::Info)),
                ("p0", published("p0-3", Kind::Ok).at(0, 2)),
            ],
            &[(0, 0, "p0-1"), (0, 2, "p0-3")],
        );
        let findings = lost_write(&case);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].subject.as_str(), findings[0].what.as_str()),
            ("p0", "p0-2 (middle of its publisher's)")
        );
    }

    #[test]
    fn what_was_refused_must_not_be_in_the_log() {
        let lines = [
            ("p0", sent("p0-1")),
            ("p0", published("p0-1", Kind::Fail)),
            ("p0", sent("p0-2")),
            ("p0", published("p0-2", Kind::Fail)),
            ("p0", sent("p0-2")),
            ("p0", published("p0-2", Kind::Ok).at(0, 1)),
        ];
        let read = case(&lines, &[(0, 0, "p0-1"), (0, 1, "p0-2")]);
        assert_eq!(aborted_read(&read).iter().map(|finding| &*finding.what).collect::<Vec<_>>(), ["p0-1"]);
        let unread = case(&lines, &[(0, 1, "p0-2")]);
        assert_eq!(aborted_read(&unread), []);
    }

    #[test]
    fn a_refused_event_must_not_be_delivered_either() {
        let delivered = at(Deed::Deliver, Kind::Ok, "p0-1", (0, 0));
        let lines = [("p0", sent("p0-1")), ("p0", published("p0-1", Kind::Fail)), ("w0.1", delivered)];
        assert_eq!(aborted_read(&case(&lines, &[])).len(), 1);
    }

    #[test]
    fn an_attempt_without_an_answer_may_be_in_the_log() {
        let lines = [("p0", sent("p0-1")), ("p0", published("p0-1", Kind::Fail)), ("p0", sent("p0-1"))];
        let case = case(&lines, &[(0, 0, "p0-1")]);
        assert_eq!((aborted_read(&case), duplicate(&case)), (vec![], vec![]));
    }

    #[test]
    fn what_nobody_sent_is_unexpected() {
        let lines = [("w0.1", at(Deed::Deliver, Kind::Ok, "x-1", (0, 0)))];
        let findings = unexpected(&case(&lines, &[(0, 0, "x-1"), (0, 1, "x-2")]));
        assert_eq!(findings.iter().map(|finding| &*finding.what).collect::<Vec<_>>(), ["x-1", "x-2"]);
    }

    #[test]
    fn more_copies_than_attempts_are_duplicates() {
        let once = [("p0", sent("p0-1")), ("p0", published("p0-1", Kind::Ok).at(0, 0))];
        let truth = [(0, 0, "p0-1"), (0, 1, "p0-1")];
        assert_eq!(duplicate(&case(&once, &truth)).len(), 1);
        let twice = [
            ("p0", sent("p0-1")),
            ("p0", published("p0-1", Kind::Info)),
            ("p0", sent("p0-1")),
            ("p0", published("p0-1", Kind::Ok).at(0, 1)),
        ];
        let twice = case(&twice, &truth);
        assert_eq!((duplicate(&twice), twice.counts().duplicates), (vec![], 1));
    }

    #[test]
    fn one_copy_more_is_librdkafkas_where_another_record_timed_out_meanwhile() {
        let timed_out = |note: &str| published("p1-1", Kind::Info).note(note);
        let told = |publisher: &'static str, note: &str, copies: usize| {
            let lines = [
                ("p0", sent("p0-1")),
                (publisher, sent("p1-1")),
                (publisher, timed_out(note)),
                ("p0", published("p0-1", Kind::Ok).at(0, 0)),
            ];
            let truth = [(0, 0, "p0-1"), (0, 1, "p0-1"), (0, 2, "p0-1")];
            duplicate(&case(&lines, &truth[..copies])).len()
        };
        assert_eq!((told("p1", "504 outcome_unknown", 2), told("p1", "504 outcome_unknown", 3)), (0, 1));
        assert_eq!(told("p1", "the connection broke off", 2), 1, "nothing is known to have timed out");
        assert_eq!(told("control1", "MessageTimedOut", 2), 1, "another client");
        let itself =
            [("p0", sent("p0-1")), ("p0", published("p0-1", Kind::Info).note("504 outcome_unknown"))];
        let truth = [(0, 0, "p0-1"), (0, 1, "p0-1")];
        assert_eq!(duplicate(&case(&itself, &truth)).len(), 1, "nothing else timed out");
        let other = [
            ("p0", sent("p0-1")),
            ("p1", sent("p1-1")),
            ("p1", timed_out("504 outcome_unknown")),
            ("p0", published("p0-1", Kind::Info).note("504 outcome_unknown")),
        ];
        assert_eq!(duplicate(&case(&other, &truth)), [], "it timed out itself, later");
        let before = [
            ("p1", sent("p1-1")),
            ("p1", timed_out("504 outcome_unknown")),
            ("p0", sent("p0-1")),
            ("p0", published("p0-1", Kind::Ok).at(0, 0)),
        ];
        assert_eq!(duplicate(&case(&before, &truth)).len(), 1, "before it was sent");
    }

    #[test]
    fn of_a_key_what_was_sent_later_must_lie_later() {
        let lines = [
            ("p0", sent("p0-1")),
            ("p0", published("p0-1", Kind::Ok)),
            ("p0", sent("p0-2")),
            ("p0", published("p0-2", Kind::Ok)),
        ];
        assert_eq!(nonmonotonic_send(&case(&lines, &[(0, 0, "p0-2"), (0, 1, "p0-1")])).len(), 1);
        assert_eq!(nonmonotonic_send(&case(&lines, &[(0, 0, "p0-1"), (1, 1, "p0-2")])).len(), 1);
        assert_eq!(nonmonotonic_send(&case(&lines, &[(0, 0, "p0-1"), (0, 1, "p0-2")])), []);
    }

    #[test]
    fn what_was_sent_before_the_first_was_answered_has_no_order() {
        let lines = [
            ("p0", sent("p0-1")),
            ("p0", sent("p0-2")),
            ("p0", published("p0-1", Kind::Ok)),
            ("p0", published("p0-2", Kind::Ok)),
        ];
        assert_eq!(nonmonotonic_send(&case(&lines, &[(0, 0, "p0-2"), (0, 1, "p0-1")])), []);
    }

    #[test]
    fn one_offset_holds_one_event() {
        let lines = [
            ("p0", sent("p0-1")),
            ("p0", published("p0-1", Kind::Ok).at(0, 0)),
            ("w0.1", at(Deed::Deliver, Kind::Ok, "p0-2", (0, 0))),
        ];
        assert_eq!(divergent(&case(&lines, &[(0, 0, "p0-1")])).len(), 1);
        assert_eq!(divergent(&case(&lines[..2], &[(0, 0, "p0-3")])).len(), 1);
        assert_eq!(divergent(&case(&lines[..2], &[(0, 0, "p0-1")])), []);
    }

    #[test]
    fn what_was_stored_or_given_lies_where_it_was_said_to() {
        let of_place = |place: Option<(i32, i64)>| {
            let stored = || published("p0-1", Kind::Ok);
            let stored = place.map_or_else(stored, |(part, off)| stored().at(part, off));
            let case = case(&[("p0", sent("p0-1")), ("p0", stored)], &[(0, 0, "p0-1"), (0, 1, "p0-2")]);
            misplaced(&case).into_iter().map(|finding| finding.subject).collect::<Vec<_>>()
        };
        assert_eq!(of_place(Some((0, 0))), Vec::<String>::new());
        assert_eq!(of_place(Some((0, 1))), ["p0"], "another event lies there");
        assert_eq!(of_place(Some((0, 2))), ["p0"], "nothing lies there");
        assert_eq!(of_place(Some((1, 0))), ["p0"], "nothing lies in that partition");
        assert_eq!(of_place(None), ["p0"], "no place was told");
        let lines = [("w0.1", at(Deed::Deliver, Kind::Ok, "p0-1", (0, 7)))];
        assert_eq!(misplaced(&case(&lines, &[(0, 0, "p0-1")])).len(), 1);
    }

    #[test]
    fn other_bytes_than_those_sent_are_corrupt() {
        let delivered = at(Deed::Deliver, Kind::Ok, "p0-1", (0, 0)).sha(b"else");
        let lines = [("p0", sent("p0-1")), ("w0.1", delivered)];
        let mut case = case(&lines, &[(0, 0, "p0-1")]);
        assert_eq!(corrupt(&case).iter().map(|finding| &*finding.subject).collect::<Vec<_>>(), ["w0.1"]);
        case.truth[0].sha = String::new();
        assert_eq!(corrupt(&case).len(), 2);
    }
}
