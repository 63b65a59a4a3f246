//! Frames, positions, pages and single events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Filter, Offset, Partition};
use crate::feed::fake::{TestFeed, at, drain, filtered, request, short};
use crate::feed::fake_log::topic;
use crate::feed::{Admission, Error, From, PageRequest, Push, Request, Subscription};

async fn frames(subscription: &mut Subscription) -> Vec<Arc<crate::feed::Frame>> {
    let events = drain(subscription).await.into_iter();
    events.filter_map(|push| if let Push::Event(frame) = push { Some(frame) } else { None }).collect()
}

#[tokio::test(start_paused = true)]
async fn subscriptions_of_one_number_share_frames_byte_for_byte() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let mut one = test.follow("t").await;
    let mut same = test.follow("t").await;
    let other = filtered(&["t"], From::Latest, r#"{"pointer":"/data/a","exists":true}"#);
    let mut other = test.feed.subscribe(other).await.unwrap();
    assert_eq!(one.id(), same.id());
    assert_ne!(one.id(), other.id());
    test.log.put_record("t", 0, Some("k"), r#"{"a":1}"#);
    let (one, same, others) = (frames(&mut one).await, frames(&mut same).await, frames(&mut other).await);
    assert!(Arc::ptr_eq(&one[0], &same[0]), "encoded once");
    assert_eq!(one[0].members(), others[0].members());
    let json = std::str::from_utf8(&others[0].socket_json).unwrap();
    let head = format!(r#"{{"sub":{},"topic":"t","partition":0,"offset":0,"#, other.id());
    assert!(json.starts_with(&head), "{json}");
    assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{json}");
}

#[tokio::test(start_paused = true)]
async fn a_call_gives_about_the_bytes_asked_for_and_at_least_one_event() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let mut subscription = test.follow("t").await;
    for _ in 0..10 {
        test.log.put("t", 0, &format!("\"{}\"", "x".repeat(98)));
    }
    assert_eq!(subscription.next(1).await.unwrap().len(), 1);
    assert_eq!(subscription.next(350).await.unwrap().len(), 3);
    assert_eq!(subscription.next(usize::MAX).await.unwrap().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn positions_come_every_five_seconds_when_they_moved() {
    let test = TestFeed::start();
    test.log.create("t", 2);
    let nothing = filtered(&["t"], From::Latest, r#"{"key":true,"eq":"none"}"#);
    let mut subscription = test.feed.subscribe(nothing).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(60), subscription.next(1)).await;
    assert!(quiet.is_err(), "nothing moved");
    test.log.put("t", 1, "{}");
    let start = Instant::now();
    let pushes = subscription.next(1).await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(5));
    let [Push::Positions { positions, cursor }] = &*pushes else { panic!("{pushes:?}") };
    assert_eq!(*positions, at("t", &[(1, 1)]), "only what moved");
    assert_eq!(*cursor, subscription.cursor());
    assert_eq!(cursor.entries[0].2.len(), 2, "the whole place");
    assert!(tokio::time::timeout(Duration::from_secs(60), subscription.next(1)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn positions_come_after_a_thousand_skipped_records() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let nothing = || filtered(&["t"], From::Earliest, r#"{"key":true,"eq":"none"}"#);
    let mut live = test.feed.subscribe(nothing()).await.unwrap();
    drain(&mut live).await;
    for _ in 0..1_000 {
        test.log.put("t", 0, "{}");
    }
    let start = Instant::now();
    let mut behind = test.feed.subscribe(nothing()).await.unwrap();
    for subscription in [&mut live, &mut behind] {
        let pushes = subscription.next(1).await.unwrap();
        let [Push::Positions { positions, .. }] = &*pushes else { panic!("{pushes:?}") };
        assert_eq!(*positions, at("t", &[(0, 1_000)]));
    }
    assert!(start.elapsed() <= Duration::from_secs(1));
}

fn page(request: Request, limit: usize, wait: u64) -> PageRequest {
    PageRequest { request, limit, wait: Duration::from_secs(wait) }
}

#[tokio::test(start_paused = true)]
async fn pages_follow_one_another_by_cursor_up_to_the_end() {
    let test = TestFeed::start();
    test.log.create("t", 2);
    for number in 0..25 {
        test.log.put("t", number % 2, "{}");
    }
    let mut from = From::Earliest;
    let mut seen = Vec::new();
    for (count, is_at_end) in [(10, false), (10, false), (5, true), (0, true)] {
        let page = test.feed.page(page(request(&["t"], from), 10, 0)).await.unwrap();
        assert_eq!((page.frames.len(), page.is_at_end), (count, is_at_end));
        seen.extend(page.frames.into_iter().filter_map(|frame| short(&Push::Event(frame))));
        from = From::Cursor { cursor: page.cursor, positions: crate::event::Positions::new() };
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_page_waits_for_a_first_event_as_long_as_asked() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let start = Instant::now();
    let empty = test.feed.page(page(request(&["t"], From::Latest), 10, 0)).await.unwrap();
    assert!(empty.frames.is_empty() && empty.is_at_end && start.elapsed().is_zero());
    let late = test.feed.page(page(request(&["t"], From::Latest), 10, 30)).await.unwrap();
    assert!(late.frames.is_empty() && late.is_at_end);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    let waiting = test.feed.page(page(request(&["t"], From::Latest), 10, 30));
    let (found, _) = tokio::join!(waiting, async {
        tokio::time::advance(Duration::from_secs(3)).await;
        test.log.put("t", 0, "{}")
    });
    assert_eq!(found.unwrap().frames.len(), 1);
    assert!(start.elapsed() < Duration::from_secs(40));
}

#[tokio::test(start_paused = true)]
async fn a_filtered_page_finds_the_end_though_nothing_matches() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    for _ in 0..5_000 {
        test.log.put("t", 0, "{}");
    }
    let nothing = |from| filtered(&["t"], from, r#"{"key":true,"eq":"none"}"#);
    let found = test.feed.page(page(nothing(From::Earliest), 10, 0)).await.unwrap();
    assert!(found.frames.is_empty() && found.is_at_end);
    assert_eq!(found.cursor.entries[0].2, [(Partition::new(0), Offset::new(5_000))]);
    test.log.hold(|log| &log.is_tail_held, true);
    test.log.put("t", 0, "{}");
    let from = From::Positions(at("t", &[(0, 5_000)]));
    let (found, ()) = tokio::join!(test.feed.page(page(nothing(from), 10, 0)), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        test.log.hold(|log| &log.is_tail_held, false);
    });
    assert!(found.unwrap().is_at_end);
}

#[tokio::test(start_paused = true)]
async fn one_event_is_read_where_it_lies_and_only_by_who_may() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    for _ in 0..4 {
        test.log.put_record("t", 0, Some("k"), r#"{"a":1}"#);
    }
    test.log.compact("t", 0, 2);
    test.log.retain_from("t", 0, 1);
    let read = async |name: &str, partition, offset, admission: &Admission| {
        test.feed.read_one(&topic(name), Partition::new(partition), Offset::new(offset), admission).await
    };
    let event = read("t", 0, 1, &Admission::All).await.unwrap();
    assert!(event.starts_with(br#"{"topic":"t","partition":0,"offset":1,"#));
    for gone in [0, 2, 4, 99] {
        let found = read("t", 0, gone, &Admission::All).await;
        assert!(matches!(found, Err(Error::UnknownEvent { .. })), "{gone}");
    }
    assert!(matches!(read("t", 1, 0, &Admission::All).await, Err(Error::UnknownPartition { .. })));
    assert!(matches!(read("x", 0, 0, &Admission::All).await, Err(Error::UnknownTopic(_))));
    assert!(matches!(read("x", 0, 0, &Admission::Denied).await, Err(Error::Forbidden(_))));
    let rows = |key| Admission::Rows(Filter::key_equals(key));
    assert!(read("t", 0, 1, &rows("k")).await.is_ok());
    assert!(matches!(read("t", 0, 1, &rows("other")).await, Err(Error::UnknownEvent { .. })));
}

#[tokio::test(start_paused = true)]
async fn single_events_are_of_the_partition_that_was_asked_for() {
    let test = TestFeed::start();
    let places = [("t", 0), ("t", 1), ("u", 0), ("u", 1)];
    test.log.create("t", 2);
    test.log.create("u", 2);
    for (name, partition) in places {
        test.log.put(name, partition, &format!("\"{name}{partition}\""));
    }
    for (name, partition) in places.into_iter().chain(places) {
        let asked = Partition::new(u32::try_from(partition).unwrap());
        let event = test.feed.read_one(&topic(name), asked, Offset::ZERO, &Admission::All).await;
        let event = String::from_utf8(event.unwrap().to_vec()).unwrap();
        assert!(event.contains(&format!("\"data\":\"{name}{partition}\"")), "{name} {partition}: {event}");
    }
}

#[tokio::test(start_paused = true)]
async fn subscriptions_end_when_the_feed_does() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let mut waiting = test.follow("t").await;
    let (ended, ()) = tokio::join!(waiting.next(1), async { test.shutdown.cancel() });
    assert!(matches!(ended, Err(Error::Closed)));
    assert!(matches!(test.feed.subscribe(request(&["t"], From::Latest)).await, Err(Error::Closed)));
    assert_eq!(test.metric("weirgate_feed_tails"), 0.0);
}
