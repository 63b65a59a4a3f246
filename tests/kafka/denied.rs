//! A gateway that may use topics and neither make nor change them, as where others look after them.

use std::time::Duration;

use tokio::task::spawn_blocking;
use weirgate::event::{Clock, Topic};
use weirgate::log::{Cleanup, EventLog as _, TopicSpec};
use weirgate::log_kafka::{AllTopicSettings, Engine};
use weirgate::telemetry::Registry;

use crate::harness::eventually;
use crate::secured::{PASSWORD, Secured};
use crate::security::config;

fn spec(name: &str, days: u64) -> TopicSpec {
    let retention = Some(Duration::from_secs(86_400 * days));
    let name = Topic::parse(name).unwrap();
    TopicSpec { name, partitions: 1, cleanup: Cleanup::Delete, retention, retention_bytes: None }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn topics_that_may_not_be_changed_are_used_as_they_are() {
    let secured = spawn_blocking(|| {
        let secured = Secured::start();
        secured.add_user("guest");
        let all = |operations: &[&str], place: &[&str]| {
            let operations = operations.iter().flat_map(|operation| ["--operation", operation]);
            secured.grant("guest", &operations.chain(place.iter().copied()).collect::<Vec<_>>());
        };
        let tables = ["--resource-pattern-type", "prefixed", "--topic", "_weirgate."];
        all(&["Read", "Write", "Create", "DescribeConfigs"], &tables);
        all(&["Read"], &["--group", "weirgate-reader"]);
        all(&["Read", "Write", "DescribeConfigs"], &["--topic", "seen.v1"]);
        all(&["Read", "Write"], &["--topic", "hidden.v1"]);
        secured
    });
    let secured = secured.await.unwrap();
    let open = |user, registry: &Registry| {
        Engine::open(config(&secured.scram, Some(&secured.ca), user, PASSWORD), Clock::system(), registry)
            .unwrap()
    };
    let owner = open("weirgate", &Registry::new());
    for name in ["seen.v1", "hidden.v1"] {
        owner.ensure_topic(&spec(name, 1)).await.unwrap();
    }

    let registry = Registry::new();
    let guest = open("guest", &registry);
    eventually("the topics are known", || async { guest.topic(&spec("hidden.v1", 1).name).map(drop) }).await;
    let (seen, hidden) = (spec("seen.v1", 7), spec("hidden.v1", 7));
    guest.want(vec![seen.clone(), hidden.clone()], AllTopicSettings::default());
    assert_eq!(guest.keep_topic(&seen).await.unwrap().spec, spec("seen.v1", 1));
    let drift = "weirgate_topic_drift{topic=\"seen.v1\"} 1\n";
    assert!(registry.render().contains(drift), "{}", registry.render());
    assert_eq!(
        guest.keep_topic(&hidden).await.unwrap().spec.partitions,
        1,
        "what is not seen counts as right"
    );
}
