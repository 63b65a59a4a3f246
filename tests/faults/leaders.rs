//! Brokers that die, stand still, and come back.

use std::ops::Range;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, interval};

use crate::brokers::NODES;
use crate::gateway::Gateway;
use crate::history::{Deed, Entry, Kind};
use crate::publishers::{NOT_TOLD_WHEN, Pace, Retry};
use crate::run::{PATIENT, Plan, Run};
use crate::{is_long, promised, until};

/// How long the publishers may take to go on after a leader was lost: Kafka notices after 9 s that a broker is dead.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long publishers may stand still when a leader is killed, and when it is ended and gives its partitions away first.
const KILLED_STALL_MAX: Duration = Duration::from_secs(15);
const ENDED_STALL_MAX: Duration = Duration::from_secs(2);

/// How long a leader stands still in the long form; in the short one until it was deposed.
const PAUSE: Duration = Duration::from_secs(30);

/// How soon gateways say that all brokers are gone, and publishers go on after their return.
const UNREADY_MAX: Duration = Duration::from_secs(5);
const BACK_MAX: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn without_faults_nothing_is_lost_repeated_or_out_of_order() {
    let plan = Plan { delivery_timeout: PATIENT, ..Plan::default() };
    let run = Run::begin("no-faults", plan).await;
    run.publishers.go_on(40, PATIENCE).await;
    let verdict = run.end(Duration::from_secs(5)).await;
    assert_eq!((verdict.counts.unknown, verdict.counts.refused), (0, 0));
    verdict.assert_nothing_repeated(0);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn leaders_that_are_killed_and_ended_take_nothing_with_them_and_leave_50_keys_in_order() {
    let (mut killed, mut ended) = (Vec::new(), Vec::new());
    let pace = Pace { publishers: 50, every: Duration::from_millis(400), retry: Retry::Never };
    let plan = Plan { pace, ..Plan::default() };
    let verdict = Run::rounds("leaders-killed", plan, Duration::from_secs(30), async |run| {
        let (leader, from) = (run.leader().await, run.book.now());
        run.brokers_mut().kill(leader);
        run.publishers.go_on(5, PATIENCE).await;
        killed.push(from..run.book.now());
        run.brokers_mut().heal().await;
        let (leader, from) = (run.leader().await, run.book.now());
        run.brokers_mut().terminate(leader);
        run.publishers.go_on(5, PATIENCE).await;
        ended.push(from..run.book.now());
        run.brokers_mut().heal().await;
    })
    .await;
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
    verdict.assert_stalls("kill -9", &killed, Some(KILLED_STALL_MAX));
    verdict.assert_stalls("SIGTERM", &ended, Some(ENDED_STALL_MAX));
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_leader_that_stands_still_and_wakes_up_deposed_takes_nothing_with_it() {
    let mut paused = Vec::new();
    let verdict = Run::rounds("leader-paused", Plan::default(), Duration::from_secs(30), async |run| {
        let (leader, from, began) = (run.leader().await, run.book.now(), Instant::now());
        run.brokers_mut().pause(leader);
        run.publishers.go_on(5, PATIENCE).await;
        while is_long() && began.elapsed() < PAUSE {
            run.publishers.go_on(1, PATIENCE).await;
        }
        paused.push(from..run.book.now());
        // The broker that is asked may hear so later than the publishers.
        until("it was deposed meanwhile", PATIENCE, async || (run.leader().await != leader).then_some(()))
            .await;
        run.brokers_mut().resume(leader);
        run.publishers.go_on(5, PATIENCE).await;
        run.brokers_mut().heal().await;
    })
    .await;
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
    verdict.assert_stalls("SIGSTOP", &paused, None);
}

/// Nobody answers at the address that the gateways were told; where it is now they hear from the others.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_leader_that_comes_back_at_another_address_is_found_there() {
    let mut moved = Vec::new();
    let verdict = Run::rounds("leader-moved", Plan::default(), Duration::from_secs(30), async |run| {
        let (leader, from) = (run.leader().await, run.book.now());
        run.brokers_mut().move_away(leader);
        run.publishers.go_on(5, PATIENCE).await;
        run.brokers_mut().heal().await;
        // It is the first of the replicas, or would not have led.
        run.brokers().elect_preferred();
        until("it leads again", PATIENCE, async || (run.leader().await == leader).then_some(())).await;
        run.publishers.go_on(5, PATIENCE).await;
        run.group_goes_on(PATIENCE).await;
        moved.push(from..run.book.now());
    })
    .await;
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
    verdict.assert_stalls("another address", &moved, None);
}

/// One of three can neither elect a leader nor store anything that two must have.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn while_two_of_three_are_dead_nothing_is_answered_as_stored() {
    let plan = Plan { delivery_timeout: Duration::from_secs(3), ..Plan::default() };
    let mut windows = Vec::new();
    let verdict = Run::rounds("two-of-three-killed", plan, Duration::from_secs(60), async |run| {
        let leader = run.leader().await;
        run.brokers_mut().kill((leader + 1) % NODES);
        run.brokers_mut().kill((leader + 2) % NODES);
        let killed = run.book.now();
        run.publishers.until_not_stored(2, PATIENCE).await;
        windows.push(killed..run.book.now());
        run.brokers_mut().start_missing();
        run.publishers.go_on(5, PATIENCE).await;
        run.brokers_mut().heal().await;
    })
    .await;
    for window in windows {
        let stored = stored_within(&verdict.case.history, &window);
        assert_eq!(stored, Vec::<&Entry>::new(), "with one replica of three");
    }
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn gateways_outlive_an_outage_of_all_brokers_and_say_so() {
    let outage = Duration::from_secs(if is_long() { 60 } else { 15 });
    let verdict = Run::rounds("all-killed", Plan::default(), Duration::from_secs(90), async |run| {
        let resident: Vec<u64> = run.gateways.iter().map(Gateway::resident_kib).collect();
        for node in 0..NODES {
            run.brokers_mut().kill(node);
        }
        let outlived =
            run.gateways.iter().zip(resident).map(|(gateway, before)| outlive(gateway, before, outage));
        tokio::join!(join_all(outlived), run.publishers.until_not_stored(20, PATIENCE));
        run.brokers_mut().start_missing();
        run.publishers.go_on(1, promised(BACK_MAX)).await;
        run.brokers_mut().heal().await;
    })
    .await;
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
    let refused: Vec<&Entry> =
        verdict.case.history.iter().filter(|entry| entry.note.starts_with("503")).collect();
    assert!(refused.len() > 100, "{} were told to try again", refused.len());
    let is_not_told_when = |entry: &&&Entry| entry.note.ends_with(NOT_TOLD_WHEN);
    assert_eq!(refused.iter().find(is_not_told_when), None);
}

/// Looks at a gateway for as long as no broker runs: it says so soon, lives, and keeps its size.
async fn outlive(gateway: &Gateway, resident_kib: u64, outage: Duration) {
    let began = Instant::now();
    let told = async || gateway.ready().await.filter(|(status, _)| *status == 503).map(drop);
    until("the gateway is not ready", promised(UNREADY_MAX), told).await;
    let mut looks = interval(Duration::from_millis(500));
    while began.elapsed() < outage {
        looks.tick().await;
        let status = async |path| gateway.get(path).await.map(|(status, _)| status);
        assert_eq!((status("/livez").await, status("/readyz").await), (Some(200), Some(503)));
        let now = gateway.resident_kib();
        assert!(now < resident_kib + 64 * 1024, "{now} KiB, before {resident_kib}");
    }
}

/// Answers that say stored, to what was sent and answered within this time.
fn stored_within<'a>(history: &'a [Entry], window: &Range<u64>) -> Vec<&'a Entry> {
    let sent = |id: &str| {
        history.iter().any(|entry| {
            entry.id == id && entry.is(Deed::Publish, Kind::Invoke) && window.contains(&entry.t_mono)
        })
    };
    let stored = history.iter().filter(|entry| entry.is(Deed::Publish, Kind::Ok));
    stored.filter(|entry| window.contains(&entry.t_mono) && sent(&entry.id)).collect()
}
