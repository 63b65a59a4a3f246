//! Single rules of the machine, each by its own small story.

mod breaking;
mod crashing;
mod halting;
mod leaving;
mod parking;
mod replaying;
mod resetting;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{Headers, Offset, Record, Timestamp};

use super::super::metadata::{self, Attempts, Progress};
use super::super::retry::Random;
use super::super::roster::Seat;
use super::super::{Backoff, ConnectionId, Exhausted, How, Ordering, Policy, Settlement, Tag, Withdrawal};
use super::{Action, Beginning, CommitEnd, Group, Moment, Outgoing, REDRIVES, Reason, Slot};

const SLOT: Slot = Slot { topic: 0, partition: 0 };
const REDRIVEN: Slot = Slot { topic: REDRIVES, partition: 0 };

struct Story {
    group: Group,
    now: Moment,
    sent: Vec<Outgoing>,
    withdrawn: Vec<(Vec<Tag>, Withdrawal)>,
    others: Vec<Action>,
    /// Of what was sent, so much was looked at.
    seen: usize,
}

fn policy() -> Policy {
    Policy { backoff: Backoff { jitter: 0.0, ..Backoff::default() }, ..Policy::default() }
}

impl Story {
    /// A group with one member and one partition of `count` records.
    fn begin(policy: Policy, count: u64) -> Self {
        Self::restored(policy, count, Progress::default())
    }

    fn restored(policy: Policy, count: u64, progress: Progress) -> Self {
        let now = Moment { elapsed: Duration::ZERO, wall: Timestamp::from_millis(0) };
        let group = Group::new(Arc::new(policy), 0, Random::new(1));
        let (sent, withdrawn, others) = (Vec::new(), Vec::new(), Vec::new());
        let mut story = Self { group, now, sent, withdrawn, others, seen: 0 };
        story.assign(progress);
        story.join(1, "c-1");
        story.records(0..count);
        story.pump();
        story
    }

    fn assign(&mut self, progress: Progress) {
        let beginning = Beginning { slot: SLOT, position: 0, committed: Some(0), progress };
        self.group.assign(vec![beginning], self.now);
    }

    /// Letters that come back, at these offsets.
    fn come_back(&mut self, offsets: std::ops::Range<u64>) {
        let (slot, progress) = (REDRIVEN, Progress::default());
        let beginning = Beginning { slot, position: offsets.start, committed: None, progress };
        self.group.assign(vec![beginning], self.now);
        self.records_of(slot, offsets);
        self.pump();
    }

    fn join(&mut self, member: u32, connection: &str) {
        let seat = Seat::new(ConnectionId::new(connection), "p".into(), 100);
        self.group.join(member, seat, None, self.now);
    }

    fn records(&mut self, offsets: std::ops::Range<u64>) {
        self.records_of(SLOT, offsets);
    }

    fn records_of(&mut self, slot: Slot, offsets: std::ops::Range<u64>) {
        let record = |offset| Record {
            offset: Offset::new(offset),
            timestamp: Timestamp::from_millis(0),
            key: Some(Bytes::from_static(b"k")),
            value: None,
            headers: Headers::default(),
            decoded: None,
        };
        self.group.records(slot, offsets.map(record).collect(), self.now);
    }

    /// Lets time pass; commits and dead letters succeed at once.
    fn after(&mut self, millis: u64) {
        self.now.elapsed += Duration::from_millis(millis);
        self.now.wall = self.now.wall.plus_millis(i64::try_from(millis).unwrap());
        self.pump();
    }

    fn pump(&mut self) {
        loop {
            let actions = self.group.pump(self.now);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::Send(outgoing) => self.sent.push(outgoing),
                    Action::Withdraw { tags, reason, .. } => self.withdrawn.push((tags, reason)),
                    Action::Commit(_) => self.group.committed(CommitEnd::Done, self.now),
                    Action::Bury(burial) => {
                        let offset = burial.record.offset.number();
                        self.group.buried(burial.slot, burial.epoch, offset, self.now);
                        self.others.push(Action::Bury(burial));
                    }
                    other => self.others.push(other),
                }
            }
        }
    }

    fn sent_offsets(&mut self) -> Vec<(u64, u32)> {
        self.sent.iter().map(|one| (one.record.offset.number(), one.attempt)).collect()
    }

    fn tag_of(&self, offset: u64) -> Tag {
        self.sent.iter().rev().find(|one| one.record.offset.number() == offset).unwrap().tag
    }

    fn say(&mut self, settlement: &Settlement) {
        assert_eq!(self.group.settle(1, settlement, self.now), []);
        self.pump();
    }

    fn ack(&mut self, offset: u64) {
        self.say(&Settlement::Ack(vec![self.tag_of(offset)]));
    }

    fn nack(&mut self, offset: u64) {
        self.say(&Settlement::Nack { tag: self.tag_of(offset), delay: None, reason: None });
    }

    fn buried(&self) -> Vec<(u64, Reason, u32)> {
        let burials = self.others.iter().filter_map(|action| match action {
            Action::Bury(one) => Some((one.record.offset.number(), one.reason, one.attempts)),
            _ => None,
        });
        burials.collect()
    }
}

#[test]
fn a_followers_clock_starts_when_everything_before_it_is_settled() {
    let mut story = Story::begin(policy(), 2);
    story.after(29_000);
    story.ack(0);
    story.after(29_000);
    assert_eq!(story.withdrawn, [], "58 s after it was sent, 29 s after it became the head");
    story.after(1_000);
    assert_eq!(story.withdrawn, [(vec![story.tag_of(1)], Withdrawal::Expired)]);
}

#[test]
fn an_extension_ends_at_ten_minutes_in_total() {
    let mut story = Story::begin(policy(), 1);
    let tag = story.tag_of(0);
    for _ in 0..30 {
        story.after(20_000);
        if story.withdrawn.is_empty() {
            story.say(&Settlement::Extend { tag, by: Duration::from_secs(60) });
        }
    }
    assert_eq!(story.now.elapsed, Duration::from_secs(600));
    assert_eq!(story.withdrawn, [(vec![tag], Withdrawal::Expired)]);
}

#[test]
fn retries_wait_100_200_and_400_ms_and_then_the_record_is_dead() {
    let mut story = Story::begin(policy(), 1);
    for (attempt, delay) in [(1, 100), (2, 200), (3, 400)] {
        story.nack(0);
        story.after(delay - 1);
        assert_eq!(story.sent_offsets().last(), Some(&(0, attempt)));
        story.after(1);
        assert_eq!(story.sent_offsets().last(), Some(&(0, attempt + 1)));
    }
    story.nack(0);
    assert_eq!(story.buried(), [(0, Reason::RetriesExhausted, 4)]);
}

#[test]
fn a_second_attempt_waits_for_its_commit() {
    let mut story = Story::begin(policy(), 1);
    let nack = Settlement::Nack { tag: story.tag_of(0), delay: None, reason: None };
    story.group.settle(1, &nack, story.now);
    let commits =
        |actions: Vec<Action>| actions.iter().filter(|one| matches!(one, Action::Commit(_))).count();
    assert_eq!(commits(story.group.pump(story.now)), 1);
    story.now.elapsed += Duration::from_secs(5);
    assert_eq!(story.group.pump(story.now), [], "the commit is not through");
    story.group.committed(CommitEnd::Failed, story.now);
    assert_eq!(commits(story.group.pump(story.now)), 0, "a failed commit is not repeated at once");
    story.after(100);
    assert_eq!(story.sent_offsets().last(), Some(&(0, 2)));
}

#[test]
fn withdrawn_followers_are_never_counted() {
    let mut story = Story::begin(Policy { max_retries: 100, ..policy() }, 2);
    for _ in 0..50 {
        story.nack(0);
        story.after(30_000);
    }
    story.ack(0);
    assert_eq!(story.sent_offsets().last(), Some(&(1, 1)));
    assert_eq!(story.buried(), []);
}

#[test]
fn ten_clean_closes_with_the_same_head_count_as_one_attempt() {
    let mut story = Story::begin(policy(), 1);
    for _ in 0..9 {
        story.group.leave(1, How::Clean, story.now);
        story.join(1, "c-1");
        story.after(0);
        assert_eq!(story.sent_offsets().last(), Some(&(0, 1)));
    }
    story.group.leave(1, How::Clean, story.now);
    story.join(1, "c-1");
    story.after(100);
    assert_eq!(story.sent_offsets().last(), Some(&(0, 2)));
}

#[test]
fn a_record_that_was_tried_often_enough_before_a_crash_is_not_tried_again() {
    let attempts = Attempts { count: 4, first_failed: Timestamp::from_millis(0) };
    let progress = Progress { attempts: [(0, attempts)].into(), ..Progress::default() };
    let mut story = Story::restored(policy(), 2, progress);
    assert_eq!(story.buried(), [(0, Reason::RetriesExhausted, 4)]);
    assert_eq!(story.sent_offsets(), [(1, 1)]);
}

#[test]
fn a_long_reason_is_not_held_whole() {
    let mut story = Story::begin(policy(), 1);
    let reason = Some(format!("a{}", "é".repeat(4_000)));
    story.say(&Settlement::Reject { tag: story.tag_of(0), reason });
    let held = story.others.iter().find_map(|action| match action {
        Action::Bury(burial) => burial.error.as_deref(),
        _ => None,
    });
    assert_eq!(held.map(str::len), Some(1_023));
}

#[test]
fn nothing_of_a_lane_is_sent_while_a_letter_is_written() {
    let mut story = Story::begin(Policy { lane_window: 1, ..policy() }, 2);
    let reject = Settlement::Reject { tag: story.tag_of(0), reason: None };
    story.group.settle(1, &reject, story.now);
    let actions = story.group.pump(story.now);
    assert!(actions.iter().any(|one| matches!(one, Action::Bury(_))));
    assert!(!actions.iter().any(|one| matches!(one, Action::Send(_))));
    let epoch = story.tag_of(0).epoch;
    story.group.buried(SLOT, epoch, 0, story.now);
    story.pump();
    assert_eq!(story.sent_offsets(), [(0, 1), (1, 1)]);
}

#[test]
fn intake_stops_at_its_bound_and_goes_on_below_it() {
    let bounded = Policy { unsettled_per_partition_max: 4, ordering: Ordering::None, ..policy() };
    let mut story = Story::begin(bounded, 6);
    assert_eq!(story.sent.len(), 4);
    assert_eq!(story.others, [Action::Hold(SLOT)]);
    for offset in 0..3 {
        story.ack(offset);
    }
    assert!(story.others.contains(&Action::Release(SLOT)));
    assert_eq!(story.sent.len(), 6);
}

#[test]
fn a_stuck_head_stops_the_intake_at_the_span() {
    let bounded = Policy { span_max: 10, ordering: Ordering::None, ..policy() };
    let mut story = Story::begin(bounded, 20);
    assert_eq!(story.sent.len(), 10);
    for offset in 1..10 {
        story.ack(offset);
    }
    story.after(2_000);
    assert_eq!(story.sent.len(), 10, "the head holds the span");
    story.ack(0);
    story.after(2_000);
    assert_eq!(story.sent.len(), 20);
}

#[test]
fn a_hole_wider_than_the_span_is_passed_over() {
    let policy = Policy { span_max: 100, ..policy() };
    let mut story = Story::begin(policy.clone(), 0);
    // Compacted away: the first record there is lies far above the beginning.
    story.records(150..152);
    story.pump();
    story.after(1_000);
    assert_eq!(story.sent_offsets(), [(150, 1), (151, 1)]);

    let mut story = Story::begin(policy, 2);
    story.ack(0);
    story.records(500..501);
    story.after(1_000);
    assert_eq!(story.sent_offsets(), [(0, 1), (1, 1)], "the head may still resolve");
    story.ack(1);
    story.after(1_000);
    story.after(1_000);
    assert_eq!(story.sent_offsets(), [(0, 1), (1, 1), (500, 1)]);
}

#[test]
fn metadata_that_is_nearly_full_stops_nothing_once_all_that_was_taken_is_settled() {
    let settled: Vec<_> = (0..1_300).map(|run| 100 + 2 * run..101 + 2 * run).collect();
    let length = metadata::encode(2, &Progress { settled: settled.clone(), ..Progress::default() }).len();
    assert!((3_072..4_096).contains(&length), "{length} does not press, or does not fit");
    let progress = Progress { settled, ..Progress::default() };
    let mut story = Story::restored(Policy { ordering: Ordering::None, ..policy() }, 2, progress);
    story.ack(0);
    story.after(1_000);
    story.records(2..4);
    story.after(1_000);
    assert_eq!(story.sent_offsets(), [(0, 1), (1, 1)], "while one is open, the metadata presses");
    story.ack(1);
    story.after(1_000);
    assert_eq!(story.sent_offsets(), [(0, 1), (1, 1), (2, 1)]);
    story.ack(2);
    story.after(1_000);
    assert_eq!(story.sent_offsets().len(), 4);
}

#[test]
fn a_busy_lane_moves_from_an_overloaded_member_after_it_drained() {
    let mut story = Story::begin(policy(), 1);
    let others = (1..4).map(|partition| Slot { topic: 0, partition });
    for slot in others {
        let beginning = Beginning { slot, position: 0, committed: Some(0), progress: Progress::default() };
        story.group.assign(vec![beginning], story.now);
        let record = story.sent[0].record.clone();
        story.group.records(slot, vec![record], story.now);
    }
    story.pump();
    assert_eq!(story.sent.len(), 4);
    story.join(2, "c-2");
    story.after(1_000);
    story.after(10_000);
    story.records(1..2);
    story.pump();
    assert_eq!(story.sent.len(), 4, "the lane drains before it moves");
    story.ack_first();
    assert_eq!(story.sent.last().map(|one| one.member), Some(2));
}

impl Story {
    fn ack_first(&mut self) {
        let tag = self.sent[0].tag;
        self.say(&Settlement::Ack(vec![tag]));
    }
}
