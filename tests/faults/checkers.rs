//! Judges a run by its history and the truth: what lies in the log after all was healed.
//!
//! Pure functions, named as Jepsen names them. Each gives what it found, by whom it concerns; the control's findings make
//! a run void, the others make it fail. The tests of each show a history that violates it.

mod burying;
mod order;
mod presence;
mod publishing;
mod reading;
mod redriving;
mod settling;
mod stall;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{Deed, Entry, Kind};

pub(crate) use burying::unburied;
pub(crate) use stall::{Stall, WHOLE, stalls};

/// Clients beside the gateway have names that begin so.
pub(crate) const CONTROL: &str = "control";
/// Whose name a finding about the group as a whole has.
const GROUP: &str = "group";

/// A record as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) part: i32,
    pub(crate) off: i64,
    pub(crate) id: String,
    pub(crate) sha: String,
}

/// What is judged.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// By time.
    pub(crate) history: Vec<Entry>,
    /// By partition and offset.
    pub(crate) truth: Vec<Stored>,
    /// What lay in the log and was removed from it on purpose; it is part of the truth.
    pub(crate) removed: BTreeSet<(i32, i64)>,
    /// How many partitions the topic has.
    pub(crate) partitions: i32,
    /// Whether each of them has a control of its own.
    pub(crate) has_control: bool,
    /// Whether a group worked on the topic.
    pub(crate) has_group: bool,
    /// Those who followed the topic from its beginning.
    pub(crate) audiences: Vec<String>,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) checker: &'static str,
    /// Whose promise: the publisher, the reader, or `group`.
    pub(crate) subject: String,
    pub(crate) what: String,
}

/// What is legal and counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) stored: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    /// Of unknown outcome, and in the log.
    pub(crate) recovered: usize,
    /// Copies of events beyond the first.
    pub(crate) duplicates: usize,
    pub(crate) delivered: usize,
    /// Deliveries of what had been settled before.
    pub(crate) redelivered: usize,
}

/// What became of one event at its publisher.
#[derive(Debug, Default)]
struct Fate<'a> {
    publisher: &'a str,
    key: &'a str,
    sha: &'a str,
    first_invoke: u64,
    invokes: usize,
    oks: usize,
    fails: usize,
    ok_at: Option<u64>,
    /// When the last answer came that leaves it open.
    unknown_at: Option<u64>,
}

impl Fate<'_> {
    /// Attempts that may have stored it.
    const fn chances(&self) -> usize {
        self.invokes - self.fails
    }
}

impl Case {
    /// All that every run is judged by.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        [
            presence::idle(self),
            publishing::lost_write(self),
            publishing::aborted_read(self),
            publishing::unexpected(self),
            publishing::duplicate(self),
            publishing::nonmonotonic_send(self),
            publishing::divergent(self),
            publishing::misplaced(self),
            publishing::corrupt(self),
            reading::unseen(self),
            reading::nonmonotonic_poll(self),
            reading::poll_skip(self),
            order::overtake(self),
            settling::commit_ahead(self),
            settling::dual_owner(self),
            redriving::astray(self),
            redriving::overtake(self),
            redriving::unresolved(self),
        ]
        .concat()
    }

    /// What is counted of the gateway's clients.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts { redelivered: settling::redelivered(self), ..Counts::default() };
        let copies = self.copies();
        for (id, fate) in self.fates().iter().filter(|(_, fate)| !fate.publisher.starts_with(CONTROL)) {
            let in_log = copies.get(id).map_or(0, Vec::len);
            counts.duplicates += in_log.saturating_sub(1);
            match (fate.oks > 0, fate.chances() > 0) {
                (true, _) => counts.stored += 1,
                (false, true) => {
                    counts.unknown += 1;
                    counts.recovered += usize::from(in_log > 0);
                }
                (false, false) => counts.refused += 1,
            }
        }
        counts.delivered = self.of(Deed::Deliver, Kind::Ok).count();
        counts
    }

    /// Positions that are gone for good, and that someone of these readers was told to miss.
    fn told_missing(&self, is_theirs: impl Fn(&str) -> bool) -> BTreeSet<(i32, i64)> {
        let told = |(part, off): &(i32, i64)| {
            self.of(Deed::Gap, Kind::Ok).filter(|entry| is_theirs(&entry.proc)).any(|entry| {
                let from: i64 = entry.note.parse().unwrap();
                entry.part == Some(*part) && entry.off.is_some_and(|to| (from..to).contains(off))
            })
        };
        self.removed.iter().copied().filter(told).collect()
    }

    /// Whether this is a reader of the topic rather than a member of the group.
    fn is_audience(&self, proc: &str) -> bool {
        self.audiences.iter().any(|audience| audience == proc)
    }

    fn of(&self, f: Deed, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.history.iter().filter(move |entry| entry.is(f, kind))
    }

    /// Events by id, each with what became of it.
    fn fates(&self) -> BTreeMap<&str, Fate<'_>> {
        let mut fates: BTreeMap<&str, Fate<'_>> = BTreeMap::new();
        for entry in self.history.iter().filter(|entry| entry.f == Deed::Publish) {
            let fate = fates.entry(&entry.id).or_insert_with(|| Fate {
                publisher: &entry.proc,
                key: &entry.key,
                first_invoke: entry.t_mono,
                ..Fate::default()
            });
            match entry.kind {
                Kind::Invoke => {
                    fate.invokes += 1;
                    fate.sha = &entry.sha;
                }
                Kind::Ok => {
                    fate.oks += 1;
                    fate.ok_at.get_or_insert(entry.t_mono);
                }
                Kind::Fail => fate.fails += 1,
                Kind::Info => fate.unknown_at = Some(entry.t_mono),
            }
        }
        fates
    }

    /// Where each event lies, by offset.
    fn copies(&self) -> HashMap<&str, Vec<&Stored>> {
        let mut copies: HashMap<&str, Vec<&Stored>> = HashMap::new();
        for stored in &self.truth {
            copies.entry(&stored.id).or_default().push(stored);
        }
        copies
    }

    /// Offsets of each partition.
    fn offsets(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for stored in &self.truth {
            offsets.entry(stored.part).or_default().push(stored.off);
        }
        offsets
    }
}

/// Behind the last record of each partition.
pub(crate) fn ends(truth: &[Stored]) -> Vec<(i32, i64)> {
    let ends: BTreeMap<i32, i64> = truth.iter().map(|stored| (stored.part, stored.off + 1)).collect();
    ends.into_iter().collect()
}

fn finding(checker: &'static str, subject: &str, what: String) -> Finding {
    Finding { checker, subject: subject.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, Case, Counts, Deed, Entry, Kind, Stored};

    /// A history where line `n` is at time `n`.
    pub(super) fn case(lines: &[(&str, Entry)], truth: &[(i32, i64, &str)]) -> Case {
        let at = |(time, (proc, entry)): (u64, &(&str, Entry))| Entry {
            t_mono: time,
            proc: (*proc).to_owned(),
            ..entry.clone()
        };
        let stored = |(part, off, id): &(i32, i64, &str)| Stored {
            part: *part,
            off: *off,
            id: (*id).to_owned(),
            sha: super::super::history::sha(id.as_bytes()),
        };
        Case {
            history: (0..).zip(lines).map(at).collect(),
            truth: truth.iter().map(stored).collect(),
            removed: BTreeSet::new(),
            partitions: 0,
            has_control: true,
            has_group: false,
            audiences: Vec::new(),
        }
    }

    /// `id` is sent; its bytes are its name, its key is what comes before the dash.
    pub(super) fn sent(id: &str) -> Entry {
        let key = id.split('-').next().unwrap();
        Entry::new(Deed::Publish, Kind::Invoke).event(id, key).sha(id.as_bytes())
    }

    pub(super) fn published(id: &str, kind: Kind) -> Entry {
        Entry { sha: String::new(), kind, ..sent(id) }
    }

    pub(super) fn at(f: Deed, kind: Kind, id: &str, (part, off): (i32, i64)) -> Entry {
        Entry::new(f, kind).event(id, "").at(part, off).attempt(1).sha(id.as_bytes())
    }

    /// What lies in the log where a group or an audience is judged: an offset is missing.
    pub(super) const TRUTH: &[(i32, i64, &str)] = &[(0, 0, "p0-1"), (0, 1, "p0-2"), (0, 3, "p0-3")];

    /// A group's history with that log.
    pub(super) fn group(lines: &[(&str, Entry)]) -> Case {
        Case { has_group: true, ..case(lines, TRUTH) }
    }

    pub(super) fn deliver(off: i64) -> Entry {
        at(Deed::Deliver, Kind::Ok, "", (0, off))
    }

    pub(super) fn names(findings: &[super::Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.checker).collect()
    }

    #[test]
    fn a_run_without_faults_has_no_findings() {
        let mut case = case(
            &[
                ("p0", sent("p0-1")),
                ("p0", published("p0-1", Kind::Ok).at(0, 0)),
                ("w0.1", at(Deed::Deliver, Kind::Ok, "p0-1", (0, 0))),
                ("w0.1", at(Deed::Ack, Kind::Invoke, "p0-1", (0, 0))),
                ("w0.1", at(Deed::Ack, Kind::Ok, "p0-1", (0, 0))),
                ("a0", at(Deed::Follow, Kind::Ok, "p0-1", (0, 0))),
                ("commits", Entry::new(Deed::Commit, Kind::Ok).at(0, 1)),
                ("p0", sent("p0-2")),
                ("p0", published("p0-2", Kind::Fail)),
                ("p0", sent("p0-3")),
                ("p0", published("p0-3", Kind::Info)),
                ("w0.1", at(Deed::Deliver, Kind::Ok, "p0-3", (0, 1))),
                ("a0", at(Deed::Follow, Kind::Ok, "p0-3", (0, 1))),
            ],
            &[(0, 0, "p0-1"), (0, 1, "p0-3")],
        );
        (case.has_group, case.audiences) = (true, vec!["a0".to_owned()]);
        assert_eq!(case.findings(), []);
        let counts =
            Counts { stored: 1, refused: 1, unknown: 1, recovered: 1, delivered: 2, ..Counts::default() };
        assert_eq!(case.counts(), counts);
    }

    #[test]
    fn an_empty_history_against_a_full_log_is_no_pass() {
        let mut case = case(&[], &[(0, 0, "p0-1")]);
        (case.has_group, case.audiences) = (true, vec!["a0".to_owned()]);
        assert_eq!(names(&case.findings()), ["idle", "unexpected", "unseen", "unseen"]);
    }
}
