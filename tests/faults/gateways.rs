//! Gateways that die, and that are restarted one after the other, with clients that try again.

use std::time::Duration;

use tokio::time::Instant;

use crate::ground::Engine;
use crate::history::{Deed, Entry, Kind};
use crate::run::{Plan, Run};
use crate::settling::Settling;
use crate::verdict::Verdict;
use crate::watchers::Watchers;
use crate::{is_long, rounds, until};

/// How long the publishers may take to go on with the other gateway.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a gateway stands still: longer than the group's session, which is 5 s here.
const PAUSE: Duration = Duration::from_secs(8);
/// What the control may stand still for while no broker is touched.
const CONTROL_STALL_MAX: Duration = Duration::from_secs(5);
/// Deliveries that fail at least, so that their coming again in order was looked at.
pub(crate) const FAILED_MIN: usize = 11;
/// Deliveries that may come again after a gateway was killed: what a run settles, about 130 a second, in the second from one
/// commit to the next, and twice as much again.
pub(crate) const REDELIVERED_MAX: usize = 400;

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn gateways_and_workers_that_are_killed_lose_nothing_and_repeat_only_what_was_unknown() {
    killed("gateways-killed", Engine::Kafka).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_its_own_log_that_is_killed_loses_nothing_and_repeats_only_what_was_unknown() {
    killed("gateway-killed", Engine::Embedded).await;
}

async fn killed(name: &'static str, engine: Engine) {
    let mut kills = 0;
    let plan = Plan { settling: Settling::SomeTwice, ..Plan::retrying(engine) };
    let verdict = Run::rounds(name, plan, CONTROL_STALL_MAX, async |run| {
        for victim in 0..run.gateways.len() {
            run.subscribers.break_worker(victim);
            run.publishers.go_on(5, PATIENCE).await;
            run.gateways[victim].kill();
            if run.gateways.len() > 1 {
                run.publishers.go_on(5, PATIENCE).await;
                run.group_goes_on(PATIENCE).await;
            }
            run.gateways[victim].start_again().await;
            run.gateways[victim].until_ready().await;
            run.publishers.go_on(5, PATIENCE).await;
            run.group_goes_on(PATIENCE).await;
            kills += 1;
        }
        run.until_failed(FAILED_MIN, PATIENCE).await;
    })
    .await;
    assert_nothing_was_refused_and_little_repeated(&verdict, kills);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn gateways_restarted_one_after_the_other_under_load_fail_and_repeat_nothing() {
    let verdict = restarted("rolling-restart", Engine::Kafka).await;
    let attempts = verdict
        .case
        .history
        .iter()
        .filter(|entry| entry.f == Deed::Publish)
        .filter_map(|entry| entry.attempt);
    // Where the log does not answer in time, the gateway that stays has no answer either.
    let tries = attempts.max();
    assert!(
        tries <= Some(4) || !is_long() && verdict.has_timed_out(),
        "three more tries are enough: {tries:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_its_own_log_restarted_under_load_repeats_nothing() {
    restarted("restart", Engine::Embedded).await;
}

async fn restarted(name: &'static str, engine: Engine) -> Verdict {
    let mut told = Vec::new();
    let verdict = Run::rounds(name, Plan::retrying(engine), CONTROL_STALL_MAX, async |run| {
        for victim in 0..run.gateways.len() {
            let name = format!("watchers{}", told.len());
            let watchers = Watchers::join(&name, &run.gateways[victim].target, &run.names.topic).await;
            told.push(run.book.now());
            let took = run.gateways[victim].terminate().await;
            watchers.assert_spread(took, &run.book).await;
            if run.gateways.len() > 1 {
                run.publishers.go_on(5, PATIENCE).await;
            }
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
    verdict.assert_nothing_repeated(0);
    let ends = verdict
        .case
        .history
        .iter()
        .filter(|entry| entry.is(Deed::Close, Kind::Info) && entry.proc.starts_with('w'));
    let rude: Vec<&Entry> = ends.filter(|end| !end.note.contains("4300") && end.note != "stopped").collect();
    assert_eq!(rude, Vec::<&Entry>::new(), "workers are told to come back");
    verdict
}

/// It learns only afterwards that others have its partitions. That is what the other runs deny, which would prove nothing if it
/// could not be seen.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_gateway_that_stands_still_loses_its_partitions_and_nothing_else() {
    let verdict =
        Run::rounds("gateway-paused", Plan::retrying(Engine::Kafka), CONTROL_STALL_MAX, async |run| {
            let gateway = &run.gateways[0];
            let is_busy = async || run.subscribers.is_busy(0).then_some(());
            until("the gateway has partitions", PATIENCE, is_busy).await;
            let (before, began) = (gateway.losses().len(), Instant::now());
            gateway.pause();
            while began.elapsed() < PAUSE {
                run.group_goes_on(PATIENCE).await;
            }
            gateway.resume();
            let has_heard = async || (gateway.losses().len() > before).then_some(());
            until("the gateway hears that it lost its partitions", PATIENCE, has_heard).await;
            run.publishers.go_on(5, PATIENCE).await;
            run.group_goes_on(PATIENCE).await;
        })
        .await;
    assert!(verdict.losses() >= rounds() as usize, "{} losses", verdict.losses());
    assert_nothing_was_refused_and_little_repeated(&verdict, 0);
}

/// Every event is stored in the end, at most as often as it was not said whether; and of what a faulty gateway had settled, only
/// what it had not committed is delivered again. One that was not heard in time, since the machine did other things, is as faulty
/// as one that was killed.
pub(crate) fn assert_nothing_was_refused_and_little_repeated(verdict: &Verdict, faults: usize) {
    let counts = verdict.counts;
    assert_eq!((counts.refused, counts.unknown), (0, 0), "every event is stored in the end");
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
    let unknown = verdict.case.history.iter().filter(|entry| entry.is(Deed::Publish, Kind::Info)).count();
    let is_excused = counts.duplicates <= unknown || verdict.has_timed_out();
    assert!(is_excused, "{} duplicates of {unknown} unknown outcomes", counts.duplicates);
    let faults = faults + verdict.losses();
    assert!(counts.redelivered <= faults * REDELIVERED_MAX, "{counts:?} after {faults} faults");
}

/// Publishes begun before `told` that ended after it otherwise than stored. What the log itself did not answer in time is
/// none of them.
fn under_way(history: &[Entry], told: u64) -> Vec<&Entry> {
    let ends = history.iter().filter(|entry| {
        entry.f == Deed::Publish
            && entry.t_mono > told
            && matches!(entry.kind, Kind::Fail | Kind::Info)
            && !entry.has_timed_out()
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
