//! Catching up and joining the ring, against a naive model.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use crate::feed::fake::{TestFeed, drain, filtered, request, short, take};
use crate::feed::{Config, From, GapReason, Push, Subscription};

const PARTITIONS: usize = 2;

/// What happens in one run.
#[derive(Debug, Clone)]
enum Step {
    /// Records come; each is wanted by the filter or not.
    Put { partition: usize, wanted: Vec<bool> },
    /// A subscriber comes, at the beginning, the end, or where an earlier one stands.
    Subscribe { from: Begin, is_filtered: bool },
    /// A subscriber takes a few times.
    Take { who: usize, calls: usize, bytes: usize },
    /// The log forgets its oldest records.
    Retain { partition: usize, keep: u64 },
    /// Tails stop and go on.
    HoldTails(bool),
    /// The log is away and comes back.
    Fail(bool),
    /// Tasks run.
    Pass,
}

#[derive(Debug, Clone)]
enum Begin {
    Earliest,
    Latest,
    CursorOf(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    prop_oneof![
        6 => (partition.clone(), prop::collection::vec(prop::bool::weighted(0.3), 1..12))
            .prop_map(|(partition, wanted)| Step::Put { partition, wanted }),
        2 => (prop_oneof![
            Just(Begin::Earliest),
            Just(Begin::Latest),
            any::<usize>().prop_map(Begin::CursorOf),
        ], any::<bool>()).prop_map(|(from, is_filtered)| Step::Subscribe { from, is_filtered }),
        6 => (any::<usize>(), 1..4_usize, prop_oneof![Just(1_usize), Just(200), Just(100_000)])
            .prop_map(|(who, calls, bytes)| Step::Take { who, calls, bytes }),
        1 => (partition, 0..30_u64).prop_map(|(partition, keep)| Step::Retain { partition, keep }),
        1 => any::<bool>().prop_map(Step::HoldTails),
        1 => any::<bool>().prop_map(Step::Fail),
        3 => Just(Step::Pass),
    ]
}

/// A subscriber, where it began, and what it has seen of each partition.
struct Subscriber {
    subscription: Subscription,
    is_filtered: bool,
    begin: [u64; PARTITIONS],
    seen: [Vec<u64>; PARTITIONS],
    gaps: [Vec<(u64, u64)>; PARTITIONS],
}

impl Subscriber {
    fn note(&mut self, pushes: &[Push]) {
        for push in pushes {
            match push {
                Push::Event(frame) => self.seen[frame.partition.index()].push(frame.offset.number()),
                Push::Gap(gap) => {
                    assert_eq!(gap.reason, GapReason::Retention);
                    self.gaps[gap.partition.index()].push((gap.from.number(), gap.to.number()));
                }
                Push::Positions { .. } => {}
            }
        }
    }

    /// Every record it asked for was seen once and in order, or is told missing.
    fn check(&self, records: &[Vec<bool>; PARTITIONS]) {
        for partition in 0..PARTITIONS {
            let seen = &self.seen[partition];
            assert!(seen.is_sorted_by(|left, right| left < right), "order or duplicate: {seen:?}");
            let is_told =
                |offset: u64| self.gaps[partition].iter().any(|(from, to)| (*from..*to).contains(&offset));
            let wanted = (self.begin[partition]..)
                .zip(&records[partition][usize::try_from(self.begin[partition]).unwrap()..]);
            let wanted = wanted.filter(|(_, wanted)| **wanted || !self.is_filtered).map(|(offset, _)| offset);
            let wanted: Vec<u64> = wanted.filter(|offset| !is_told(*offset)).collect();
            assert_eq!(
                *seen, wanted,
                "partition {partition}, filtered: {}, gaps {:?}",
                self.is_filtered, self.gaps
            );
        }
    }
}

async fn run(ring_bytes: usize, steps: Vec<Step>) {
    let test = TestFeed::with_config(Config {
        ring_bytes_per_partition: ring_bytes,
        ring_bytes_total: ring_bytes * PARTITIONS,
        catch_up_readers_max: 2,
    });
    test.log.create("t", u32::try_from(PARTITIONS).unwrap());
    let mut records: [Vec<bool>; PARTITIONS] = Default::default();
    let mut starts = [0; PARTITIONS];
    let mut subscribers: Vec<Subscriber> = Vec::new();
    for step in steps {
        match step {
            Step::Put { partition, wanted } => {
                for wanted in wanted {
                    test.log.put("t", partition, &format!(r#"{{"wanted":{wanted}}}"#));
                    records[partition].push(wanted);
                }
            }
            Step::Subscribe { from, is_filtered } => {
                let ends = [0, 1].map(|partition| records[partition].len() as u64);
                let (from, begin) = match from {
                    Begin::Earliest => (From::Earliest, starts),
                    Begin::Latest => (From::Latest, ends),
                    Begin::CursorOf(who) => match subscribers.get(who % subscribers.len().max(1)) {
                        None => (From::Latest, ends),
                        Some(other) => {
                            let cursor = other.subscription.cursor();
                            let begin = [0, 1].map(|partition| cursor.entries[0].2[partition].1.number());
                            (From::Cursor { cursor, positions: BTreeMap::new() }, begin)
                        }
                    },
                };
                let wanted = match is_filtered {
                    true => filtered(&["t"], from, r#"{"pointer":"/data/wanted","eq":true}"#),
                    false => request(&["t"], from),
                };
                if test.log.is_failing.load(Ordering::SeqCst) || subscribers.len() >= 6 {
                    continue;
                }
                let subscription = test.feed.subscribe(wanted).await.unwrap();
                let (seen, gaps) = (Default::default(), Default::default());
                subscribers.push(Subscriber { subscription, is_filtered, begin, seen, gaps });
            }
            Step::Take { who, calls, bytes } => {
                let count = subscribers.len().max(1);
                let Some(subscriber) = subscribers.get_mut(who % count) else { continue };
                for _ in 0..calls {
                    let next = subscriber.subscription.next(bytes);
                    if let Ok(pushes) = tokio::time::timeout(Duration::from_millis(1), next).await {
                        subscriber.note(&pushes.unwrap());
                    }
                }
            }
            Step::Retain { partition, keep } => {
                let start = test.log.end("t", partition).saturating_sub(keep);
                starts[partition] = starts[partition].max(start);
                test.log.retain_from("t", partition, start);
            }
            Step::HoldTails(is_held) => test.log.hold(|log| &log.is_tail_held, is_held),
            Step::Fail(is_failing) => test.log.hold(|log| &log.is_failing, is_failing),
            Step::Pass => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    test.log.hold(|log| &log.is_tail_held, false);
    test.log.hold(|log| &log.is_failing, false);
    tokio::time::sleep(Duration::from_secs(30)).await;
    for subscriber in &mut subscribers {
        let pushes = drain(&mut subscriber.subscription).await;
        subscriber.note(&pushes);
        subscriber.check(&records);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_subscriber_sees_all_it_asked_for_once_and_in_order(
        ring_bytes in prop_oneof![Just(1_000_usize), Just(5_000), Just(1_000_000)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(ring_bytes, steps));
    }
}

#[tokio::test(start_paused = true)]
async fn holes_of_compaction_are_passed_over() {
    let test = TestFeed::with_ring_bytes(1_000_000);
    test.log.create("t", 1);
    for _ in 0..10 {
        test.log.put("t", 0, "{}");
    }
    for hole in [0, 3, 4, 9] {
        test.log.compact("t", 0, hole);
    }
    let mut subscription = test.subscribe("t", From::Earliest).await;
    let seen: Vec<String> = drain(&mut subscription).await.iter().filter_map(short).collect();
    assert_eq!(seen, ["t/0@1", "t/0@2", "t/0@5", "t/0@6", "t/0@7", "t/0@8"]);
    test.log.put("t", 0, "{}");
    assert_eq!(take(&mut subscription, 1).await, ["t/0@10"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_away_costs_no_event() {
    let test = TestFeed::start();
    test.log.create("t", 1);
    let mut subscription = test.follow("t").await;
    test.log.put("t", 0, "{}");
    take(&mut subscription, 1).await;
    test.log.hold(|log| &log.is_failing, true);
    test.log.put("t", 0, "{}");
    drain(&mut subscription).await;
    test.log.hold(|log| &log.is_failing, false);
    assert_eq!(take(&mut subscription, 1).await, ["t/0@1"]);
    assert!(test.metric("weirgate_feed_tail_failures_total") >= 1.0);
}

#[tokio::test(start_paused = true)]
async fn live_traffic_does_not_keep_another_partition_from_catching_up() {
    let test = TestFeed::with_ring_bytes(2_000);
    test.log.create("t", 2);
    for _ in 0..200 {
        test.log.put("t", 0, "{}");
    }
    let positions = crate::feed::fake::at("t", &[(0, 0), (1, 0)]);
    let mut subscription = test.subscribe("t", From::Positions(positions)).await;
    let mut behind = 0;
    for _ in 0..1_000 {
        test.log.put("t", 1, "{}");
        let pushes = subscription.next(1).await.unwrap();
        behind += pushes.iter().filter_map(short).filter(|push| push.starts_with("t/0")).count();
    }
    assert!(behind >= 200, "{behind}");
}
