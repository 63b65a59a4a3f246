//! A dead letter that cannot be written: what it is about stays uncommitted until it can, also when gateways die.

use std::time::Duration;

use tokio::task::block_in_place;

use crate::log;
use crate::publishers::{Pace, Retry, publish_one};
use crate::run::{PARTITIONS, Plan, Run};
use crate::subscribers::POISON;
use crate::{rounds, until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than the letters have no place. When a record of one topic times out, librdkafka begins a new epoch, and what
/// another topic's broker had stored and not answered well may be sent again under it: a copy that is the client's.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

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
    let mut poisons = Vec::new();
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
        poisons.push((part, off));
    }
    // Before the end, with which the brokers may end, too.
    let stored = block_in_place(|| log::records(&run.brokers().client(), &letters, PARTITIONS));
    let verdict = run.end(PATIENCE).await;
    for (part, off) in poisons {
        let source =
            verdict.case.truth.iter().find(|stored| (stored.part, stored.off) == (part, off)).unwrap();
        let is_letter = |record: &&log::Raw| record.0 == part && log::id_of(&record.3) == source.id;
        assert!(stored.iter().any(|record| is_letter(&record)), "{} has a letter", source.id);
    }
}
