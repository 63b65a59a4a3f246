//! Groups that several members share, native ones too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message as _;
use tokio::task::spawn_blocking;
use weirgate::event::{Clock, GroupName, Offset, Partition, Topic};
use weirgate::log::conformance::Subject;
use weirgate::log::{
    Append, Cleanup, Commit, Committed, Error, GroupSubscription, MemberEvent, Membership, NewRecord, Start,
    TopicSpec,
};
use weirgate::log_kafka::{Config, Engine, GroupProtocol};
use weirgate::telemetry::Registry;

use crate::broker::{self, Cluster};
use crate::conformance::{known, on, open};

const PARTITIONS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) async fn topic(subject: &Subject) -> Topic {
    let name = Topic::parse(&format!("sharing.{}", uuid::Uuid::new_v4().simple())).unwrap();
    let cleanup = Cleanup::Delete;
    let spec = TopicSpec { name, partitions: PARTITIONS, cleanup, retention: None, retention_bytes: None };
    subject.log.ensure_topic(&spec).await.unwrap();
    spec.name
}

pub(crate) fn group() -> GroupName {
    GroupName::parse(&format!("sharing-{}", uuid::Uuid::new_v4().simple())).unwrap()
}

pub(crate) async fn join(subject: &Subject, group: &GroupName, topic: &Topic) -> Membership {
    let subscription = GroupSubscription { topics: vec![topic.clone()], start: Start::Earliest };
    subject.groups.join(group, subscription).await.unwrap()
}

async fn publish(subject: &Subject, topic: &Topic, texts: impl Iterator<Item = u32>) {
    for number in texts {
        let record = NewRecord { value: Some(Bytes::from(number.to_string())), ..NewRecord::default() };
        let partition = Partition::new(number % PARTITIONS);
        let append = Append { topic: topic.clone(), partition, records: vec![record] };
        subject.log.append(append).await.unwrap();
    }
}

fn commit(topic: &Topic, partition: Partition, offset: Offset) -> Vec<Commit> {
    let committed = Committed { offset, metadata: "m".to_owned() };
    vec![Commit { topic: topic.clone(), partition, committed }]
}

/// Serves a member until it owns exactly `count` partitions; what must go is given back after a commit of
/// `settled` there.
async fn serve_until(
    member: &mut Membership,
    topic: &Topic,
    owned: &mut BTreeSet<Partition>,
    count: usize,
    settled: Option<Offset>,
) {
    let serve = async {
        while owned.len() != count {
            match member.events.next().await.unwrap() {
                MemberEvent::Assigned(assigned) => owned.extend(assigned.iter().map(|one| one.partition)),
                MemberEvent::Revoked(partitions) => {
                    for (_, partition) in &partitions {
                        if let Some(offset) = settled {
                            member.commits.commit(commit(topic, *partition, offset)).await.unwrap();
                        }
                        owned.remove(partition);
                    }
                    member.events.give_back(&partitions).await;
                    let refused = member.commits.commit(commit(topic, partitions[0].1, Offset::ZERO)).await;
                    assert!(matches!(refused, Err(Error::NotMember)), "{refused:?}");
                }
                MemberEvent::Records { .. } => {}
                other => panic!("nothing else was due: {other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, serve).await.expect("the partitions are shared in time");
}

async fn two_gateways_share(start: fn() -> Vec<String>, protocol: GroupProtocol) {
    let one = on(start, protocol).await;
    let other = on(start, protocol).await;
    let (topic, group) = (topic(&one).await, group());
    publish(&one, &topic, 0..40).await;
    let mut first = join(&one, &group, &topic).await;
    let mut owned = BTreeSet::new();
    serve_until(&mut first, &topic, &mut owned, PARTITIONS as usize, None).await;

    known(&*other.log, &topic).await;
    let mut second = join(&other, &group, &topic).await;
    let (giving, taking) = (
        async {
            serve_until(&mut first, &topic, &mut owned, 2, Some(Offset::new(3))).await;
            // The first goes on being served, or it would hold up the group.
            loop {
                first.events.next().await.unwrap();
            }
        },
        async {
            let mut taken = Vec::new();
            while taken.len() < 2 {
                if let MemberEvent::Assigned(assigned) = second.events.next().await.unwrap() {
                    taken.extend(assigned);
                }
            }
            taken
        },
    );
    let taken = tokio::select! {
        () = giving => unreachable!("it never ends"),
        taken = tokio::time::timeout(PATIENCE, taking) => taken.expect("the newcomer gets its share"),
    };
    for assigned in &taken {
        assert!(!owned.contains(&assigned.partition));
        assert_eq!(assigned.position, Offset::new(3), "the newcomer begins at the commit of the revocation");
        assert_eq!(assigned.committed.as_ref().unwrap().metadata, "m");
    }
    first.events.leave().await;
    let mut all: BTreeSet<Partition> = taken.iter().map(|assigned| assigned.partition).collect();
    serve_until(&mut second, &topic, &mut all, PARTITIONS as usize, None).await;
    second.events.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn two_gateways_share_a_group_of_the_newer_protocol() {
    two_gateways_share(broker::shared, GroupProtocol::Auto).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn two_gateways_share_a_classic_group() {
    two_gateways_share(broker::shared, GroupProtocol::Classic).await;
}

/// The older protocol lets in only who has an assignor in common with all members.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_group_with_another_assignor_is_told_of_and_joined_once_that_is_gone() {
    let brokers = spawn_blocking(broker::shared).await.unwrap();
    let registry = Registry::new();
    let config = Config { group_protocol: GroupProtocol::Classic, ..Config::of(brokers.clone()) };
    let engine = Engine::open(config, Clock::system(), &registry).unwrap();
    let subject = Subject { log: Arc::clone(&engine) as _, groups: engine };
    let (topic, group) = (topic(&subject).await, group());
    let mut native = ClientConfig::new();
    native
        .set("bootstrap.servers", brokers.join(","))
        .set("group.id", group.as_str())
        .set("partition.assignment.strategy", "range");
    let name = topic.to_string();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (is_in, came_in) = tokio::sync::oneshot::channel();
    let native = spawn_blocking(move || {
        let native: BaseConsumer = native.create().unwrap();
        native.subscribe(&[&name]).unwrap();
        while native.assignment().unwrap().count() == 0 {
            drop(native.poll(Duration::from_millis(50)));
        }
        is_in.send(()).unwrap();
        while stopped.try_recv().is_err() {
            drop(native.poll(Duration::from_millis(50)));
        }
    });
    tokio::time::timeout(PATIENCE, came_in).await.expect("the native member is in").unwrap();
    let mut member = join(&subject, &group, &topic).await;
    let is_told = async {
        let mut interval = tokio::time::interval(Duration::from_millis(20));
        let zero = "weirgate_kafka_refused_joins_total 0";
        while registry.render().contains(zero) {
            interval.tick().await;
        }
    };
    tokio::select! {
        told = tokio::time::timeout(PATIENCE, is_told) => told.expect("the refusal is counted"),
        event = member.events.next() => panic!("it was refused: {event:?}"),
    }
    stop.send(()).unwrap();
    native.await.unwrap();
    serve_until(&mut member, &topic, &mut BTreeSet::new(), PARTITIONS as usize, None).await;
    member.events.leave().await;
}

/// An older broker never answers a member of the newer protocol, so the gateway must have asked before.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn two_gateways_share_a_group_on_an_older_broker() {
    two_gateways_share(broker::shared_older, GroupProtocol::Auto).await;
}

/// Whether or not the group's session outlived the outage.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_group_goes_on_after_the_broker_was_away() {
    let mut cluster = spawn_blocking(|| Cluster::start(1)).await.unwrap();
    let engine = Engine::open(Config::of(cluster.addresses()), Clock::system(), &Registry::new()).unwrap();
    let subject = Subject { log: Arc::clone(&engine) as _, groups: engine };
    let (topic, group) = (topic(&subject).await, group());
    let mut member = join(&subject, &group, &topic).await;
    serve_until(&mut member, &topic, &mut BTreeSet::new(), PARTITIONS as usize, None).await;
    publish(&subject, &topic, 0..1).await;
    wait_for(&mut member, "0").await;

    let mut cluster = spawn_blocking(move || {
        cluster.kill_node(0);
        cluster
    })
    .await
    .unwrap();
    let first = Partition::new(0);
    let refused = member.commits.commit(commit(&topic, first, Offset::new(1)));
    let refused = tokio::time::timeout(PATIENCE, refused).await.expect("no commit stands for ever");
    assert!(matches!(refused, Err(Error::Unavailable(_) | Error::OutcomeUnknown)), "{refused:?}");
    let _cluster = spawn_blocking(move || {
        cluster.start_node(0);
        cluster
    })
    .await
    .unwrap();

    let append = || {
        let record = NewRecord { value: Some(Bytes::from_static(b"after")), ..NewRecord::default() };
        subject.log.append(Append { topic: topic.clone(), partition: first, records: vec![record] })
    };
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    let appended = async {
        while append().await.is_err() {
            interval.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, appended).await.expect("appends go on");
    wait_for(&mut member, "after").await;
    let commits = Arc::clone(&member.commits);
    let committed = async {
        while commits.commit(commit(&topic, first, Offset::new(2))).await.is_err() {
            interval.tick().await;
        }
    };
    // The member is served meanwhile: its partitions may still be on their way back.
    let (commits_go_on, served) = (tokio::time::timeout(PATIENCE, committed), wait_for(&mut member, "never"));
    tokio::select! {
        committed = commits_go_on => committed.expect("commits go on"),
        () = served => unreachable!("nobody wrote that"),
    }
    assert_eq!(subject.groups.committed(&group, &topic).await.unwrap()[&first].offset, Offset::new(2));
    member.events.leave().await;
}

/// Waits for the record of this text; partitions may be lost and come back on the way.
async fn wait_for(member: &mut Membership, text: &str) {
    let next = async {
        loop {
            match member.events.next().await {
                Ok(MemberEvent::Records { records, .. }) => {
                    if records.iter().any(|record| record.value.as_deref() == Some(text.as_bytes())) {
                        return;
                    }
                }
                Ok(MemberEvent::Lost(_) | MemberEvent::Assigned(_)) => {}
                Ok(other) => panic!("nothing else was due: {other:?}"),
                Err(error) => assert!(!matches!(error, Error::NotMember), "{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE * 2, next).await.expect("the record comes");
}

/// A member that leaves while it is asked to give something back must not stand still.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_member_may_leave_in_the_middle_of_a_rebalance() {
    let one = on(broker::shared, GroupProtocol::Auto).await;
    let (topic, group) = (topic(&one).await, group());
    let mut first = join(&one, &group, &topic).await;
    let mut owned = BTreeSet::new();
    serve_until(&mut first, &topic, &mut owned, PARTITIONS as usize, None).await;
    let other = on(broker::shared, GroupProtocol::Auto).await;
    known(&*other.log, &topic).await;
    let mut second = join(&other, &group, &topic).await;
    let asked = async {
        loop {
            tokio::select! {
                event = first.events.next() => if matches!(event, Ok(MemberEvent::Revoked(_))) { return },
                _ = second.events.next() => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("a revocation comes");
    tokio::time::timeout(PATIENCE, first.events.leave()).await.expect("leaving ends");
    let mut all = BTreeSet::new();
    serve_until(&mut second, &topic, &mut all, PARTITIONS as usize, None).await;
    second.events.leave().await;
}

/// Whoever should give back may be stuck; the group must not be.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn what_is_not_given_back_in_time_is_given_up() {
    let brokers = spawn_blocking(broker::shared).await.unwrap();
    let one = open(Config { give_back_max: Duration::from_secs(1), ..Config::of(brokers) });
    let other = on(broker::shared, GroupProtocol::Auto).await;
    let (topic, group) = (topic(&one).await, group());
    let mut first = join(&one, &group, &topic).await;
    serve_until(&mut first, &topic, &mut BTreeSet::new(), PARTITIONS as usize, None).await;
    known(&*other.log, &topic).await;
    let mut second = join(&other, &group, &topic).await;
    let (mut lost, mut taken) = (BTreeSet::new(), BTreeSet::new());
    let shared = async {
        while (lost.len(), taken.len()) != (2, 2) {
            tokio::select! {
                event = first.events.next() => match event.unwrap() {
                    MemberEvent::Lost(partitions) => lost.extend(partitions.iter().map(|(_, partition)| *partition)),
                    MemberEvent::Revoked(_) => {}
                    other => panic!("nothing else was due: {other:?}"),
                },
                event = second.events.next() => if let MemberEvent::Assigned(assigned) = event.unwrap() {
                    taken.extend(assigned.iter().map(|one| one.partition));
                },
            }
        }
    };
    tokio::time::timeout(PATIENCE, shared).await.expect("the newcomer gets its share");
    assert_eq!(lost, taken);
    first.events.leave().await;
    second.events.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_native_consumer_in_the_group_gets_its_share() {
    let subject = on(broker::shared, GroupProtocol::Auto).await;
    let (topic, group) = (topic(&subject).await, group());
    let mut member = join(&subject, &group, &topic).await;
    let mut owned = BTreeSet::new();
    serve_until(&mut member, &topic, &mut owned, PARTITIONS as usize, None).await;

    let (name, id) = (topic.to_string(), group.to_string());
    let native: BaseConsumer = spawn_blocking(move || {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", broker::shared().join(","))
            .set("group.id", id)
            .set("group.protocol", "consumer")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest");
        let native: BaseConsumer = config.create().unwrap();
        native.subscribe(&[&name]).unwrap();
        native
    })
    .await
    .unwrap();
    let reading = spawn_blocking(move || {
        let mut read = BTreeSet::new();
        while read.len() < 10 {
            if let Some(message) = native.poll(Duration::from_secs(20)) {
                let message = message.unwrap();
                read.insert(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
                native.commit_message(&message, CommitMode::Sync).unwrap();
            }
        }
        read
    });
    serve_until(&mut member, &topic, &mut owned, 2, None).await;
    publish(&subject, &topic, 0..20).await;
    let mut ours = BTreeSet::new();
    let serve = async {
        while ours.len() < 10 {
            if let MemberEvent::Records { records, partition, .. } = member.events.next().await.unwrap() {
                assert!(owned.contains(&partition));
                let texts = records.iter().map(|record| record.value.as_deref().unwrap().to_vec());
                ours.extend(texts.map(|text| String::from_utf8(text).unwrap()));
            }
        }
    };
    tokio::time::timeout(PATIENCE, serve).await.expect("our half comes");
    let theirs = reading.await.unwrap();
    assert!(ours.is_disjoint(&theirs));
    assert_eq!(ours.len() + theirs.len(), 20);
    let committed = subject.groups.committed(&group, &topic).await.unwrap();
    assert_eq!(committed.len(), 2, "what the native consumer committed is seen: {committed:?}");
    member.events.leave().await;
}
