//! Partitions that stop at a record without attempts.

use crate::delivery::resumes::{GivenUp, Kept, Resumed};
use crate::event::{Offset, Partition, Topic};

use super::{
    Action, Attempts, Exhausted, Ordering, Policy, Progress, Reason, Settlement, Story, Timestamp, policy,
};

fn halting() -> Policy {
    let topics = vec![Topic::parse("orders.v1").unwrap()];
    Policy { topics, on_exhausted: Exhausted::Halt, max_retries: 1, ..policy() }
}

fn giving_up(sequence: u64, offset: u64, at: Timestamp) -> Resumed {
    let (topic, partition) = (halting().topics[0].clone(), Partition::new(super::SLOT.partition));
    let place = GivenUp { topic, partition, offset: Offset::new(offset) };
    let given_up = [Kept { place, at }].into();
    Resumed { sequence, at, given_up }
}

fn exhausted(count: u32) -> Progress {
    let attempts = Attempts { count, first_failed: Timestamp::from_millis(0) };
    Progress { attempts: [(0, attempts)].into(), ..Progress::default() }
}

impl Story {
    fn fail_to_the_end(&mut self, offset: u64) {
        self.nack(offset);
        self.after(100);
        self.nack(offset);
    }

    fn resume(&mut self, sequence: u64) {
        self.group.resume(Resumed { sequence, at: self.now.wall, given_up: [].into() }, self.now);
        self.pump();
    }

    fn halted(&self) -> Vec<(u64, u32)> {
        let halted = self.others.iter().filter_map(|action| match action {
            Action::Halted(one) => Some((one.offset, one.attempts)),
            _ => None,
        });
        halted.collect()
    }

    fn blocked(&self) -> Vec<(u64, &'static str)> {
        let states = self.group.states(self.now);
        states[0].blocked.iter().map(|one| (one.offset, one.reason)).collect()
    }
}

#[test]
fn the_partition_stops_after_the_last_retry_and_nothing_dies() {
    let mut story = Story::begin(halting(), 3);
    story.fail_to_the_end(0);
    assert_eq!((story.halted(), story.buried()), (vec![(0, 2)], vec![]));
    let sent = story.sent.len();
    story.after(3_600_000);
    assert_eq!(story.sent.len(), sent);
    assert_eq!(story.blocked(), [(0, "halted")]);
    let gauges = story.group.gauges(story.now);
    assert!(gauges[0].is_halted);
    assert_eq!(gauges[0].blocked.as_millis(), 3_600_100, "since its first failure");
}

#[test]
fn a_resumed_record_has_all_its_attempts_and_its_followers_come_after_it() {
    let mut story = Story::begin(Policy { lane_window: 1, ..halting() }, 2);
    story.fail_to_the_end(0);
    story.resume(1);
    assert_eq!(story.sent_offsets().last(), Some(&(0, 1)));
    story.fail_to_the_end(0);
    assert_eq!(story.halted(), [(0, 2), (0, 2)]);
    story.resume(1);
    assert_eq!(story.sent_offsets().last(), Some(&(0, 2)), "told twice");
    story.resume(2);
    story.ack(0);
    assert_eq!(story.sent_offsets().last(), Some(&(1, 1)));
    assert_eq!(story.blocked(), []);
}

#[test]
fn a_resumed_record_waits_until_its_new_attempts_are_durable() {
    let mut story = Story::begin(halting(), 1);
    story.fail_to_the_end(0);
    story.after(2_000);
    story.group.resume(Resumed { sequence: 1, at: story.now.wall, given_up: [].into() }, story.now);
    let actions = story.group.pump(story.now);
    assert!(actions.iter().any(|one| matches!(one, Action::Commit(_))), "at once: {actions:?}");
    assert!(!actions.iter().any(|one| matches!(one, Action::Send(_))));
    story.group.committed(super::CommitEnd::Done, story.now);
    story.pump();
    assert_eq!(story.sent_offsets().last(), Some(&(0, 1)));
}

#[test]
fn other_lanes_of_the_partition_may_settle_and_get_nothing_new() {
    let unordered = Policy { ordering: Ordering::None, unsettled_per_partition_max: 4, ..halting() };
    let mut story = Story::begin(unordered, 10);
    story.fail_to_the_end(0);
    let sent = story.sent.len();
    story.ack(1);
    story.ack(2);
    story.nack(3);
    story.after(60_000);
    assert_eq!(story.sent.len(), sent);
    assert_eq!(story.blocked(), [(0, "halted"), (3, "retrying")]);
    story.resume(1);
    let again: Vec<(u64, u32)> = story.sent_offsets().split_off(sent);
    assert!(again.contains(&(0, 1)) && again.contains(&(3, 2)) && again.contains(&(4, 1)), "{again:?}");
}

#[test]
fn a_partition_halts_again_without_a_try_after_a_crash() {
    let mut story = Story::restored(halting(), 2, exhausted(2));
    assert_eq!((story.halted(), story.sent_offsets()), (vec![(0, 2)], vec![]));
    story.resume(1);
    assert_eq!(story.sent_offsets(), [(0, 1), (1, 1)]);
}

#[test]
fn what_was_resumed_while_nobody_had_the_partition_is_tried() {
    let mut story = Story::begin(halting(), 0);
    story.group.set_resumed(Some(Resumed {
        sequence: 7,
        at: Timestamp::from_millis(0),
        given_up: [].into(),
    }));
    story.group.lose(&[super::SLOT], story.now);
    story.assign(exhausted(2));
    story.records(0..2);
    story.pump();
    assert_eq!((story.halted(), story.sent_offsets()), (vec![], vec![(0, 1), (1, 1)]));
}

#[test]
fn a_record_that_is_given_up_is_a_dead_letter_and_its_followers_go_on() {
    let mut story = Story::begin(Policy { lane_window: 1, ..halting() }, 2);
    story.fail_to_the_end(0);
    story.group.resume(giving_up(1, 0, story.now.wall), story.now);
    story.pump();
    assert_eq!(story.buried(), [(0, Reason::RetriesExhausted, 2)]);
    assert_eq!(story.sent_offsets().last(), Some(&(1, 1)));
    assert_eq!(story.blocked(), []);
}

#[test]
fn what_is_given_up_while_it_is_retried_dies_with_its_last_attempt_and_not_later() {
    let mut story = Story::begin(halting(), 2);
    story.nack(0);
    story.group.resume(giving_up(1, 0, story.now.wall), story.now);
    story.after(100);
    assert_eq!(story.buried(), [], "it may still succeed");
    story.nack(0);
    assert_eq!((story.halted(), story.buried()), (vec![], vec![(0, Reason::RetriesExhausted, 2)]));
}

#[test]
fn what_was_given_up_while_nobody_had_the_partition_is_a_dead_letter_once() {
    let mut story = Story::begin(halting(), 0);
    story.group.set_resumed(Some(giving_up(7, 0, Timestamp::from_millis(0))));
    story.group.lose(&[super::SLOT], story.now);
    story.assign(exhausted(2));
    story.records(0..2);
    story.pump();
    assert_eq!((story.halted(), story.buried()), (vec![], vec![(0, Reason::RetriesExhausted, 2)]));
    // One that fails later, as after a reset, was not meant.
    let mut story = Story::begin(halting(), 0);
    story.group.set_resumed(Some(giving_up(7, 0, Timestamp::from_millis(-1))));
    story.group.lose(&[super::SLOT], story.now);
    story.assign(exhausted(2));
    story.records(0..2);
    story.pump();
    assert_eq!((story.halted(), story.buried()), (vec![(0, 2)], vec![]));
}

#[test]
fn what_failed_since_the_group_was_resumed_halts() {
    let mut story = Story::begin(halting(), 0);
    story.group.set_resumed(Some(Resumed {
        sequence: 7,
        at: Timestamp::from_millis(-1),
        given_up: [].into(),
    }));
    story.group.lose(&[super::SLOT], story.now);
    story.assign(exhausted(2));
    story.records(0..2);
    story.pump();
    assert_eq!((story.halted(), story.sent_offsets()), (vec![(0, 2)], vec![]));
}

#[test]
fn a_policy_that_no_longer_halts_hands_the_record_to_the_dead_letters() {
    let mut story = Story::begin(Policy { lane_window: 1, ..halting() }, 2);
    story.fail_to_the_end(0);
    story.group.set_policy(policy().into(), story.now);
    story.pump();
    assert_eq!(story.buried(), [(0, Reason::RetriesExhausted, 2)]);
    assert_eq!(story.sent_offsets().last(), Some(&(1, 1)));
}

#[test]
fn what_is_rejected_is_dead_lettered_all_the_same() {
    let mut story = Story::begin(halting(), 2);
    story.say(&Settlement::Reject { tag: story.tag_of(0), reason: None });
    assert_eq!((story.halted(), story.buried().len()), (vec![], 1));
}

#[test]
fn a_letter_that_came_back_and_fails_is_a_letter_again_and_halts_nothing() {
    let mut story = Story::begin(halting(), 1);
    story.come_back(7..8);
    story.fail_to_the_end(7);
    assert_eq!((story.halted(), story.blocked()), (vec![], vec![]));
    let is_buried =
        |action: &Action| matches!(action, Action::Bury(burial) if burial.record.offset.number() == 7);
    assert!(story.others.iter().any(is_buried));
}
