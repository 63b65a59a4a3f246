//! A broker that clients reach and the other brokers do not.

use std::time::Duration;

use crate::history::Entry;
use crate::run::{PARTITIONS, Plan, Run};
use crate::{is_long, until};

/// How long it may take until another broker leads: Kafka notices after 9 s that one is gone.
const PATIENCE: Duration = Duration::from_secs(90);
const GROUPS: &str = "__consumer_offsets";

/// It takes what clients send and has nobody to share it with: were that answered as stored, it would be lost when the
/// others are back and another one leads. A broker that coordinates groups is spared: it would go on to tell its members
/// that they have what the next coordinator gives to others, and no client could know.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_leader_that_no_other_broker_reaches_stores_nothing_alone() {
    let verdict = Run::rounds("leader-isolated", Plan::default(), Duration::from_secs(30), async |run| {
        if is_long() {
            // In the rounds before others have come to lead everything.
            run.brokers().elect_preferred();
        }
        let coordinator = run.brokers().leader(GROUPS, 0).await;
        let (mut part, mut leader) = (0, run.leader().await);
        while leader == coordinator && part + 1 < PARTITIONS {
            part += 1;
            leader = run.brokers().leader(&run.names.topic, part).await;
        }
        assert_ne!(leader, coordinator, "the partitions have several leaders");
        run.brokers().isolate(leader);
        // With another leader: this one has nobody to share with. Who asks it hears nothing of that.
        run.publishers.go_on(5, PATIENCE).await;
        run.brokers().mend();
        until("it has heard that another one leads, and all have everything", PATIENCE, async || {
            let all = run.brokers().partitions_of(&run.names.topic)?;
            all.iter().all(|one| one.is_whole() && !one.is_led_by(part, leader)).then_some(())
        })
        .await;
        run.publishers.go_on(5, PATIENCE).await;
    })
    .await;
    assert_eq!(verdict.refusals(), Vec::<&Entry>::new(), "whose fault it is not");
}
