//! Whether everybody did something without whom a run proves nothing.

use crate::history::{Deed, Entry, Kind};

use super::{CONTROL, Case, Finding, GROUP, finding};

/// Nothing is in the log, or in some partition the control or no publisher stored anything, or the group was given or
/// committed nothing there, or someone who should have followed was shown nothing.
pub(super) fn idle(case: &Case) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut expect = |did: bool, subject: &str, what: String| {
        if !did {
            findings.push(finding("idle", subject, what));
        }
    };
    expect(!case.truth.is_empty(), "log", "nothing is stored".to_owned());
    for part in 0..case.partitions {
        let did = |f, is_theirs: &dyn Fn(&Entry) -> bool| {
            case.of(f, Kind::Ok).any(|entry| entry.part == Some(part) && is_theirs(entry))
        };
        let control = format!("{CONTROL}{part}");
        if case.has_control {
            expect(did(Deed::Publish, &|entry| entry.proc == control), &control, "stored nothing".to_owned());
        }
        let is_others = |entry: &Entry| !entry.proc.starts_with(CONTROL);
        expect(did(Deed::Publish, &is_others), "publishers", format!("stored nothing in {part}"));
        if case.has_group {
            expect(did(Deed::Deliver, &|_| true), GROUP, format!("was given nothing of {part}"));
            expect(did(Deed::Commit, &|_| true), GROUP, format!("committed nothing of {part}"));
        }
    }
    for audience in &case.audiences {
        let has_followed = case.of(Deed::Follow, Kind::Ok).any(|entry| entry.proc == *audience);
        expect(has_followed, audience, "was shown nothing".to_owned());
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, case, deliver, published};
    use super::{Case, Deed, Entry, Kind, idle};

    #[test]
    fn who_did_nothing_is_named() {
        let lines = [
            ("control0", published("control0-1", Kind::Ok).at(0, 0)),
            ("p0", published("p0-1", Kind::Ok).at(0, 1)),
            ("w0.1", deliver(0)),
            ("commits", Entry::new(Deed::Commit, Kind::Ok).at(0, 1)),
            ("control-reader", at(Deed::Follow, Kind::Ok, "control0-1", (0, 0))),
        ];
        let idle_of = |lines: &[(&str, Entry)]| {
            let case = case(lines, &[(0, 0, "control0-1")]);
            let audiences = vec!["control-reader".to_owned()];
            let findings = idle(&Case { partitions: 1, has_group: true, audiences, ..case });
            findings.into_iter().map(|finding| finding.subject).collect::<Vec<_>>()
        };
        assert_eq!(idle_of(&lines), Vec::<String>::new());
        let subjects = ["control0", "publishers", "group", "group", "control-reader"];
        for (missing, subject) in subjects.into_iter().enumerate() {
            let mut lines = lines.to_vec();
            lines.remove(missing);
            assert_eq!(idle_of(&lines), [subject]);
        }
        assert_eq!(idle_of(&[]), subjects);
    }

    #[test]
    fn an_empty_log_proves_nothing() {
        let findings = idle(&Case::default());
        assert_eq!(findings.iter().map(|finding| &*finding.what).collect::<Vec<_>>(), ["nothing is stored"]);
    }

    #[test]
    fn every_partition_is_asked_for() {
        let lines = [("control0", published("control0-1", Kind::Ok).at(0, 0))];
        let case = Case { partitions: 2, ..case(&lines, &[(0, 0, "control0-1")]) };
        let subjects: Vec<String> = idle(&case).into_iter().map(|finding| finding.subject).collect();
        assert_eq!(subjects, ["publishers", "control1", "publishers"]);
    }
}
