//! Gateways that start before Kafka, and outlive it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::broker::Cluster;
use crate::engine;
use crate::gateway::Gateway;
use crate::harness::eventually;
use crate::harness::waiting::{eventually_within, in_time};

/// Three brokers that die and come back on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(90);

/// Changes a cluster where that may block.
async fn change(cluster: &Arc<Mutex<Cluster>>, change: impl FnOnce(&mut Cluster) + Send + 'static) {
    let cluster = Arc::clone(cluster);
    spawn_blocking(move || change(&mut cluster.lock().unwrap())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_gateway_starts_before_kafka_and_outlives_its_death() {
    let cluster = spawn_blocking(|| Cluster::prepare(1)).await.unwrap();
    let gateway = Gateway::start(engine::flags(&cluster)).await;
    let cluster = Arc::new(Mutex::new(cluster));
    let (status, body) = gateway.ready().await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(body["reasons"][0]["detail"], "Kafka cannot be reached");
    let (status, problem) = gateway.publish("ord_early").await;
    assert_eq!((status, problem["retryable"].as_bool()), (503, Some(true)), "{problem}");

    change(&cluster, |cluster| cluster.start_node(0)).await;
    gateway.until_ready().await;
    let (status, receipt) = gateway.publish("ord_before").await;
    assert_eq!(status, 201, "{receipt}");

    change(&cluster, |cluster| cluster.kill_node(0)).await;
    eventually("the gateway is not ready", || async { (gateway.ready().await.0 == 503).then_some(()) }).await;
    let (status, problem) = gateway.publish("ord_meanwhile").await;
    assert_eq!(status, 503, "{problem}");

    change(&cluster, |cluster| cluster.start_node(0)).await;
    gateway.until_ready().await;
    let (status, again) = gateway.publish("ord_after").await;
    assert_eq!(status, 201, "{again}");
    assert_eq!(gateway.orders(&receipt["partition"]).await, ["ord_before", "ord_after"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn what_was_under_way_when_kafka_died_is_never_answered_as_stored_and_lost() {
    let cluster = spawn_blocking(|| Cluster::start(1)).await.unwrap();
    let gateway = Arc::new(Gateway::start(engine::flags(&cluster)).await);
    let cluster = Arc::new(Mutex::new(cluster));
    gateway.until_ready().await;
    let (_, first) = gateway.publish("ord_first").await;
    let publishing = {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let mut stored = vec!["ord_first".to_owned()];
            for number in 0.. {
                let id = format!("ord_{number}");
                match gateway.publish(&id).await {
                    (201, _) => stored.push(id),
                    (503 | 504, problem) => {
                        assert_eq!(problem["retryable"], true, "{problem}");
                        break;
                    }
                    (status, problem) => panic!("{status}: {problem}"),
                }
            }
            stored
        })
    };
    eventually("some are stored", || async {
        (gateway.orders(&first["partition"]).await.len() > 20).then_some(())
    })
    .await;
    change(&cluster, |cluster| cluster.kill_node(0)).await;
    let stored = in_time(PATIENCE, "the first order that is not stored", publishing).await.unwrap();
    change(&cluster, |cluster| cluster.start_node(0)).await;
    gateway.until_ready().await;
    let kept = gateway.orders(&first["partition"]).await;
    // The one under way may be there or not; the others are, in their order.
    assert_eq!(kept[..stored.len()], stored);
    assert!(kept.len() <= stored.len() + 1, "{kept:?}");
    Arc::into_inner(gateway).unwrap().stop().await;
}

/// Both make the topics and neither gives up, though each asks brokers that know some of them not yet. Then leaders move,
/// and a gateway follows them.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn gateways_start_at_once_and_nothing_answered_is_lost_or_out_of_order_while_brokers_die() {
    let cluster = spawn_blocking(|| Cluster::start(3)).await.unwrap();
    let starts = [0, 1, 2].map(|_| tokio::spawn(Gateway::start(engine::flags(&cluster))));
    let mut gateways = Vec::new();
    for start in starts {
        gateways.push(in_time(PATIENCE, "a gateway's start", start).await.unwrap());
    }
    for gateway in &gateways {
        gateway.until_ready().await;
    }
    let gateway = Arc::new(gateways.remove(0));
    for other in gateways {
        other.stop().await;
    }
    let addresses = cluster.addresses();
    let cluster = Arc::new(Mutex::new(cluster));
    let (stop, stopped) = (CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
    let publishing = {
        let (gateway, stop, stored) = (Arc::clone(&gateway), stop.clone(), Arc::clone(&stopped));
        tokio::spawn(async move {
            let (mut tried, mut partition, mut timed_out) = (0, Value::Null, 0);
            while !stop.is_cancelled() {
                let id = format!("ord_{tried}");
                let (status, body) = gateway.publish(&id).await;
                match status {
                    201 => {
                        partition = body["partition"].clone();
                        stored.lock().unwrap().push(id);
                    }
                    503 | 504 => {
                        assert_eq!(body["retryable"], true, "{body}");
                        timed_out += usize::from(status == 504);
                    }
                    _ => panic!("{status}: {body}"),
                }
                tried += 1;
            }
            (partition, timed_out)
        })
    };
    let goes_on = |what: &'static str| {
        let stored = Arc::clone(&stopped);
        async move {
            let before = stored.lock().unwrap().len();
            let more = || async { (stored.lock().unwrap().len() > before + 20).then_some(()) };
            eventually_within(PATIENCE, what, more).await;
        }
    };
    goes_on("orders are stored").await;
    for index in 0..3 {
        change(&cluster, move |cluster| cluster.kill_node(index)).await;
        goes_on("orders are stored while a broker is dead").await;
        if index == 0 {
            too_few_replicas_are_an_unknown_outcome(&gateway, &addresses).await;
            goes_on("orders are stored with enough replicas again").await;
        }
        change(&cluster, move |cluster| cluster.start_node(index)).await;
        goes_on("orders are stored with the broker back").await;
    }
    stop.cancel();
    let (partition, timed_out) = in_time(PATIENCE, "the last order", publishing).await.unwrap();
    let stored = std::mem::take(&mut *stopped.lock().unwrap());
    let kept = gateway.orders(&partition).await;
    let mut rest = kept.iter();
    for id in &stored {
        assert!(rest.any(|kept| kept == id), "{id} is lost or out of order");
    }
    let mut unique = kept.clone();
    unique.sort();
    unique.dedup();
    // When a record times out, librdkafka sends what is under way beside it again, as it does for anybody: one other, and here
    // one times out on purpose.
    let twice = kept.len() - unique.len();
    assert!(twice <= timed_out + 1, "{twice} orders are there twice, {timed_out} timed out");
    Arc::into_inner(gateway).unwrap().stop().await;
}

/// All three are asked for while one is dead.
async fn too_few_replicas_are_an_unknown_outcome(gateway: &Gateway, addresses: &[String]) {
    let mut config = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> =
        config.set("bootstrap.servers", addresses.join(",")).create().unwrap();
    let set = |replicas: &'static str| {
        let change =
            AlterConfig::new(ResourceSpecifier::Topic("orders.v1")).set("min.insync.replicas", replicas);
        let admin = &admin;
        async move {
            let changed = admin.alter_configs([&change], &AdminOptions::new()).await.unwrap();
            assert!(changed.iter().all(Result::is_ok), "{changed:?}");
        }
    };
    set("3").await;
    let mut tried = 0;
    loop {
        match gateway.publish(&format!("ord_toofew{tried}")).await {
            (201, _) if tried < 1_000 => tried += 1,
            (504, problem) => break assert_eq!(problem["code"], "outcome_unknown"),
            (status, problem) => panic!("{status}: {problem}"),
        }
    }
    set("2").await;
}
