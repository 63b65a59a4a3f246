//! A dead letter that cannot be written: what it is about stays uncommitted until it can, also when gateways die.

use std::time::Duration;

use tokio::time::Instant;

use crate::alone::waiting_for_letters;
use crate::gateway::metric;
use crate::gateways::assert_nothing_was_refused_and_little_repeated;
use crate::ground::Engine;
use crate::publishers::{Pace, Retry, publish_one};
use crate::run::{PARTITIONS, Plan, Run};
use crate::settling::POISON;
use crate::{broker, rounds, until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than the letters have no place. When a record of one topic times out, librdkafka begins a new epoch, and what
/// another topic's broker had stored and not answered well may be sent again under it: a copy that is the client's.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// So many tries to write a letter are looked for after the first, and so long they take at least: 100 ms until the next one,
/// then twice as long each time.
const TRIES: u32 = 4;
const BACK_OFF: Duration = Duration::from_millis(1_500);

/// The letters' topic wants all three replicas, so it takes none while a broker is dead; the source takes them.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_rejected_event_is_not_committed_before_its_letter_is_stored() {
    let pace = Pace { retry: Retry::UntilStored, ..Plan::default().pace };
    let plan = Plan { pace, delivery_timeout: DELIVERY_TIMEOUT, ..Plan::default() };
    let mut run = Run::begin("letters", plan).await;
    let letters = run.names.letters();
    run.brokers().make_topic(&letters, PARTITIONS, &[("min.insync.replicas", "3")]).await;
    let mut recorder = run.book.recorder(POISON);
    let mut poisons = 0;
    for _ in 0..rounds() {
        let leader = run.leader().await;
        run.brokers_mut().kill(leader);
        run.publishers.go_on(5, PATIENCE).await;
        let (part, off) = publish_one(&mut recorder, &run.gateways[0].target, POISON).await;
        until("the event is rejected", PATIENCE, async || {
            run.subscribers.rejected.lock().unwrap().contains(&(part, off)).then_some(())
        })
        .await;
        // Time passes in which it would be committed, if anything were wrong.
        run.publishers.go_on(20, PATIENCE).await;
        assert!(
            run.committed(part).await.is_none_or(|committed| committed <= off),
            "passed without a letter"
        );
        for gateway in &mut run.gateways {
            gateway.kill();
        }
        assert!(
            run.committed(part).await.is_none_or(|committed| committed <= off),
            "passed without a letter"
        );
        for gateway in &mut run.gateways {
            gateway.start_again().await;
        }
        run.brokers_mut().heal().await;
        until("the event is committed", PATIENCE, async || {
            run.committed(part).await.filter(|committed| *committed > off)
        })
        .await;
        poisons += 1;
    }
    // That each has a letter in the end the checkers see.
    let verdict = run.end(PATIENCE).await;
    assert!(verdict.letters.len() >= poisons, "{} letters of {poisons} events", verdict.letters.len());
}

/// Where the letters of a gateway's own log belong lies a table, which cannot become what they need. Other partitions go on.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_gateways_own_log_a_rejected_event_waits_for_its_letter_and_no_other_partition_does() {
    let metrics = broker::free_port();
    let plan = Plan { metrics: Some(metrics), ..Plan::retrying(Engine::Embedded) };
    let mut run = Run::begin("letters-alone", plan).await;
    let (letters, mut recorder) = (run.names.letters(), run.book.recorder(POISON));
    for round in 0..rounds() {
        run.gateways[0].terminate().await;
        let before = run.in_log(async |log| {
            let before = log.take_away(&letters).await;
            log.put_table(&letters).await;
            before
        });
        let before = before.await;
        assert_eq!(before.len(), usize::from(round > 0), "one letter of an event: {before:?}");
        run.taken.extend(before);
        run.gateways[0].start_again().await;
        run.gateways[0].until_ready().await;

        let (target, began) = (run.gateways[0].target.clone(), Instant::now());
        let (part, off) = publish_one(&mut recorder, &target, POISON).await;
        until("the letter is tried again and again", PATIENCE, async || {
            let failures = metric(metrics, "weirgate_dlq_write_failures_total").await?;
            (failures > f64::from(TRIES)).then_some(())
        })
        .await;
        assert!(began.elapsed() >= BACK_OFF, "{TRIES} more tries after {:?}", began.elapsed());
        until("the event is told to wait for its letter", PATIENCE, async || {
            let waiting = waiting_for_letters(&target, &run.names).await?;
            (waiting == [(part, off)]).then_some(())
        })
        .await;
        until("alerts see how long", PATIENCE, async || {
            metric(metrics, "weirgate_lane_blocked_seconds_max").await.filter(|seconds| *seconds > 0.0)
        })
        .await;
        run.publishers.go_on(20, PATIENCE).await;
        run.group_goes_on_elsewhere(part, PATIENCE).await;
        run.gateways[0].kill();
        let names = run.names.clone();
        let after = run.in_log(async |log| {
            let committed = log.committed(&names.group, &names.topic).await;
            (committed, log.take_away(&letters).await)
        });
        let (committed, stored) = after.await;
        let passed = committed.iter().find(|(of, committed)| *of == part && *committed > off);
        assert_eq!((passed, stored), (None, Vec::new()), "passed without a letter");
        run.gateways[0].start_again().await;
        run.gateways[0].until_ready().await;
        until("the event is committed", PATIENCE, async || {
            run.committed(part).await.filter(|committed| *committed > off)
        })
        .await;
        run.group_goes_on(PATIENCE).await;
    }
    let verdict = run.end(PATIENCE).await;
    assert_nothing_was_refused_and_little_repeated(&verdict, rounds() as usize);
    assert_eq!(verdict.letters.len(), 1, "one letter of the last event: {:?}", verdict.letters);
}
