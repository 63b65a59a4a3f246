//! Groups whose offsets are moved while native consumers share them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{TryRecvError, channel};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use weirgate::delivery::{
    AckMode, Config, ConnectionId, Error, Join, Policy, PolicyPatch, ResetState, Service,
};
use weirgate::event::{Catalogue, Clock, LiveCatalogue, TopicRule};
use weirgate::log_kafka::GroupProtocol;
use weirgate::telemetry::Registry;

use crate::broker;
use crate::conformance::on;
use crate::harness::waiting::{eventually_within, in_time};
use crate::sharing::{group, topic};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_group_that_a_native_consumer_shares_is_not_moved_until_that_has_gone() {
    let subject = on(broker::shared, GroupProtocol::Auto).await;
    let (topic, group) = (topic(&subject).await, group());
    let config = Config {
        node: "g1".into(),
        defaults: Policy::default(),
        groups: BTreeMap::new(),
        dead_letter_retention: Duration::from_secs(3_600),
        dead_letter_states_bytes_max: 64 << 10,
        parked_keys_max: 100,
        in_flight_max: 256,
    };
    let rule = TopicRule::plain(topic.clone(), Vec::new());
    let catalogue = LiveCatalogue::new(Catalogue::new(vec![rule.clone()], rule));
    let (log, groups) = (Arc::clone(&subject.log), Arc::clone(&subject.groups));
    let (service, delivery) = Service::new(config, log, groups, catalogue, Clock::system(), &Registry::new());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(service.run(shutdown.clone()));
    let patch = PolicyPatch { topics: Some(vec![topic.clone()]), ..PolicyPatch::default() };
    delivery.put_policy(&group, patch).await.unwrap();
    let join = Join {
        group: group.clone(),
        connection: ConnectionId::new("c-1"),
        principal: "service:inventory".into(),
        credit: 8,
        ack: AckMode::Manual,
        adopt: None,
        topics: None,
    };
    let member = delivery.join(join).await.unwrap();

    let (name, id) = (topic.to_string(), group.to_string());
    let (stop, stopped) = channel::<()>();
    let (is_in, came_in) = tokio::sync::oneshot::channel();
    // A thread outlives a test that fails, so it looks whether anybody still waits for it.
    let native = spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", broker::shared().join(","))
            .set("group.id", id)
            .set("group.protocol", "consumer")
            .set("enable.auto.commit", "false");
        let native: BaseConsumer = config.create().unwrap();
        native.subscribe(&[&name]).unwrap();
        while native.assignment().unwrap().count() == 0 && !is_in.is_closed() {
            drop(native.poll(Duration::from_millis(50)));
        }
        is_in.send(()).unwrap();
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            drop(native.poll(Duration::from_millis(50)));
        }
    });
    in_time(PATIENCE, "the native consumer has its share", came_in).await.unwrap();
    let reset = serde_json::from_value(json!({"to": "latest"})).unwrap();
    let refused = delivery.reset(&group, &reset).await;
    assert!(matches!(refused, Err(Error::NotOurs { .. })), "{refused:?}");
    assert_eq!(delivery.group(&group).await.unwrap().reset, None, "it is over");

    stop.send(()).unwrap();
    in_time(PATIENCE, "the native consumer's end", native).await.unwrap();
    let is_moved = async || match delivery.reset(&group, &reset).await {
        Ok(view) => (view.state != ResetState::Planned).then_some(()),
        Err(Error::NotOurs { .. } | Error::ResetUnderWay) => None,
        Err(error) => panic!("{error}"),
    };
    eventually_within(PATIENCE, "the group is moved", is_moved).await;
    let is_over = async || delivery.group(&group).await.unwrap().reset.is_none().then_some(());
    eventually_within(PATIENCE, "all of it", is_over).await;
    let committed = subject.groups.committed(&group, &topic).await.unwrap();
    assert_eq!(committed.len(), 4, "every partition: {committed:?}");
    drop(member);
    shutdown.cancel();
    in_time(PATIENCE, "the service's end", serving).await.unwrap();
}
