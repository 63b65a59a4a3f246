//! Where subscriptions begin, resume and what is missing.

use std::sync::atomic::Ordering;

use crate::event::{Cursor, Offset, Partition, Positions, Timestamp};
use crate::feed::fake::{TestFeed, at, drain, filtered, request, short, take};
use crate::feed::fake_log::topic;
use crate::feed::{At, Error, From, OnSlow, Request};

fn resume(cursor: Cursor) -> From {
    From::Cursor { cursor, positions: Positions::new() }
}

#[tokio::test(start_paused = true)]
async fn latest_gives_what_is_published_after_the_answer_and_nothing_before() {
    let test = TestFeed::start();
    test.log.create("t", 2);
    test.log.put("t", 0, "1");
    let mut first = test.follow("t").await;
    // A tail that lags must not show the second subscriber what came before it.
    test.log.hold(|log| &log.is_tail_held, true);
    test.log.put("t", 0, "2");
    let mut second = test.follow("t").await;
    test.log.put("t", 0, "3");
    test.log.put("t", 1, "4");
    test.log.hold(|log| &log.is_tail_held, false);
    let mut seen = take(&mut first, 3).await;
    seen.sort();
    assert_eq!(seen, ["t/0@1", "t/0@2", "t/1@0"]);
    let mut seen = take(&mut second, 2).await;
    seen.sort();
    assert_eq!(seen, ["t/0@2", "t/1@0"]);
    assert_eq!(second.positions(), at("t", &[(0, 3), (1, 1)]));
}

#[tokio::test(start_paused = true)]
async fn earliest_time_and_positions_begin_where_they_say() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    (0..10).for_each(|_| {
        test.log.put("t", 0, "{}");
    });
    test.log.retain_from("t", 0, 2);
    let mut earliest = test.subscribe("t", From::Earliest).await;
    assert_eq!(take(&mut earliest, 8).await[0], "t/0@2");
    let mut time = test.subscribe("t", From::Time(Timestamp::from_millis(6_500))).await;
    assert_eq!(take(&mut time, 3).await[0], "t/0@7");
    let mut future = test.subscribe("t", From::Time(Timestamp::from_millis(60_000))).await;
    let mut placed = test.subscribe("t", From::Positions(at("t", &[(0, 9)]))).await;
    assert!(placed.is_resumed() && !earliest.is_resumed());
    assert_eq!(take(&mut placed, 1).await, ["t/0@9"]);
    test.log.put("t", 0, "{}");
    assert_eq!(take(&mut future, 1).await, ["t/0@10"]);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_resumes_exactly_and_later_positions_move_it_on() {
    let test = TestFeed::start();
    test.log.create("t", 2);
    let mut subscription = test.follow("t").await;
    (0..4).for_each(|_| {
        test.log.put("t", 0, "{}");
    });
    take(&mut subscription, 2).await;
    let cursor = Cursor::decode(&subscription.cursor().encode()).unwrap();
    drop(subscription);
    test.log.put("t", 1, "{}");
    let mut resumed = test.subscribe("t", resume(cursor.clone())).await;
    assert!(resumed.is_resumed());
    let mut seen = take(&mut resumed, 3).await;
    seen.sort();
    assert_eq!(seen, ["t/0@2", "t/0@3", "t/1@0"]);
    let positions = at("t", &[(0, 3), (1, 0)]);
    let mut moved = test.subscribe("t", From::Cursor { cursor, positions }).await;
    let mut seen = take(&mut moved, 2).await;
    seen.sort();
    assert_eq!(seen, ["t/0@3", "t/1@0"]);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_behind_retention_is_told_of_the_gap_first() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    (0..5).for_each(|_| {
        test.log.put("t", 0, "{}");
    });
    let cursor = test.feed.cursor(&[topic("t")], At::Earliest).await.unwrap();
    test.log.retain_from("t", 0, 3);
    let mut subscription = test.subscribe("t", resume(cursor)).await;
    assert!(!subscription.is_resumed());
    assert_eq!(take(&mut subscription, 3).await, ["gap t/0 [0,3] retention", "t/0@3", "t/0@4"]);
    assert_eq!(test.metric("weirgate_feed_gaps_total{reason=\"retention\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_into_a_recreated_topic_begins_at_its_start_after_a_gap() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    (0..5).for_each(|_| {
        test.log.put("t", 0, "{}");
    });
    let cursor = test.feed.cursor(&[topic("t")], At::Latest).await.unwrap();
    test.log.create("t", 1);
    test.log.put("t", 0, "{}");
    let mut subscription = test.subscribe("t", resume(cursor)).await;
    assert!(!subscription.is_resumed());
    assert_eq!(take(&mut subscription, 2).await, ["gap t/0 [5,0] recreated", "t/0@0"]);
}

#[tokio::test(start_paused = true)]
async fn a_place_after_the_logs_end_is_told_that_the_log_was_truncated() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    test.log.put("t", 0, "{}");
    let mut subscription = test.subscribe("t", From::Positions(at("t", &[(0, 7)]))).await;
    test.log.put("t", 0, "{}");
    assert_eq!(take(&mut subscription, 2).await, ["gap t/0 [7,1] truncated", "t/0@1"]);
}

#[tokio::test(start_paused = true)]
async fn a_live_reader_is_told_when_the_topic_is_made_anew_or_truncated() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let mut subscription = test.follow("t").await;
    (0..5).for_each(|_| {
        test.log.put("t", 0, "{}");
    });
    take(&mut subscription, 5).await;
    test.log.delete("t");
    assert!(drain(&mut subscription).await.iter().filter_map(short).next().is_none());
    test.log.create("t", 1);
    test.log.put("t", 0, "{}");
    assert_eq!(take(&mut subscription, 2).await, ["gap t/0 [5,0] recreated", "t/0@0"]);
    (0..3).for_each(|_| {
        test.log.put("t", 0, "{}");
    });
    take(&mut subscription, 3).await;
    test.log.truncate("t", 0, 2);
    assert_eq!(take(&mut subscription, 1).await, ["gap t/0 [4,2] truncated"]);
    test.log.put("t", 0, "{}");
    assert_eq!(take(&mut subscription, 1).await, ["t/0@2"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_cursor_does_not_name_is_read_from_its_beginning() {
    let test = TestFeed::start();
    test.log.create("a", 1);
    test.log.put("a", 0, "{}");
    let cursor = test.feed.cursor(&[topic("a")], At::Latest).await.unwrap();
    test.log.grow("a", 2);
    test.log.put("a", 1, "{}");
    test.log.create("b", 1);
    test.log.put("b", 0, "{}");
    let mut subscription = test.feed.subscribe(request(&["*"], resume(cursor))).await.unwrap();
    let mut seen = take(&mut subscription, 2).await;
    seen.sort();
    assert_eq!(seen, ["a/1@0", "b/0@0"]);
}

#[tokio::test(start_paused = true)]
async fn cursors_are_made_for_earliest_latest_and_a_time() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    (0..5).for_each(|_| {
        test.log.put("t", 0, "{}");
    });
    test.log.retain_from("t", 0, 1);
    for (moment, offset) in [(At::Earliest, 1), (At::Latest, 5), (At::Time(Timestamp::from_millis(3_000)), 3)]
    {
        let cursor = test.feed.cursor(&[topic("t")], moment).await.unwrap();
        assert_eq!(cursor.entries, [(topic("t"), 1, vec![(Partition::new(0), Offset::new(offset))])]);
    }
    assert!(matches!(test.feed.cursor(&[topic("x")], At::Latest).await, Err(Error::UnknownTopic(_))));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_resumes_skips_or_ends_as_it_asked() {
    let test = TestFeed::with_ring_bytes(4_000);
    test.log.create("t", 1);
    let with = |on_slow| Request { on_slow, ..request(&["t"], From::Latest) };
    let mut resuming = test.feed.subscribe(with(OnSlow::Resume)).await.unwrap();
    let mut skipping = test.feed.subscribe(with(OnSlow::Skip)).await.unwrap();
    let mut closing = test.feed.subscribe(with(OnSlow::Close)).await.unwrap();
    test.log.put("t", 0, "{}");
    for subscription in [&mut resuming, &mut skipping, &mut closing] {
        take(subscription, 1).await;
    }
    let mut witness = test.follow("t").await;
    for _ in 0..100 {
        test.log.put("t", 0, "{}");
        take(&mut witness, 1).await;
    }
    let resumed: Vec<String> = (1..=100).map(|offset| format!("t/0@{offset}")).collect();
    assert_eq!(take(&mut resuming, 100).await, resumed);
    assert_eq!(take(&mut skipping, 1).await, ["gap t/0 [1,101] overrun"]);
    test.log.put("t", 0, "{}");
    assert_eq!(take(&mut skipping, 1).await, ["t/0@101"]);
    assert!(matches!(closing.next(1).await, Err(Error::Slow { .. })));
    assert_eq!(test.metric("weirgate_feed_overruns_total{on_slow=\"resume\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_filtered_reader_is_never_slow() {
    let test = TestFeed::with_ring_bytes(4_000);
    test.log.create("t", 1);
    let wanted = filtered(&["t"], From::Latest, r#"{"pointer":"/data/a","eq":"x"}"#);
    let mut quiet = test.feed.subscribe(Request { on_slow: OnSlow::Close, ..wanted }).await.unwrap();
    let mut witness = test.follow("t").await;
    for _ in 0..100 {
        test.log.put("t", 0, r#"{"a":"y"}"#);
        take(&mut witness, 1).await;
    }
    let reads = test.log.catch_up_reads.load(Ordering::SeqCst);
    test.log.put("t", 0, r#"{"a":"x"}"#);
    assert_eq!(take(&mut quiet, 1).await, ["t/0@100"]);
    assert_eq!(test.log.catch_up_reads.load(Ordering::SeqCst), reads, "nothing had to be read again");
    for _ in 0..100 {
        test.log.put("t", 0, r#"{"a":"x"}"#);
        take(&mut witness, 1).await;
    }
    assert!(matches!(quiet.next(1).await, Err(Error::Slow { .. })));
}
