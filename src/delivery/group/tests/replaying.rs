//! Ranges that are delivered once more beside the partitions of the group.

use super::{
    Action, Beginning, Exhausted, Policy, Progress, REDRIVEN, SLOT, Settlement, Slot, Story, policy,
};

const RANGE: Slot = SLOT.replayed();

impl Story {
    /// Two records of a partition, and the same once more as a range.
    fn replaying(policy: Policy) -> Self {
        let mut story = Self::begin(policy, 2);
        let beginning =
            Beginning { slot: RANGE, position: 0, committed: Some(0), progress: Progress::default() };
        story.group.assign(vec![beginning], story.now);
        story.records_of(RANGE, 0..2);
        story.pump();
        story
    }

    /// The last delivery of an offset of the range.
    fn replayed(&self, offset: u64) -> super::Tag {
        let sent = self.sent.iter().rev().map(|sent| sent.tag);
        sent.into_iter().find(|tag| tag.topic == RANGE.topic && tag.offset == offset).unwrap()
    }
}

#[test]
fn a_range_is_told_from_its_partition_and_from_letters_that_come_back() {
    assert!(SLOT.is_own() && !SLOT.is_replayed() && !SLOT.is_redriven());
    assert!(RANGE.is_replayed() && !RANGE.is_own() && !RANGE.is_redriven());
    assert!(REDRIVEN.is_redriven() && !REDRIVEN.is_own() && !REDRIVEN.is_replayed());
    assert_eq!((RANGE.index(), RANGE.partition), (SLOT.topic, SLOT.partition));
    assert_eq!(REDRIVEN.index(), REDRIVEN.topic);
}

#[test]
fn a_range_has_lanes_of_its_own_and_shows_in_no_view() {
    let mut story = Story::replaying(policy());
    assert_eq!(story.sent.len(), 4);
    let tag = story.replayed(0);
    assert_eq!(story.group.settle(1, &Settlement::Ack(vec![tag]), story.now), []);
    assert_eq!(story.group.states(story.now).iter().map(|one| one.slot).collect::<Vec<_>>(), [SLOT]);
    assert_eq!(story.group.gauges(story.now).iter().map(|one| one.slot).collect::<Vec<_>>(), [SLOT]);
    assert_eq!(story.group.next_of(RANGE), Some(2));
    assert!(!story.group.is_held(RANGE));
    // A reset moves the partition and leaves the range.
    assert_eq!(story.group.unmoved(1).collect::<Vec<_>>(), [SLOT]);
}

#[test]
fn an_exhausted_record_of_a_range_halts_and_parks_nothing() {
    for on_exhausted in [Exhausted::Halt, Exhausted::ParkKey] {
        let mut story = Story::replaying(Policy { on_exhausted, ..policy() });
        let tag = story.replayed(0);
        story.others.clear();
        story.group.settle(1, &Settlement::Reject { tag, reason: None }, story.now);
        story.pump();
        let burial = story.others.iter().find_map(|action| match action {
            Action::Bury(burial) => Some(burial),
            _ => None,
        });
        let burial = burial.expect("it is a dead letter");
        assert_eq!((burial.slot, burial.key, burial.parks), (RANGE, None, false));
        let tag = story.replayed(1);
        assert_eq!(story.group.settle(1, &Settlement::Ack(vec![tag]), story.now), []);
    }
}
