//! Groups that several members share, native ones too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{TryRecvError, channel};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message as _;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use weirgate::event::{Clock, GroupName, Offset, Partition, Topic};
use weirgate::log::conformance::Subject;
use weirgate::log::{
    Append, Cleanup, Commit, Committed, Error, GroupSubscription, MemberEvent, Membership, NewRecord, Start,
    TopicSpec,
};
use weirgate::log_kafka::{Config, Engine, GroupProtocol};
use weirgate::telemetry::Registry;

use crate::broker::{self, Cluster};
use crate::conformance::{self, known, on, open};
use crate::harness::waiting::{eventually_within, in_time};

const PARTITIONS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(90);

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

/// Leaving ends, whatever goes on.
pub(crate) async fn leave(member: Membership) {
    in_time(PATIENCE, "leaving", member.events.leave()).await;
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
    in_time(PATIENCE, "the partitions are shared", serve).await;
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
        taken = in_time(PATIENCE, "the newcomer's share", taking) => taken,
    };
    for assigned in &taken {
        assert!(!owned.contains(&assigned.partition));
        assert_eq!(assigned.position, Offset::new(3), "the newcomer begins at the commit of the revocation");
        assert_eq!(assigned.committed.as_ref().unwrap().metadata, "m");
    }
    leave(first).await;
    let mut all: BTreeSet<Partition> = taken.iter().map(|assigned| assigned.partition).collect();
    serve_until(&mut second, &topic, &mut all, PARTITIONS as usize, None).await;
    leave(second).await;
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
    let subject = conformance::of(Engine::open(config, Clock::system(), &registry).unwrap());
    let (topic, group) = (topic(&subject).await, group());
    let mut native = ClientConfig::new();
    native
        .set("bootstrap.servers", brokers.join(","))
        .set("group.id", group.as_str())
        .set("partition.assignment.strategy", "range");
    let name = topic.to_string();
    let (stop, stopped) = channel::<()>();
    let (is_in, came_in) = tokio::sync::oneshot::channel();
    // A thread outlives a test that fails, so it looks whether anybody still waits for it.
    let native = spawn_blocking(move || {
        let native: BaseConsumer = native.create().unwrap();
        native.subscribe(&[&name]).unwrap();
        while native.assignment().unwrap().count() == 0 && !is_in.is_closed() {
            drop(native.poll(Duration::from_millis(50)));
        }
        is_in.send(()).unwrap();
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            drop(native.poll(Duration::from_millis(50)));
        }
    });
    in_time(PATIENCE, "the native member is in", came_in).await.unwrap();
    let mut member = join(&subject, &group, &topic).await;
    let is_told = async || {
        let zero = "weirgate_kafka_refused_joins_total 0";
        (!registry.render().contains(zero)).then_some(())
    };
    tokio::select! {
        () = eventually_within(PATIENCE, "the refusal is counted", is_told) => {}
        event = member.events.next() => panic!("it was refused: {event:?}"),
    }
    stop.send(()).unwrap();
    in_time(PATIENCE, "the native member's end", native).await.unwrap();
    serve_until(&mut member, &topic, &mut BTreeSet::new(), PARTITIONS as usize, None).await;
    leave(member).await;
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
    let subject = open(Config::of(cluster.addresses()));
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
    let refused = in_time(PATIENCE, "a commit", refused).await;
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
    eventually_within(PATIENCE, "appends go on", async || append().await.ok()).await;
    wait_for(&mut member, "after").await;
    let commits = Arc::clone(&member.commits);
    let committed = async || commits.commit(commit(&topic, first, Offset::new(2))).await.ok();
    // The member is served meanwhile: its partitions may still be on their way back.
    tokio::select! {
        () = eventually_within(PATIENCE, "commits go on", committed) => {}
        () = wait_for(&mut member, "never") => unreachable!("nobody wrote that"),
    }
    assert_eq!(subject.groups.committed(&group, &topic).await.unwrap()[&first].offset, Offset::new(2));
    leave(member).await;
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
    in_time(PATIENCE * 2, "the record", next).await;
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
    in_time(PATIENCE, "a revocation", asked).await;
    leave(first).await;
    let mut all = BTreeSet::new();
    serve_until(&mut second, &topic, &mut all, PARTITIONS as usize, None).await;
    leave(second).await;
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
    in_time(PATIENCE, "the newcomer's share", shared).await;
    assert_eq!(lost, taken);
    leave(first).await;
    leave(second).await;
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
        // The shares are made first, and then both halves come.
        let end = Instant::now() + PATIENCE * 2;
        while read.len() < 10 {
            assert!(Instant::now() < end, "of its half the native consumer has {read:?}");
            if let Some(message) = native.poll(Duration::from_secs(1)) {
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
    in_time(PATIENCE, "our half", serve).await;
    let theirs = reading.await.unwrap();
    assert!(ours.is_disjoint(&theirs));
    assert_eq!(ours.len() + theirs.len(), 20);
    let committed = subject.groups.committed(&group, &topic).await.unwrap();
    assert_eq!(committed.len(), 2, "what the native consumer committed is seen: {committed:?}");
    leave(member).await;
}
