//! Behaviour at each bound: rings, all rings, the pool of readers, and what is let go.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::feed::backlog::BYTES_PER_READER;
use crate::feed::bell::Bell;
use crate::feed::fake::{TestFeed, drain, filtered, request, take};
use crate::feed::seat::Place;
use crate::feed::{Config, From, Push, Subscription};

fn config(ring: usize, total: usize, readers: usize) -> Config {
    Config { ring_bytes_per_partition: ring, ring_bytes_total: total, catch_up_readers_max: readers }
}

#[tokio::test(start_paused = true)]
async fn a_ring_holds_its_bytes_and_no_more() {
    let test = TestFeed::with_ring_bytes(100_000);
    test.log.create("t", 1);
    let mut subscription = test.follow("t").await;
    for _ in 0..500 {
        test.log.put("t", 0, &format!("\"{}\"", "x".repeat(1_000)));
        take(&mut subscription, 1).await;
        // One frame may have been made since the ring was last brought to its bound.
        assert!(test.metric("weirgate_feed_ring_bytes") <= 102_000.0);
    }
    assert!(test.metric("weirgate_feed_ring_bytes") > 90_000.0, "and uses what it may");
}

#[tokio::test(start_paused = true)]
async fn all_rings_together_hold_their_bytes_and_the_largest_yields() {
    let test = TestFeed::with_config(config(100_000, 150_000, 8));
    test.log.create("large", 1);
    test.log.create("small", 4);
    let mut subscription = test.feed.subscribe(request(&["large", "small"], From::Latest)).await.unwrap();
    for _ in 0..200 {
        test.log.put("large", 0, &format!("\"{}\"", "x".repeat(1_000)));
        take(&mut subscription, 1).await;
    }
    for number in 0..200 {
        test.log.put("small", number % 4, &format!("\"{}\"", "x".repeat(1_000)));
        take(&mut subscription, 1).await;
        assert!(test.metric("weirgate_feed_ring_bytes") <= 152_000.0);
    }
    assert!(test.metric("weirgate_feed_ring_bytes") > 130_000.0);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_pools_readers_read_behind_and_all_are_served() {
    let test = TestFeed::with_config(config(4_000, 1_000_000, 2));
    test.log.create("t", 8);
    for number in 0..800 {
        test.log.put("t", number % 8, "{}");
    }
    let mut subscriptions = Vec::new();
    for _ in 0..20 {
        subscriptions.push(test.subscribe("t", From::Earliest).await);
    }
    let reading = subscriptions.iter_mut().map(|subscription| async {
        let seen = take(subscription, 800).await;
        assert!(test.log.catch_up_reading.load(Ordering::SeqCst) <= 2);
        seen.len()
    });
    let seen = futures_util::future::join_all(reading).await;
    assert!(seen.iter().all(|seen| *seen == 800));
}

#[tokio::test(start_paused = true)]
async fn readers_of_one_place_share_one_read() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    for _ in 0..100 {
        test.log.put("t", 0, "{}");
    }
    let mut subscriptions = Vec::new();
    for _ in 0..200 {
        subscriptions.push(test.subscribe("t", From::Earliest).await);
    }
    let mut events = futures_util::future::join_all(subscriptions.iter_mut().map(drain)).await;
    events.iter_mut().for_each(|pushes| pushes.retain(|push| matches!(push, Push::Event(_))));
    assert!(events.iter().all(|events| events.len() == 100));
    let firsts: Vec<_> = events.iter().map(|events| &events[0]).collect();
    let shared = |left: &Push, right: &Push| matches!((left, right), (Push::Event(left), Push::Event(right)) if std::sync::Arc::ptr_eq(left, right));
    assert!(firsts.iter().all(|first| shared(first, firsts[0])), "frames are shared too");
    assert_eq!(test.log.catch_up_reads.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn blocks_hold_their_bytes_and_no_more() {
    let test = TestFeed::with_config(config(4_000, 1_000_000, 1));
    test.log.create("small", 1);
    test.log.create("large", 1);
    for _ in 0..20_000 {
        test.log.put("small", 0, "1");
    }
    for _ in 0..200 {
        test.log.put("large", 0, &format!("\"{}\"", "x".repeat(50_000)));
    }
    for name in ["small", "large"] {
        let mut subscription = test.subscribe(name, From::Earliest).await;
        let mut events = 0;
        while events < test.log.end(name, 0) {
            let pushes = subscription.next(100_000).await.unwrap();
            events += pushes.iter().filter(|push| matches!(push, Push::Event(_))).count() as u64;
            tokio::time::sleep(Duration::from_millis(50)).await;
            // What was read last may have got its frames since.
            assert!(test.metric("weirgate_feed_catch_up_bytes") <= 1.5 * BYTES_PER_READER as f64);
        }
        assert!(test.metric("weirgate_feed_catch_up_bytes") > 0.5 * BYTES_PER_READER as f64, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_reader_holds_no_reader_of_the_pool() {
    let test = TestFeed::with_config(config(4_000, 1_000_000, 1));
    test.log.create("t", 2);
    for number in 0..400 {
        test.log.put("t", number % 2, "{}");
    }
    let mut stalled = test.subscribe("t", From::Earliest).await;
    test.log.hold(|log| &log.is_catch_up_held, true);
    // Asks for a block, and is not polled again.
    assert!(tokio::time::timeout(Duration::from_millis(1), stalled.next(1)).await.is_err());
    test.log.hold(|log| &log.is_catch_up_held, false);
    let mut other = test.subscribe("t", From::Earliest).await;
    assert_eq!(take(&mut other, 400).await.len(), 400);
    assert_eq!(take(&mut stalled, 400).await.len(), 400);
}

#[tokio::test(start_paused = true)]
async fn blocks_readers_and_tails_go_when_nobody_needs_them() {
    let test = TestFeed::start();
    test.log.create("t", 3);
    for number in 0..30 {
        test.log.put("t", number % 3, "{}");
    }
    let mut subscription = test.subscribe("t", From::Earliest).await;
    take(&mut subscription, 30).await;
    assert_eq!(test.metric("weirgate_feed_subscriptions"), 1.0);
    assert_eq!(test.metric("weirgate_feed_tails"), 3.0);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(test.log.catch_up_reading.load(Ordering::SeqCst), 0, "idle readers are closed");
    assert_eq!(test.metric("weirgate_feed_catch_up_bytes"), 0.0);
    drop(subscription);
    assert_eq!(test.metric("weirgate_feed_subscriptions"), 0.0);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(test.metric("weirgate_feed_tails"), 3.0, "a reader may come back soon");
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(test.metric("weirgate_feed_tails"), 0.0);
    assert_eq!(test.log.tails.load(Ordering::SeqCst), 0);
    let mut again = test.follow("t").await;
    test.log.put("t", 0, "{}");
    assert_eq!(take(&mut again, 1).await, ["t/0@10"]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_filters_cost_a_record_its_match_alone() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let mut subscriptions = Vec::new();
    for customer in 0..10_000 {
        let filter = format!(
            r#"{{"and":[{{"pointer":"/data/kind","eq":"order"}},{{"pointer":"/data/customerId","eq":"{customer}"}}]}}"#
        );
        subscriptions.push(test.feed.subscribe(filtered(&["t"], From::Latest, &filter)).await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let started = std::time::SystemTime::now();
    for customer in 0..1_000 {
        test.log.put("t", 0, &format!(r#"{{"kind":"order","customerId":"{}"}}"#, customer * 10));
    }
    assert_eq!(take(&mut subscriptions[9_990], 1).await, ["t/0@999"]);
    assert_eq!(take(&mut subscriptions[0], 1).await, ["t/0@0"]);
    // 10 million judgements take tens of seconds here; a thousand look-ups take none.
    assert!(started.elapsed().unwrap() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn an_idle_subscription_is_small() {
    let test = TestFeed::start();
    test.log.create("t", 3);
    let mut subscription = test.follow("t").await;
    assert!(size_of::<Subscription>() <= 256, "{}", size_of::<Subscription>());
    assert!(
        size_of::<Place>() <= 48 && size_of::<Bell>() <= 64,
        "{} {}",
        size_of::<Place>(),
        size_of::<Bell>()
    );
    assert!(size_of_val(&subscription.next(1)) <= 1_024, "{}", size_of_val(&subscription.next(1)));
}

#[test]
fn subscribers_on_other_runtimes_miss_no_wake() {
    const RECORDS: usize = 5_000;
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async {
        let test = TestFeed::with_ring_bytes(200_000);
        test.log.create("t", 1);
        let feed = test.feed.clone();
        let (ready, mut is_ready) = tokio::sync::mpsc::channel(1);
        let threads = [1, 1_000_000].map(|bytes| {
            let (feed, ready) = (feed.clone(), ready.clone());
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let opening = (0..20).map(|_| feed.subscribe(request(&["t"], From::Latest)));
                    let subscriptions = futures_util::future::try_join_all(opening).await.unwrap();
                    ready.send(()).await.unwrap();
                    let reading = subscriptions.into_iter().map(|mut subscription| async move {
                        let mut seen = 0;
                        while seen < RECORDS {
                            let pushes = subscription.next(bytes).await.unwrap();
                            seen += pushes.iter().filter(|push| matches!(push, Push::Event(_))).count();
                        }
                        seen
                    });
                    futures_util::future::join_all(reading).await.iter().sum::<usize>()
                })
            })
        });
        for _ in &threads {
            is_ready.recv().await.unwrap();
        }
        for _ in 0..RECORDS {
            test.log.put("t", 0, "{}");
            tokio::task::yield_now().await;
        }
        for thread in threads {
            let seen = tokio::task::spawn_blocking(move || thread.join().unwrap());
            let seen =
                tokio::time::timeout(Duration::from_secs(60), seen).await.expect("all is seen").unwrap();
            assert_eq!(seen, 20 * RECORDS);
        }
    });
}
