//! A bad network between the gateways and the brokers: silent, cut, reset, slow. The control is on the same paths.

use std::time::Duration;

use crate::checkers::WHOLE;
use crate::history::{Deed, Entry, Kind};
use crate::proxy::Weather;
use crate::run::{Plan, Run};

const PATIENCE: Duration = Duration::from_secs(90);
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(3);

fn plan() -> Plan {
    Plan { delivery_timeout: DELIVERY_TIMEOUT, ..Plan::default() }
}

/// The paths to a leader fall silent, swallow answers, and break; the other leaders' partitions must not notice.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_leader_that_cannot_be_reached_holds_up_only_its_own_partitions() {
    let verdict = Run::rounds("leader-cut-off", plan(), Duration::from_secs(30), async |run| {
        for weather in [Weather::Silent, Weather::Mute, Weather::Cut] {
            let leader = run.leader().await;
            run.brokers().weather(leader, weather);
            run.publishers.until_someone_fails(4, PATIENCE).await;
            // What was silent for long is broken in the end.
            run.brokers().break_all(leader);
            run.publishers.go_on(5, PATIENCE).await;
        }
    })
    .await;
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
    verdict.assert_stalls("cut off", &[WHOLE], None);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn brokers_slower_than_the_delivery_timeout_leave_outcomes_unknown_and_never_refused() {
    let verdict = Run::rounds("slow-brokers", plan(), Duration::from_secs(30), async |run| {
        run.brokers().weather_everywhere(Weather::Slow(DELIVERY_TIMEOUT));
        run.publishers.until_not_stored(3, PATIENCE).await;
        run.brokers().weather_everywhere(Weather::Clear);
        run.publishers.go_on(5, PATIENCE).await;
    })
    .await;
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
    let publishes =
        verdict.case.history.iter().filter(|entry| entry.f == Deed::Publish && entry.proc.starts_with('p'));
    let unknown: Vec<&Entry> = publishes.filter(|entry| entry.kind == Kind::Info).collect();
    assert!(!unknown.is_empty(), "some were under way");
    let other: Vec<&&Entry> = unknown.iter().filter(|entry| entry.note != "504 outcome_unknown").collect();
    assert_eq!(other, Vec::<&&Entry>::new());
    assert!(verdict.counts.recovered > 0, "{:?}: what came late is there", verdict.counts);
}
