//! From what is known at the end of a run to passed, failed, or void.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::checkers::{CONTROL, Case, Counts, Finding, Stall, Stored, WHOLE, ends, stalls, unburied};
use crate::gateways::REDELIVERED_MAX;
use crate::history::{Deed, Entry};
use crate::{is_long, promised, rounds};

/// A run that has ended, not judged yet.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) name: &'static str,
    pub(crate) took: Duration,
    pub(crate) case: Case,
    /// Whether every reader came to the end of the log.
    pub(crate) is_drained: bool,
    /// What the group has committed, after all gateways left.
    pub(crate) committed: Vec<(i32, i64)>,
    /// Its dead letters.
    pub(crate) letters: Vec<Stored>,
    /// Those that were taken away on purpose.
    pub(crate) taken: Vec<Stored>,
    /// What was sent back to it of those.
    pub(crate) redriven: Vec<Stored>,
    /// The histories and the gateways' logs; kept where the run does not pass.
    pub(crate) directory: PathBuf,
}

/// What a run that passed came to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) case: Case,
    pub(crate) counts: Counts,
    pub(crate) letters: Vec<Stored>,
    pub(crate) redriven: Vec<Stored>,
    directory: PathBuf,
}

/// How much longer than the control a publisher may stand still: the figure, and on a machine that does other things.
const SLACK: Duration = Duration::from_secs(1);
const SLACK_BUSY: Duration = Duration::from_secs(30);

impl Verdict {
    /// The longest time of a publisher without an event stored, of all or of those of one partition, as far as it lies
    /// within a window: through the gateways, and past them.
    fn stall(&self, part: Option<i32>, window: &Range<u64>) -> (Option<Duration>, Option<Duration>) {
        let mut stalls = stalls(&self.case.history, window);
        stalls.retain(|stall| part.is_none() || stall.part == part);
        let (control, others): (Vec<&Stall>, Vec<&Stall>) =
            stalls.iter().partition(|stall| stall.publisher.starts_with(CONTROL));
        let longest = |stalls: &[&Stall]| stalls.iter().map(|stall| stall.longest).max();
        (longest(&others), longest(&control))
    }

    /// Fails if in some window publishers of some partition stood still through the gateways for longer than past them,
    /// beyond some slack, or for longer than `most`. Where the control itself stood still for longer than that, nothing can
    /// be said of `most`: in the long form the run is void. In the short form, among other tests, both may be some seconds more.
    pub(crate) fn assert_stalls(&self, fault: &str, windows: &[Range<u64>], most: Option<Duration>) {
        self.assert_stalls_in_form(is_long(), fault, windows, most);
    }

    #[expect(clippy::print_stdout, reason = "these are figures to be reported")]
    fn assert_stalls_in_form(
        &self,
        is_long: bool,
        fault: &str,
        windows: &[Range<u64>],
        most: Option<Duration>,
    ) {
        assert!(!windows.is_empty(), "{fault}: it happened");
        for window in windows {
            for part in 0..self.case.partitions {
                let (stall, control) = self.stall(Some(part), window);
                let stall = stall.expect("someone publishes there");
                let control = control.expect("the control does, too");
                println!(
                    "{fault}: partition {part} stood still for {stall:.1?}, past the gateways {control:.1?}"
                );
                assert!(
                    !is_long || most.is_none_or(|most| control <= most),
                    "void: {fault}: the control of partition {part} stood still for {control:?}"
                );
                let beside = control + if is_long { SLACK } else { SLACK_BUSY };
                let busy = if is_long { Duration::ZERO } else { SLACK_BUSY.saturating_sub(SLACK) };
                let most =
                    most.filter(|most| control <= *most).map_or(beside, |most| (most + busy).min(beside));
                assert!(
                    stall <= most,
                    "{fault}: partition {part} stood still for {stall:?}, that of the control for {control:?}"
                );
            }
        }
    }

    /// Fails if something is stored twice though the log answered in time, or more was given again after it was settled than
    /// this, and than gateways gave again that were not heard in time. Both happen on a machine that does other things, and are
    /// judged there by the checkers.
    pub(crate) fn assert_nothing_repeated(&self, redelivered_max: usize) {
        let (counts, losses) = (self.counts, self.losses());
        assert!(
            losses == 0 || !is_long(),
            "{losses} times the group gave a gateway's partitions to others: {}",
            self.directory.display()
        );
        assert!(counts.duplicates == 0 || self.has_timed_out(), "{counts:?}");
        let redelivered_max = redelivered_max + losses * REDELIVERED_MAX;
        assert!(counts.redelivered <= redelivered_max, "{counts:?} after {losses} losses");
    }

    /// Whether the log did not answer some publisher in time. Then librdkafka may send again what was under way.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.case.history.iter().any(Entry::has_timed_out)
    }

    /// How often gateways heard that the group had given their partitions to others.
    pub(crate) fn losses(&self) -> usize {
        self.case.history.iter().filter(|entry| entry.f == Deed::Lose).count()
    }

    /// Answers that put the blame on the publisher, who is never at fault here, or on the gateway.
    pub(crate) fn refusals(&self) -> Vec<&Entry> {
        let blamed = |entry: &&Entry| {
            entry.f == Deed::Publish && (entry.note.starts_with('4') || entry.note.starts_with("500"))
        };
        self.case.history.iter().filter(blamed).collect()
    }
}

impl Drop for Verdict {
    /// Keeps the histories of a run that does not pass.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}

impl Ended {
    /// Fails on any broken promise; as void where the control failed, or stood still for longer than it may.
    pub(crate) fn judge(self, control_stall_max: Duration) -> Verdict {
        self.judge_within(promised(control_stall_max))
    }

    #[expect(clippy::print_stdout, reason = "what a run came to is what the long form is run for")]
    fn judge_within(self, control_stall_max: Duration) -> Verdict {
        let case = self.case;
        let Self { letters, taken, redriven, directory, .. } = self;
        let mut findings = case.findings();
        findings.extend(unburied(&case, &[letters.as_slice(), &taken].concat()));
        let (void, broken): (Vec<Finding>, Vec<Finding>) =
            findings.into_iter().partition(|finding| finding.subject.starts_with(CONTROL));
        let verdict = Verdict { counts: case.counts(), case, letters, redriven, directory };
        let (counts, case) = (verdict.counts, &verdict.case);
        let (stall, control_stall) = verdict.stall(None, &WHOLE);
        let (stall, control_stall) = (stall.unwrap_or_default(), control_stall.unwrap_or_default());
        let events = case.truth.len();
        println!(
            "{}: n = {}, 3/n = {:.2}; {events} events in the log, {counts:?}; longest stall {stall:.1?}, of the control {control_stall:.1?}; took {:.0?}",
            self.name,
            rounds(),
            // Bounds the failures a round at 95 % confidence, when there was none.
            3.0 / f64::from(rounds()),
            self.took
        );
        let shown = verdict.directory.display();
        let first = |findings: &[Finding]| format!("{:#?}\n{shown}", &findings[..findings.len().min(10)]);
        assert!(void.is_empty(), "void: the control failed, {} findings: {}", void.len(), first(&void));
        assert!(
            control_stall <= control_stall_max,
            "void: the control stood still for {control_stall:?}; {shown}"
        );
        assert!(broken.is_empty(), "{} findings: {}", broken.len(), first(&broken));
        assert!(self.is_drained, "not everything was settled in time: {shown}");
        assert_eq!(self.committed, ends(&case.truth), "all is committed in the end: {shown}");
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Case, Deed, Duration, Ended, Entry, Stored, WHOLE};
    use crate::history::{Kind, sha};

    /// A run of one partition: what the control and a publisher stored at once was followed, settled and committed.
    fn whole() -> Ended {
        let (mut history, mut truth) = (Vec::new(), Vec::new());
        for (off, proc) in [(0, "control0"), (1, "p0")] {
            let id = format!("{proc}-1");
            let entry = |proc: &str, f, kind| Entry {
                proc: proc.to_owned(),
                ..Entry::new(f, kind).event(&id, proc).at(0, off).sha(id.as_bytes())
            };
            history.extend([
                entry(proc, Deed::Publish, Kind::Invoke),
                entry(proc, Deed::Publish, Kind::Ok),
                entry("control-reader", Deed::Follow, Kind::Ok),
                entry("w0", Deed::Deliver, Kind::Ok),
                entry("w0", Deed::Ack, Kind::Invoke),
                entry("w0", Deed::Ack, Kind::Ok),
                entry("commits", Deed::Commit, Kind::Ok).at(0, off + 1),
            ]);
            truth.push(Stored { part: 0, off, sha: sha(id.as_bytes()), id });
        }
        let audiences = vec!["control-reader".to_owned()];
        Ended {
            name: "test",
            took: Duration::ZERO,
            case: Case {
                history,
                truth,
                removed: BTreeSet::new(),
                partitions: 1,
                has_control: true,
                has_group: true,
                audiences,
            },
            is_drained: true,
            committed: vec![(0, 2)],
            letters: Vec::new(),
            taken: Vec::new(),
            redriven: Vec::new(),
            directory: "no-such-directory".into(),
        }
    }

    /// The same, in which someone publishes one event more.
    fn with(proc: &str, kinds: &[(u64, Kind)]) -> Ended {
        let mut ended = whole();
        ended.case.history.extend(kinds.iter().map(|(t_mono, kind)| Entry {
            t_mono: *t_mono,
            proc: proc.to_owned(),
            ..Entry::new(Deed::Publish, *kind).event(&format!("{proc}-2"), proc)
        }));
        ended
    }

    /// The same, in which someone did nothing.
    fn without(proc: &str) -> Ended {
        let mut ended = whole();
        ended.case.history.retain(|entry| entry.proc != proc);
        ended
    }

    const LOST: &[(u64, Kind)] = &[(0, Kind::Invoke), (1, Kind::Ok)];
    const REFUSED: &[(u64, Kind)] = &[(0, Kind::Invoke), (9_000_000, Kind::Fail)];
    const REFUSED_LATE: &[(u64, Kind)] = &[(0, Kind::Invoke), (37_000_000, Kind::Fail)];

    #[test]
    #[should_panic(expected = "void: the control failed")]
    fn a_run_whose_control_loses_an_event_is_void() {
        with("control0", LOST).judge(Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "void: the control failed")]
    fn a_run_without_a_control_is_void() {
        without("control0").judge(Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "void: the control failed")]
    fn a_run_whose_control_is_not_read_is_void() {
        without("control-reader").judge(Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "void: the control stood still for 9s")]
    fn a_run_whose_control_stands_still_for_too_long_is_void() {
        with("control0", REFUSED).judge_within(Duration::from_secs(8));
    }

    #[test]
    #[should_panic(expected = "lost-write")]
    fn a_run_that_loses_an_event_fails() {
        with("p0", LOST).judge(Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "unburied")]
    fn a_run_that_passes_a_rejected_event_without_a_letter_fails() {
        let mut ended = whole();
        let poison = |name: &mut String| *name = name.replace("p0-1", "poison-1");
        ended.case.history.iter_mut().for_each(|entry| poison(&mut entry.id));
        ended.case.truth.iter_mut().for_each(|stored| poison(&mut stored.id));
        ended.judge(Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "committed nothing of 0")]
    fn a_run_whose_commits_nobody_saw_fails() {
        without("commits").judge(Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "all is committed in the end")]
    fn a_run_that_leaves_a_wrong_commit_fails() {
        let ended = Ended { committed: vec![(0, 7)], ..whole() };
        ended.judge(Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "partition 0 stood still for 37s, that of the control for 0")]
    fn a_stall_longer_than_the_controls_fails() {
        with("p0", REFUSED_LATE).judge(Duration::from_secs(1)).assert_stalls("test", &[WHOLE], None);
    }

    #[test]
    fn of_a_window_in_which_the_control_stood_still_for_too_long_only_the_difference_is_judged() {
        let mut ended = with("p0", REFUSED);
        ended.case.history.extend(with("control0", REFUSED).case.history.split_off(14));
        let verdict = ended.judge(Duration::from_secs(9));
        verdict.assert_stalls_in_form(false, "test", &[WHOLE], Some(Duration::from_secs(8)));
    }

    #[test]
    #[should_panic(expected = "void: test: the control of partition 0 stood still for 9s")]
    fn in_the_long_form_such_a_window_is_void() {
        let mut ended = with("p0", REFUSED);
        ended.case.history.extend(with("control0", REFUSED).case.history.split_off(14));
        let verdict = ended.judge(Duration::from_secs(9));
        verdict.assert_stalls_in_form(true, "test", &[WHOLE], None);
        verdict.assert_stalls_in_form(true, "test", &[WHOLE], Some(Duration::from_secs(8)));
    }

    #[test]
    #[should_panic(expected = "partition 0 stood still for 37s, that of the control for 7.5s")]
    fn a_stall_within_the_slack_that_is_longer_than_the_most_there_may_be_fails() {
        let mut ended = with("p0", REFUSED_LATE);
        let refused = with("control0", &[(0, Kind::Invoke), (7_500_000, Kind::Fail)]);
        ended.case.history.extend(refused.case.history.into_iter().skip(14));
        let verdict = ended.judge(Duration::from_secs(9));
        verdict.assert_stalls_in_form(false, "test", &[WHOLE], Some(Duration::from_millis(7_800)));
    }

    #[test]
    fn a_run_that_keeps_its_promises_passes() {
        let verdict = with("p0", REFUSED).judge(Duration::from_secs(1));
        assert_eq!(
            (verdict.counts.refused, verdict.stall(None, &WHOLE).0),
            (1, Some(Duration::from_secs(9)))
        );
    }
}
