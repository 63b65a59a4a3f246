//! Partitions of a replay that take turns, fail, and give their places to others; what of it is told.

use std::collections::BTreeSet;

use serde_json::json;

use crate::log;

use super::super::feed::Stop;
use super::*;

fn run(partitions: u32) -> Run {
    let part = |number: u32| json!({"t": 0, "p": number, "o": 0, "e": 9});
    let job = json!({
        "told": {
            "id": "inventory-sync.7", "group": "inventory-sync", "state": "running", "events": 9,
            "examined": 0, "matched": 0, "delivered": 0, "failed": 0, "skipped": 0,
            "topics": ["orders.v1"], "from": "earliest", "ratePerSecond": null,
            "by": "anna", "createdAt": "2026-11-21T10:00:00Z",
        },
        "incarnations": [1],
        "parts": (0..partitions).map(part).collect::<Vec<_>>(),
        "owner": "g1",
        "beat": 0,
    });
    let slots = (0..partitions).map(|partition| Slot { topic: 0, partition }.replayed()).collect();
    let mut run = Run::new(serde_json::from_value(job).unwrap(), slots, None);
    assert_eq!(run.begin().len(), usize::try_from(partitions).unwrap().min(FEEDS_MAX));
    run
}

fn stop(run: &mut Run, slots: &[Slot], now: Instant) {
    for slot in slots {
        let feed = run.feeds.get_mut(slot).unwrap();
        assert_eq!(feed.stop(Stop::Log(log::Error::OutcomeUnknown), now), None);
    }
}

#[test]
fn what_can_never_be_read_wakes_nobody() {
    let (mut run, now) = (run(1), Instant::now());
    assert_eq!(run.due(), None);
    let slots = run.next_reads(0, now);
    stop(&mut run, &slots, now);
    let again_at = run.due().unwrap();
    assert!(again_at > now);
    assert_eq!(run.next_reads(0, again_at), slots);
    assert_eq!(run.due(), None, "what is past wakes nobody");
    stop(&mut run, &slots, now);
    run.never = Some("no right to read".to_owned());
    assert_eq!((run.due(), run.next_reads(0, again_at)), (None, Vec::new()));
}

#[test]
fn partitions_that_cannot_be_read_do_not_stop_the_others() {
    let (mut run, now) = (run(20), Instant::now());
    let failing = run.next_reads(0, now);
    assert_eq!(failing.len(), READS_MAX);
    stop(&mut run, &failing, now);
    let others = run.next_reads(0, now);
    assert_eq!(others.len(), READS_MAX);
    assert!(others.iter().all(|slot| !failing.contains(slot)));
    let again_at = run.due().unwrap();
    for _ in 0..FEEDS_MAX {
        let chosen = run.next_reads(0, again_at);
        assert_eq!(chosen.len(), READS_MAX);
        assert!(chosen.iter().filter(|slot| failing.contains(slot)).count() <= FAILING_READS_MAX);
    }
    run.feeds.get_mut(&failing[0]).unwrap().is_reading = true;
    run.feeds.get_mut(&failing[1]).unwrap().is_reading = true;
    let chosen = run.next_reads(2, again_at);
    assert_eq!(chosen.len(), 2);
    assert!(chosen.iter().all(|slot| !failing.contains(slot)), "two of them are being read");
}

#[test]
fn each_partition_is_read_first_once() {
    let (mut run, now) = (run(3), Instant::now());
    let mut first: Vec<Slot> = (0..3).map(|_| run.next_reads(0, now)[0]).collect();
    first.sort_unstable();
    assert_eq!(first, run.slots());
}

#[test]
fn partitions_that_cannot_be_read_give_their_places_to_others() {
    let (mut run, mut now) = (run(40), Instant::now());
    let mut begun: BTreeSet<Slot> = run.feeds.keys().copied().collect();
    assert_eq!(run.set_aside(now), []);
    for _ in 0..30 {
        let slots: Vec<Slot> = run.feeds.keys().copied().collect();
        stop(&mut run, &slots, now);
        let aside = run.set_aside(now);
        assert_eq!(aside.len(), READS_MAX);
        assert!(run.set_aside(now).is_empty(), "a few at a time");
        let places: Vec<Slot> = run.begin().into_iter().map(|one| one.slot).collect();
        assert_eq!(places.len(), READS_MAX);
        assert!(places.iter().all(|slot| !aside.contains(slot)));
        begun.extend(places);
        now += ASIDE_EVERY;
        run.next_reads(0, now);
    }
    assert_eq!(begun.len(), 40);
    assert_eq!(run.feeds.len() + run.waiting.len(), 40);
}

#[test]
fn a_partition_with_something_under_way_keeps_its_place() {
    let (mut run, now) = (run(17), Instant::now());
    let slots = run.slots();
    stop(&mut run, &slots, now);
    for feed in run.feeds.values_mut() {
        feed.read = 3;
    }
    assert_eq!(run.set_aside(now), [], "three of each are not settled");
    run.mark(slots[5], 3, String::new());
    run.feeds.get_mut(&slots[6]).unwrap().gone_since = Some(now);
    run.mark(slots[6], 3, String::new());
    assert_eq!(run.set_aside(now), [slots[5]]);
    assert_eq!(run.begin().len(), 1);
    assert_eq!(run.waiting.len(), 1);
    run.feeds.clear();
    let beginnings = run.begin();
    assert_eq!((beginnings[0].slot, beginnings[0].position), (slots[5], 3), "it goes on where it was");
}

#[test]
fn what_does_not_change_is_told_now_and_then() {
    let (mut run, mut now) = (run(2), Instant::now());
    assert!(run.is_to_tell(now));
    let tell = |run: &mut Run, now: Instant| run.was_told(run.telling(now));
    tell(&mut run, now);
    assert!(!run.is_to_tell(now + SIGN_EVERY - Duration::from_millis(1)));
    now += SIGN_EVERY;
    assert!(run.is_to_tell(now), "others have to see that this gateway lives");
    let slot = run.slots()[0];
    let changes: [fn(&mut Run, Slot); 4] = [
        |run, _| run.matched(1),
        |run, _| run.delivered(),
        |run, _| run.failed(),
        |run, slot| assert!(!run.mark(slot, 2, String::new())),
    ];
    for change in changes {
        tell(&mut run, now);
        assert!(!run.is_to_tell(now));
        let before = run.telling(now);
        change(&mut run, slot);
        assert!(run.is_to_tell(now));
        run.was_told(before);
        assert!(run.is_to_tell(now), "it changed while it was told");
    }
}
