//! Keys that are parked behind a dead record, and how they are released.

use bytes::Bytes;

use crate::delivery::key_hash::KeyHash;

use super::{
    Action, Attempts, Exhausted, Headers, Offset, Ordering, Policy, Progress, Reason, Record, SLOT,
    Settlement, Story, Timestamp, policy,
};

/// A partition of records whose keys are the letters of a text; a blank is a null key.
fn begin(ordering: Ordering, keys: &str) -> Story {
    let parking = Policy { on_exhausted: Exhausted::ParkKey, ordering, max_retries: 0, ..policy() };
    let mut story = Story::begin(parking, 0);
    story.know(&[]);
    story.keyed(0, keys);
    story
}

fn hash(key: &str) -> KeyHash {
    KeyHash::of(key.as_bytes())
}

impl Story {
    /// Which keys are parked, and since when.
    fn know(&mut self, keys: &[(&str, u64)]) {
        let epoch = self.group.epoch(SLOT).unwrap();
        let keys = keys.iter().map(|(key, from)| (hash(key), *from));
        self.group.parked(SLOT, epoch, keys, self.now);
        self.pump();
    }

    fn keyed(&mut self, from: u64, keys: &str) {
        let record = |(offset, key): (u64, char)| Record {
            offset: Offset::new(offset),
            timestamp: Timestamp::from_millis(0),
            key: (key != ' ').then(|| Bytes::from(key.to_string())),
            value: None,
            headers: Headers::default(),
            decoded: None,
        };
        self.group.records(SLOT, (from..).zip(keys.chars()).map(record).collect(), self.now);
        self.pump();
    }

    fn begin_release(&mut self, key: &str) -> bool {
        let epoch = self.group.epoch(SLOT).unwrap();
        self.group.begin_release(SLOT, epoch, hash(key))
    }

    fn begin_closing(&mut self, key: &str) -> bool {
        let epoch = self.group.epoch(SLOT).unwrap();
        self.group.begin_closing(SLOT, epoch, hash(key))
    }

    fn end_closing(&mut self, key: &str) {
        let epoch = self.group.epoch(SLOT).unwrap();
        self.group.end_closing(SLOT, epoch, hash(key), self.now);
        self.pump();
    }

    fn waiting(&self) -> Vec<(u64, &'static str)> {
        let states = self.group.states(self.now);
        states[0].blocked.iter().map(|one| (one.offset, one.reason)).collect()
    }

    fn end_release(&mut self, key: &str, is_released: bool) {
        let epoch = self.group.epoch(SLOT).unwrap();
        self.group.end_release(SLOT, epoch, hash(key), is_released, self.now);
        self.pump();
    }

    fn offsets(&mut self) -> Vec<u64> {
        self.sent_offsets().into_iter().map(|(offset, _)| offset).collect()
    }
}

#[test]
fn later_records_of_a_dead_ones_key_die_untried_and_others_go_on() {
    for ordering in [Ordering::Key, Ordering::Partition] {
        let mut story = begin(ordering, "abaca");
        story.nack(0);
        let dead = [(0, Reason::RetriesExhausted, 1), (2, Reason::KeyParked, 0), (4, Reason::KeyParked, 0)];
        assert_eq!(story.buried(), dead, "{ordering:?}");
        story.ack(1);
        story.ack(3);
        story.keyed(5, "ab");
        assert_eq!(story.buried().len(), 4);
        story.ack(6);
        assert_eq!(story.group.gauges(story.now)[0].position, 7);
    }
}

#[test]
fn what_is_in_flight_of_a_rejected_records_key_is_taken_back() {
    let mut story = begin(Ordering::Partition, "abaa");
    assert_eq!(story.offsets(), [0, 1, 2, 3]);
    story.say(&Settlement::Reject { tag: story.tag_of(2), reason: None });
    assert_eq!(story.buried(), [(2, Reason::Rejected, 1), (3, Reason::KeyParked, 0)]);
    assert_eq!(story.withdrawn.len(), 1);
    story.ack(0);
    story.ack(1);
    assert_eq!(story.offsets(), [0, 1, 2, 3], "what was before it may be settled");
}

#[test]
fn null_keys_are_skipped() {
    for ordering in [Ordering::Key, Ordering::Partition] {
        let mut story = begin(ordering, "   ");
        story.nack(0);
        assert_eq!(story.buried(), [(0, Reason::RetriesExhausted, 1)]);
        story.ack(1);
        story.ack(2);
    }
}

#[test]
fn what_comes_while_a_release_is_written_waits_for_it() {
    for is_released in [true, false] {
        let mut story = begin(Ordering::Key, "a");
        story.nack(0);
        assert!(story.begin_release("a"));
        assert!(!story.begin_release("a"), "once");
        story.keyed(1, "ab");
        assert_eq!((story.offsets(), story.buried().len()), (vec![0, 2], 1));
        let states = story.group.states(story.now);
        assert_eq!((states[0].blocked[0].offset, states[0].blocked[0].reason), (1, "key_parked"));
        story.end_release("a", is_released);
        let sent = if is_released { vec![0, 2, 1] } else { vec![0, 2] };
        assert_eq!((story.offsets(), story.buried().len()), (sent, 1 + usize::from(!is_released)));
        story.keyed(3, "a");
        assert_eq!(story.buried().len(), if is_released { 1 } else { 3 });
    }
}

#[test]
fn what_comes_of_a_key_that_is_closing_waits_until_it_is_released() {
    for ordering in [Ordering::Key, Ordering::Partition] {
        let mut story = begin(ordering, "a");
        story.nack(0);
        story.keyed(1, "a");
        assert!(story.begin_closing("a") && story.begin_closing("a"), "once more changes nothing");
        story.keyed(2, "aba");
        assert_eq!(story.buried().len(), 2);
        // Others of a lane wait behind what waits in it.
        let sent = if ordering == Ordering::Key { vec![0, 3] } else { vec![0] };
        assert_eq!((story.offsets(), story.waiting()), (sent, vec![(2, "key_closing")]), "{ordering:?}");
        assert_eq!(story.group.keys_closing(), 1);
        assert!(story.begin_release("a"));
        assert_eq!(story.waiting(), [(2, "key_parked")]);
        story.end_closing("a");
        assert_eq!(story.buried().len(), 2, "too late");
        story.end_release("a", true);
        if ordering == Ordering::Key {
            assert_eq!(story.offsets(), [0, 3, 2]);
            story.ack(2);
            assert_eq!(story.offsets(), [0, 3, 2, 4]);
        } else {
            assert_eq!(story.offsets(), [0, 2, 3, 4]);
        }
        assert_eq!((story.buried().len(), story.group.keys_closing()), (2, 0));
    }
}

#[test]
fn what_waited_for_a_key_that_stays_parked_dies_behind_its_letters() {
    let skip = || Policy { on_exhausted: Exhausted::Skip, ordering: Ordering::Key, ..policy() };
    type End = fn(&mut Story, Policy);
    let ends: [End; 3] = [
        |story, _| story.end_closing("a"),
        |story, skip| story.group.set_policy(skip.into(), story.now),
        // It was to be released, and that is not durable.
        |story, _| {
            assert!(story.begin_release("a"));
            story.end_release("a", false);
        },
    ];
    for end in ends {
        let mut story = begin(Ordering::Key, "a");
        story.nack(0);
        assert!(story.begin_closing("a"));
        story.keyed(1, "aba");
        assert_eq!(story.offsets(), [0, 2]);
        end(&mut story, skip());
        story.pump();
        assert_eq!(story.offsets(), [0, 2]);
        let dead = [(0, Reason::RetriesExhausted, 1), (1, Reason::KeyParked, 0), (3, Reason::KeyParked, 0)];
        assert_eq!(story.buried(), dead);
        assert_eq!(story.group.keys_closing(), 0);
    }
}

#[test]
fn a_key_that_is_not_parked_is_not_closed_and_one_that_leaves_leaves_what_waits_to_the_next() {
    let mut story = begin(Ordering::Key, "a");
    assert!(!story.begin_closing("a"));
    story.nack(0);
    assert!(story.begin_closing("a"));
    story.keyed(1, "a");
    let epoch = story.group.epoch(SLOT).unwrap();
    story.group.revoke(&[SLOT], story.now);
    assert!(!story.group.begin_closing(SLOT, epoch, hash("a")), "it goes");
    story.group.end_closing(SLOT, epoch, hash("a"), story.now);
    story.pump();
    assert_eq!((story.offsets(), story.buried().len()), (vec![0], 1));
}

#[test]
fn a_letter_that_was_being_written_leaves_its_key_closing_and_an_earlier_death_does_not() {
    let mut story = begin(Ordering::Partition, "aab");
    story.say(&Settlement::Reject { tag: story.tag_of(1), reason: None });
    assert!(story.begin_closing("a"));
    story.keyed(3, "a");
    assert_eq!(story.buried().len(), 1);
    story.nack(0);
    let dead = [(1, Reason::Rejected, 1), (0, Reason::RetriesExhausted, 1), (3, Reason::KeyParked, 0)];
    assert_eq!(story.buried(), dead);
    assert!(story.begin_closing("a"), "and closes once more");
}

#[test]
fn a_key_whose_letter_is_being_written_is_not_released() {
    let mut story = begin(Ordering::Key, "a");
    story.nack(0);
    story.keyed(1, "b");
    story.group.records(SLOT, vec![], story.now);
    let record = story.sent.last().unwrap().record.clone();
    let late = Record { offset: Offset::new(2), key: Some(Bytes::from("a")), ..record };
    story.group.records(SLOT, vec![late], story.now);
    assert!(!story.begin_release("a"));
    assert!(story.begin_closing("a"), "but closes");
    let actions = story.group.pump(story.now);
    let burial = actions.iter().find_map(|one| if let Action::Bury(one) = one { Some(one) } else { None });
    let burial = burial.unwrap();
    assert!(!burial.parks && burial.key == Some(hash("a")));
    story.group.buried(SLOT, burial.epoch, 2, story.now);
    assert_eq!(story.group.keys_closing(), 1, "it does so still");
    assert!(story.begin_release("a"));
}

#[test]
fn nothing_is_taken_before_it_is_known_what_is_parked() {
    let parking =
        Policy { on_exhausted: Exhausted::ParkKey, ordering: Ordering::Key, max_retries: 0, ..policy() };
    let mut story = Story::begin(parking, 0);
    story.keyed(0, "abab");
    assert_eq!(story.offsets(), [] as [u64; 0]);
    assert_eq!(story.group.gauges(story.now)[0].held, Some("parked_keys"));
    story.know(&[("a", 1)]);
    assert_eq!(story.offsets(), [0, 1], "the first of the key comes before its dead one");
    assert_eq!(story.buried(), [(2, Reason::KeyParked, 0)]);
    assert_eq!(story.group.gauges(story.now)[0].held, None);
}

#[test]
fn an_earlier_record_that_dies_later_parks_its_key_from_there() {
    let mut story = begin(Ordering::Partition, "aab");
    story.say(&Settlement::Reject { tag: story.tag_of(1), reason: None });
    assert!(story.begin_release("a"));
    story.nack(0);
    assert_eq!(story.buried(), [(1, Reason::Rejected, 1), (0, Reason::RetriesExhausted, 1)]);
    story.end_release("a", true);
    story.keyed(3, "a");
    assert_eq!(story.buried().last(), Some(&(3, Reason::KeyParked, 0)), "it died while it was released");
}

#[test]
fn an_exhausted_record_of_a_parked_key_keeps_its_reason() {
    let parking =
        Policy { on_exhausted: Exhausted::ParkKey, ordering: Ordering::Key, max_retries: 1, ..policy() };
    let attempts = Attempts { count: 2, first_failed: Timestamp::from_millis(0) };
    let progress = Progress { attempts: [(0, attempts)].into(), ..Progress::default() };
    let mut story = Story::restored(parking, 0, progress);
    story.know(&[("a", 0)]);
    story.keyed(0, "aa");
    assert_eq!(story.buried(), [(0, Reason::RetriesExhausted, 2), (1, Reason::KeyParked, 0)]);
}
