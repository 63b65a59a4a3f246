//! Topics that refuse a record, and topics that are taken away.

use std::path::Path;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::task::block_in_place;

use crate::gateway::Gateway;
use crate::ground::Names;
use crate::history::Kind;
use crate::log;
use crate::publishers::{Answer, client, envelope, send};
use crate::run::{PARTITIONS, Plan, yaml};
use crate::{brokers, until};

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn what_a_topic_does_not_take_and_a_topic_that_is_gone_are_refused_by_name() {
    let brokers = brokers::take().await;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let names = Names { topic: format!("faults.{id}"), group: format!("faults-{id}") };
    let topic = names.topic.clone();
    brokers.make_topic(&topic, PARTITIONS, &[("max.message.bytes", "4000")]).await;
    let plan = Plan { delivery_timeout: Duration::from_secs(30), ..Plan::default() };
    let directory = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let yaml = yaml(Some(brokers.doors()), &names, &plan);
    let mut gateway = Gateway::start(directory.path(), &yaml).await;
    gateway.until_ready().await;
    let client = client();
    let publish = async |id: &str, pad: usize| {
        // Random digits, which compression does not make small.
        let digits: String = (0..pad / 32).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
        let body = envelope(id, "k").replace(r#""pad":""#, &format!(r#""pad":"{digits}"#));
        let Answer(kind, _, note) = send(&client, &gateway.target, body).await;
        (kind, note)
    };
    assert_eq!(publish("small-1", 0).await.0, Kind::Ok);
    assert_eq!(publish("large-1", 20_000).await, (Kind::Fail, "413 event_too_large".to_owned()));
    assert_eq!(publish("small-2", 0).await.0, Kind::Ok);
    let stored = block_in_place(|| log::records(&brokers.client(), &topic, PARTITIONS));
    let ids: Vec<String> = stored.iter().map(|record| log::id_of(&record.3)).collect();
    assert_eq!(ids, ["small-1", "small-2"]);

    let admin: AdminClient<DefaultClientContext> = brokers.client().create().unwrap();
    for deleted in admin.delete_topics(&[&topic], &AdminOptions::new()).await.unwrap() {
        deleted.unwrap();
    }
    // A broker says that it is gone before every broker has heard so.
    until("the topic is missed", PATIENCE, async || {
        let (_, note) = publish("gone-1", 0).await;
        (note == "404 topic_not_found").then_some(())
    })
    .await;
    gateway.terminate().await;
    gateway.check();
}
