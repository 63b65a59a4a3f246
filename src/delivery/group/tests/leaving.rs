//! Partitions that go: what is in flight settles, the last commit is made, and then they are given back.

use std::time::Duration;

use super::{Action, Beginning, CommitEnd, Progress, REDRIVEN, SLOT, Settlement, Story, Withdrawal, policy};

#[test]
fn a_last_commit_that_fails_is_tried_again_for_a_while() {
    let mut story = Story::begin(policy(), 2);
    story.ack(0);
    story.group.revoke(&[SLOT], story.now);
    story.group.settle(1, &Settlement::Ack(vec![story.tag_of(1)]), story.now);
    for millis in [0, 100, 200] {
        story.now.elapsed += Duration::from_millis(millis);
        let actions = story.group.pump(story.now);
        assert!(actions.iter().any(|action| matches!(action, Action::Commit(_))), "{millis}: {actions:?}");
        assert!(!actions.contains(&Action::GiveBack(SLOT)));
        story.group.committed(CommitEnd::Failed, story.now);
    }
    story.after(400);
    assert!(story.others.contains(&Action::GiveBack(SLOT)), "given back with its commit");
}

#[test]
fn a_gap_of_a_partition_that_goes_passes_over_nothing_that_was_read() {
    let mut story = Story::begin(policy(), 1);
    story.group.revoke(&[SLOT], story.now);
    story.records(1..3);
    story.group.gap(SLOT, 4, story.now);
    story.group.settle(1, &Settlement::Ack(vec![story.tag_of(0)]), story.now);
    let commits = story.group.pump(story.now).into_iter().find_map(|action| match action {
        Action::Commit(commits) => Some(commits),
        _ => None,
    });
    assert_eq!(commits.unwrap()[0].offset, 1);
}

#[test]
fn a_commit_without_what_came_back_counts_for_the_rest() {
    let mut story = Story::begin(policy(), 1);
    story.come_back(7..8);
    let tags = vec![story.tag_of(0), story.tag_of(7)];
    story.group.settle(1, &Settlement::Ack(tags), story.now);
    for expected in [&[SLOT, REDRIVEN][..], &[REDRIVEN], &[REDRIVEN]] {
        let mut committed = || {
            story.now.elapsed += Duration::from_secs(1);
            story.group.pump(story.now).into_iter().find_map(|action| match action {
                Action::Commit(commits) => Some(commits.into_iter().map(|one| one.slot).collect::<Vec<_>>()),
                _ => None,
            })
        };
        assert_eq!((0..10).find_map(|_| committed()).unwrap(), expected);
        story.group.committed(CommitEnd::Partly, story.now);
    }
}

#[test]
fn a_last_commit_that_is_never_answered_keeps_a_partition_for_a_bounded_time() {
    let mut story = Story::begin(policy(), 1);
    story.group.revoke(&[SLOT], story.now);
    story.group.settle(1, &Settlement::Ack(vec![story.tag_of(0)]), story.now);
    assert!(story.group.pump(story.now).iter().any(|action| matches!(action, Action::Commit(_))));
    for (millis, is_over) in [(1_999, false), (1, true)] {
        assert!(story.group.wake().is_some());
        story.now.elapsed += Duration::from_millis(millis);
        assert_eq!(story.group.pump(story.now).contains(&Action::GiveBack(SLOT)), is_over);
    }
    // Assigned again, it is not given back because of the old commit.
    story.group.assign(
        vec![Beginning { slot: SLOT, position: 0, committed: Some(0), progress: Progress::default() }],
        story.now,
    );
    story.group.revoke(&[SLOT], story.now);
    story.group.committed(CommitEnd::Refused, story.now);
    let is_held = !story.group.states(story.now).is_empty();
    assert!(is_held, "the old commit says nothing of the new assignment");
}

#[test]
fn a_last_commit_that_is_refused_for_good_is_not_tried_again() {
    let mut story = Story::begin(policy(), 1);
    story.group.revoke(&[SLOT], story.now);
    story.group.settle(1, &Settlement::Ack(vec![story.tag_of(0)]), story.now);
    assert!(story.group.pump(story.now).iter().any(|action| matches!(action, Action::Commit(_))));
    story.group.committed(CommitEnd::Refused, story.now);
    story.pump();
    assert!(story.others.contains(&Action::GiveBack(SLOT)));
}

#[test]
fn a_revoked_partition_settles_commits_and_then_goes() {
    let mut story = Story::begin(policy(), 2);
    story.group.revoke(&[SLOT], story.now);
    story.pump();
    assert!(!story.others.contains(&Action::GiveBack(SLOT)));
    story.ack(0);
    story.after(1_999);
    assert!(!story.others.contains(&Action::GiveBack(SLOT)));
    story.after(1);
    assert_eq!(story.withdrawn, [(vec![story.tag_of(1)], Withdrawal::Rebalance)]);
    assert!(story.others.contains(&Action::GiveBack(SLOT)));
    let stale = story.group.settle(1, &Settlement::Ack(vec![story.tag_of(1)]), story.now);
    assert_eq!(stale.len(), 1);
}
