//! Partitions that are moved to another offset.

use crate::delivery::State;

use super::{Action, CommitEnd, Policy, SLOT, Settlement, Story, Withdrawal, policy};

impl Story {
    fn reset(&mut self, position: u64, sequence: u64) {
        self.group.reset(SLOT, position, sequence, self.now);
        self.pump();
    }
}

#[test]
fn a_moved_partition_begins_anew_and_knows_nothing_of_before() {
    let mut story = Story::begin(policy(), 4);
    story.nack(0);
    story.after(100);
    story.ack(0);
    let old = story.tag_of(2);
    story.withdrawn.clear();
    story.reset(0, 1);
    assert_eq!(story.withdrawn.len(), 1);
    assert_eq!((story.withdrawn[0].0.len(), story.withdrawn[0].1), (3, Withdrawal::Reset));
    let late = story.group.settle(1, &Settlement::Ack(vec![old]), story.now);
    assert_eq!(late.iter().map(|one| one.state).collect::<Vec<_>>(), [State::Stale]);
    story.sent.clear();
    story.records(0..4);
    story.pump();
    assert_eq!(story.sent_offsets(), [(0, 1), (1, 1), (2, 1), (3, 1)]);
    story.ack(2);
    story.ack(0);
}

#[test]
fn a_move_is_committed_at_once_and_is_done_when_that_is_durable() {
    let mut story = Story::begin(policy(), 2);
    assert_eq!(story.group.unmoved(1).collect::<Vec<_>>(), [SLOT]);
    story.group.reset(SLOT, 7, 1, story.now);
    assert_eq!(story.group.unmoved(1).count() + story.group.moved(1).count(), 0, "neither");
    let commits: Vec<_> = story.group.pump(story.now);
    let commit = commits.iter().find_map(|action| match action {
        Action::Commit(commits) => commits.first(),
        _ => None,
    });
    let commit = commit.expect("no interval is waited for");
    assert_eq!((commit.offset, commit.metadata.as_str()), (7, ""));
    story.group.committed(CommitEnd::Failed, story.now);
    assert_eq!(story.group.moved(1).count(), 0);
    story.after(100);
    assert_eq!(story.group.moved(1).collect::<Vec<_>>(), [SLOT]);
    assert_eq!(story.group.unmoved(2).collect::<Vec<_>>(), [SLOT], "the next reset moves it again");
}

#[test]
fn a_held_partition_that_is_moved_is_read_again() {
    let bounded = Policy { unsettled_per_partition_max: 2, ..policy() };
    let mut story = Story::begin(bounded, 4);
    assert_eq!(story.others, [Action::Hold(SLOT)]);
    story.reset(9, 1);
    assert_eq!(story.others, [Action::Hold(SLOT), Action::Release(SLOT)]);
}

#[test]
fn a_letter_written_for_a_record_of_before_settles_nothing_now() {
    let mut story = Story::begin(policy(), 2);
    let epoch = story.tag_of(0).epoch;
    let reject = Settlement::Reject { tag: story.tag_of(0), reason: None };
    story.group.settle(1, &reject, story.now);
    story.group.reset(SLOT, 0, 1, story.now);
    story.group.buried(SLOT, epoch, 0, story.now);
    story.sent.clear();
    story.others.clear();
    story.records(0..1);
    story.group.pump(story.now).into_iter().for_each(|action| {
        if let Action::Send(outgoing) = action {
            story.sent.push(outgoing);
        }
    });
    assert_eq!(story.sent_offsets(), [(0, 1)]);
}

#[test]
fn a_partition_that_must_go_is_not_moved_any_more() {
    let mut story = Story::begin(policy(), 2);
    story.group.revoke(&[SLOT], story.now);
    assert_eq!(story.group.unmoved(1).count(), 0);
    story.reset(7, 1);
    assert_eq!(story.withdrawn, []);
}
