//! The group while its consumer is down.

use std::time::Duration;

use crate::delivery::resumes::Resumed;

use super::{Action, How, Ordering, Policy, Settlement, Story, policy};

fn unordered(max_retries: u32) -> Policy {
    Policy { ordering: Ordering::None, max_retries, ..policy() }
}

impl Story {
    fn breaker(&self) -> Vec<bool> {
        let states = self.others.iter().filter_map(|action| match action {
            Action::Breaker { opened } => Some(opened.is_some()),
            _ => None,
        });
        states.collect()
    }

    /// What was sent since the last look.
    fn newly_sent(&mut self) -> Vec<(u64, u32)> {
        let sent = self.sent_offsets();
        sent[std::mem::replace(&mut self.seen, sent.len())..].to_vec()
    }
}

#[test]
fn nothing_is_given_up_from_the_failure_that_opens_the_breaker() {
    let mut story = Story::begin(unordered(0), 30);
    story.newly_sent();
    for offset in 0..30 {
        story.nack(offset);
    }
    assert_eq!(story.buried().len(), 19, "the twentieth opened it");
    assert_eq!(story.breaker(), [true]);
    story.after(999);
    assert_eq!(story.newly_sent(), []);
    story.after(1);
    assert_eq!(story.newly_sent(), [(19, 1)], "one, and not counted as tried before");
    story.nack(19);
    story.after(1_999);
    assert_eq!(story.newly_sent(), []);
    story.after(1);
    assert_eq!(story.newly_sent(), [(20, 1)], "another lane");
    assert_eq!(story.buried().len(), 19);
    story.ack(20);
    assert_eq!(story.breaker(), [true, false]);
    let rest: Vec<(u64, u32)> = story.newly_sent();
    assert_eq!(rest.len(), 10);
    assert!(rest.iter().all(|(_, attempt)| *attempt == 1), "{rest:?}");
}

#[test]
fn ten_lanes_that_fail_by_turns_lose_nothing_though_they_have_one_retry() {
    let mut story = Story::begin(unordered(1), 10);
    for offset in 0..10 {
        story.nack(offset);
    }
    story.after(100);
    assert_eq!(story.sent.len(), 20, "each has its retry");
    for offset in 0..10 {
        story.nack(offset);
    }
    assert_eq!(story.breaker(), [true]);
    assert_eq!(story.buried(), []);
}

#[test]
fn nine_lanes_that_fail_by_turns_may_be_bad_data_and_are_given_up() {
    let mut story = Story::begin(unordered(1), 9);
    for offset in 0..9 {
        story.nack(offset);
    }
    story.after(100);
    for offset in 0..9 {
        story.nack(offset);
    }
    assert!(story.breaker().is_empty());
    assert_eq!(story.buried().len(), 9);
}

#[test]
fn a_probe_of_an_ordered_lane_is_its_head_and_goes_alone() {
    let mut story = Story::begin(policy(), 25);
    for offset in (5..25).rev() {
        story.nack(offset);
    }
    assert_eq!(story.breaker(), [true]);
    story.newly_sent();
    story.after(20_000);
    assert_eq!(story.newly_sent(), [], "what was sent before may settle");
    for offset in 0..5 {
        story.ack(offset);
    }
    assert_eq!(story.breaker(), [true], "what was sent before proves nothing");
    assert_eq!(story.newly_sent(), [(5, 1)]);
    story.ack(5);
    assert_eq!(story.breaker(), [true, false]);
    assert_eq!(story.newly_sent().len(), 19);
}

#[test]
fn a_rejected_probe_is_dead_lettered_and_the_next_one_comes_after_the_same_wait() {
    let mut story = Story::begin(unordered(3), 20);
    for offset in 0..20 {
        story.nack(offset);
    }
    story.newly_sent();
    story.after(1_000);
    let probe = story.newly_sent()[0].0;
    story.say(&Settlement::Reject { tag: story.tag_of(probe), reason: None });
    assert_eq!(story.buried().len(), 1);
    assert_eq!(story.breaker(), [true]);
    story.after(1_000);
    assert_eq!(story.newly_sent().len(), 1);
}

#[test]
fn a_member_that_leaves_with_the_probe_leaves_the_turn_to_another() {
    let mut story = Story::begin(unordered(3), 20);
    for offset in 0..20 {
        story.nack(offset);
    }
    story.newly_sent();
    story.after(1_000);
    assert_eq!(story.newly_sent().len(), 1);
    story.group.leave(1, How::Clean, story.now);
    story.after(0);
    story.after(60_000);
    assert_eq!(story.newly_sent(), [], "nobody is here");
    assert_eq!(story.group.wake(), None, "and no time will help");
    story.join(1, "c-2");
    story.pump();
    assert_eq!(story.newly_sent().len(), 1);
}

#[test]
fn a_connection_that_breaks_counts_only_for_what_it_can_have_been_working_on() {
    let mut story = Story::begin(unordered(3), 60);
    for offset in 0..5 {
        story.ack(offset);
    }
    story.newly_sent();
    story.group.leave(1, How::Broken, story.now);
    story.after(60_000);
    story.join(1, "c-2");
    story.after(1_000);
    assert!(story.breaker().is_empty(), "one that breaks opens none");
    let again: Vec<(u64, u32)> = story.newly_sent();
    assert_eq!(again.len(), 55);
    let tried: Vec<u64> =
        again.iter().filter(|(_, attempt)| *attempt == 2).map(|(offset, _)| *offset).collect();
    assert_eq!(tried, [5, 6, 7, 8, 9, 10, 11, 12], "those that were sent first");
}

#[test]
fn records_are_under_suspicion_until_a_member_settles_something() {
    let mut story = Story::begin(unordered(3), 4);
    assert!(!story.group.suspects_records());
    story.group.leave(1, How::Broken, story.now);
    story.after(600_000);
    assert!(story.group.suspects_records());
    story.join(1, "c-2");
    story.after(1_000);
    story.ack(0);
    assert!(!story.group.suspects_records());
    story.group.leave(1, How::Clean, story.now);
    story.after(1_000);
    assert!(story.group.suspects_records(), "they came back once");
}

#[test]
fn without_a_breaker_connections_that_break_use_up_attempts_of_few() {
    let mut story = Story::begin(Policy { breaker: false, ..unordered(1) }, 60);
    for member in 1..=2 {
        story.group.leave(member, How::Broken, story.now);
        story.after(5_000);
        story.join(member + 1, "c-2");
        story.after(1_000);
    }
    assert_eq!(story.buried().len(), 0, "of those sent first the second time none was before");
    story.group.leave(3, How::Broken, story.now);
    story.after(5_000);
    assert!(story.buried().len() <= 8, "{:?}", story.buried());
    assert!(story.breaker().is_empty());
}

#[test]
fn a_resumed_group_delivers_at_once() {
    let mut story = Story::begin(unordered(3), 20);
    for offset in 0..20 {
        story.nack(offset);
    }
    story.newly_sent();
    assert_eq!(story.group.open_for(story.now), Some(Duration::ZERO));
    story.group.resume(Resumed { sequence: 1, at: story.now.wall, given_up: [].into() }, story.now);
    story.after(10_000);
    assert_eq!(story.breaker(), [true, false]);
    assert_eq!(story.newly_sent().len(), 20);
    assert_eq!(story.group.open_for(story.now), None);
}

#[test]
fn a_policy_without_a_breaker_closes_it() {
    let mut story = Story::begin(unordered(3), 20);
    for offset in 0..20 {
        story.nack(offset);
    }
    story.group.set_policy(Policy { breaker: false, ..unordered(3) }.into(), story.now);
    story.after(10_000);
    assert_eq!(story.breaker(), [true, false]);
    assert_eq!(story.sent.len(), 40);
}
