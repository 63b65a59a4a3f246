//! Gateways that die, and that are restarted one after the other, with clients that try again.

use std::time::Duration;

use crate::history::{Deed, Entry, Kind};
use crate::publishers::{Pace, Retry};
use crate::run::{Plan, Run};

/// How long the publishers may take to go on with the other gateway.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the control may stand still for while no broker is touched.
const CONTROL_STALL_MAX: Duration = Duration::from_secs(5);
/// Deliveries that may come again after a gateway was killed: what a run settles, about 130 a second, in the second from one
/// commit to the next, and twice as much again.
const REDELIVERED_MAX: usize = 400;

fn retrying() -> Plan {
    let plan = Plan::default();
    Plan { pace: Pace { retry: Retry::UntilStored, ..plan.pace }, ..plan }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn gateways_and_workers_that_are_killed_lose_nothing_and_repeat_only_what_was_unknown() {
    let mut kills = 0;
    let verdict = Run::rounds("gateways-killed", retrying(), CONTROL_STALL_MAX, async |run| {
        for victim in 0..run.gateways.len() {
            run.subscribers.break_worker(victim);
            run.publishers.go_on(5, PATIENCE).await;
            run.gateways[victim].kill();
            run.publishers.go_on(5, PATIENCE).await;
            run.group_goes_on(PATIENCE).await;
            run.gateways[victim].start_again().await;
            run.gateways[victim].until_ready().await;
            kills += 1;
        }
    })
    .await;
    let counts = verdict.counts;
    assert_eq!((counts.refused, counts.unknown), (0, 0), "every event is stored in the end");
    let unknown = verdict.case.history.iter().filter(|entry| entry.is(Deed::Publish, Kind::Info)).count();
    assert!(counts.duplicates <= unknown, "{} duplicates of {unknown} unknown outcomes", counts.duplicates);
    assert!(counts.redelivered <= kills * REDELIVERED_MAX, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn gateways_restarted_one_after_the_other_under_load_fail_and_repeat_nothing() {
    let mut told = Vec::new();
    let verdict = Run::rounds("rolling-restart", retrying(), CONTROL_STALL_MAX, async |run| {
        for victim in 0..run.gateways.len() {
            told.push(run.book.now());
            run.gateways[victim].terminate().await;
            run.publishers.go_on(5, PATIENCE).await;
            run.gateways[victim].start_again().await;
            run.gateways[victim].until_ready().await;
            run.publishers.go_on(5, PATIENCE).await;
        }
    })
    .await;
    for told in told {
        assert_eq!(
            under_way(&verdict.case.history, told),
            Vec::<&Entry>::new(),
            "what was under way at SIGTERM is stored"
        );
    }
    let attempts = verdict
        .case
        .history
        .iter()
        .filter(|entry| entry.f == Deed::Publish)
        .filter_map(|entry| entry.attempt);
    assert!(attempts.max() <= Some(4), "three more tries are enough");
    let counts = verdict.counts;
    assert_eq!((counts.duplicates, counts.redelivered, verdict.losses()), (0, 0, 0), "{counts:?}");
    let ends = verdict
        .case
        .history
        .iter()
        .filter(|entry| entry.is(Deed::Close, Kind::Info) && entry.proc.starts_with('w'));
    let rude: Vec<&Entry> = ends.filter(|end| !end.note.contains("4300") && end.note != "stopped").collect();
    assert_eq!(rude, Vec::<&Entry>::new(), "workers are told to come back");
}

/// Publishes begun before `told` that ended after it otherwise than stored.
fn under_way(history: &[Entry], told: u64) -> Vec<&Entry> {
    let ends = history.iter().filter(|entry| {
        entry.f == Deed::Publish && entry.t_mono > told && matches!(entry.kind, Kind::Fail | Kind::Info)
    });
    let begun_before = |end: &&Entry| {
        history.iter().any(|begun| {
            begun.is(Deed::Publish, Kind::Invoke)
                && (&begun.id, begun.attempt) == (&end.id, end.attempt)
                && begun.t_mono < told
        })
    };
    ends.filter(begun_before).collect()
}
