//! Groups: membership, commits, holding, gaps.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::poll;

use crate::event::{GroupName, Offset, Partition, Record, Topic};
use crate::log::{
    Assigned, Cleanup, Commit, Committed, Error, GroupSubscription, MemberEvent, Membership, Start, TopicSpec,
};

use super::{FIRST, Subject, group, spec, text_record, texts};

async fn join(subject: &Subject, group: &GroupName, topic: &Topic, start: Start) -> Membership {
    let subscription = GroupSubscription { topics: vec![topic.clone()], start };
    subject.groups.join(group, subscription).await.unwrap()
}

/// Waits until `partitions` partitions of the one topic are assigned.
async fn assigned(member: &mut Membership, partitions: usize) -> BTreeMap<Partition, Assigned> {
    let mut all = BTreeMap::new();
    while all.len() < partitions {
        match member.events.next().await.unwrap() {
            MemberEvent::Assigned(assigned) => {
                all.extend(assigned.into_iter().map(|one| (one.partition, one)))
            }
            other => panic!("an assignment was due, not {other:?}"),
        }
    }
    all
}

/// Waits until `count` records came, of any partition.
async fn records(member: &mut Membership, count: usize) -> BTreeMap<Partition, Vec<Record>> {
    let mut all: BTreeMap<Partition, Vec<Record>> = BTreeMap::new();
    while all.values().map(Vec::len).sum::<usize>() < count {
        match member.events.next().await.unwrap() {
            MemberEvent::Records { partition, records, end, .. } => {
                assert!(records.last().is_some_and(|record| record.offset < end));
                all.entry(partition).or_default().extend(records);
            }
            other => panic!("records were due, not {other:?}"),
        }
    }
    all
}

fn commit(topic: &Topic, partition: Partition, offset: u64, metadata: &str) -> Vec<Commit> {
    let committed = Committed { offset: Offset::new(offset), metadata: metadata.to_owned() };
    vec![Commit { topic: topic.clone(), partition, committed }]
}

/// After leaving and joining again, and not from the beginning.
pub async fn a_member_reads_on_where_the_group_committed(subject: &Subject) {
    let (topic, group) = (subject.topic(1).await, group());
    subject.append_texts(&topic, FIRST, &["a", "b", "c"]).await;
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    let first = assigned(&mut member, 1).await;
    assert_eq!(first[&FIRST].committed, None);
    assert_eq!(first[&FIRST].position, Offset::ZERO);
    assert_eq!(texts(&records(&mut member, 3).await[&FIRST]), ["a", "b", "c"]);
    member.commits.commit(commit(&topic, FIRST, 2, "")).await.unwrap();
    member.events.leave().await;

    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    assert_eq!(assigned(&mut member, 1).await[&FIRST].position, Offset::new(2));
    assert_eq!(texts(&records(&mut member, 1).await[&FIRST]), ["c"]);
    subject.append_texts(&topic, FIRST, &["d"]).await;
    assert_eq!(texts(&records(&mut member, 1).await[&FIRST]), ["d"]);
    member.events.leave().await;
}

/// Also when only the metadata changed, and up to its limit.
pub async fn metadata_travels_with_the_offset(subject: &Subject) {
    let (topic, group) = (subject.topic(2).await, group());
    subject.append_texts(&topic, FIRST, &["a", "b"]).await;
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    assigned(&mut member, 2).await;
    let long = "\u{fc}".repeat(2_048);
    for metadata in ["one", "", &long] {
        member.commits.commit(commit(&topic, FIRST, 1, metadata)).await.unwrap();
        let committed = subject.groups.committed(&group, &topic).await.unwrap();
        let expected = Committed { offset: Offset::new(1), metadata: metadata.to_owned() };
        assert_eq!(committed, BTreeMap::from([(FIRST, expected)]));
    }
    member.events.leave().await;
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    let assigned = assigned(&mut member, 2).await;
    assert_eq!(assigned[&FIRST].committed.as_ref().unwrap().metadata, long);
    assert_eq!(assigned[&Partition::new(1)].committed, None);
    member.events.leave().await;
}

/// Only what comes after the first assignment.
pub async fn a_group_may_begin_at_the_end(subject: &Subject) {
    let (topic, group) = (subject.topic(1).await, group());
    subject.append_texts(&topic, FIRST, &["before"]).await;
    let mut member = join(subject, &group, &topic, Start::Latest).await;
    assert_eq!(assigned(&mut member, 1).await[&FIRST].position, Offset::new(1));
    subject.append_texts(&topic, FIRST, &["after"]).await;
    assert_eq!(texts(&records(&mut member, 1).await[&FIRST]), ["after"]);
    member.events.leave().await;
}

/// And then goes on without a hole.
pub async fn a_held_partition_delivers_nothing_until_released(subject: &Subject) {
    let (topic, group) = (subject.topic(2).await, group());
    let second = Partition::new(1);
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    assigned(&mut member, 2).await;
    subject.append_texts(&topic, FIRST, &["a"]).await;
    assert_eq!(texts(&records(&mut member, 1).await[&FIRST]), ["a"]);
    member.events.hold(&topic, FIRST);
    subject.append_texts(&topic, FIRST, &["b", "c"]).await;
    subject.append_texts(&topic, second, &["other"]).await;
    let read = records(&mut member, 1).await;
    assert_eq!(texts(&read[&second]), ["other"]);
    assert!(tokio::time::timeout(Duration::from_millis(50), member.events.next()).await.is_err());
    member.events.release(&topic, FIRST);
    assert_eq!(texts(&records(&mut member, 2).await[&FIRST]), ["b", "c"]);
    member.events.leave().await;
}

/// No partition keeps the others from their turn.
pub async fn a_member_reads_all_partitions_in_order(subject: &Subject) {
    let (topic, group) = (subject.topic(4).await, group());
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    assigned(&mut member, 4).await;
    for number in 0..100 {
        subject.append(&topic, Partition::new(number % 4), text_record(&number.to_string())).await;
    }
    let read = records(&mut member, 100).await;
    for partition in 0..4_u32 {
        let expected: Vec<String> =
            (0..100_u32).filter(|number| number % 4 == partition).map(|number| number.to_string()).collect();
        assert_eq!(texts(&read[&Partition::new(partition)]), expected);
    }
    member.events.leave().await;
}

/// Backwards and forwards; what is not assigned cannot be sought.
pub async fn a_sought_offset_is_read_next(subject: &Subject) {
    let (topic, group) = (subject.topic(1).await, group());
    subject.append_texts(&topic, FIRST, &["a", "b", "c"]).await;
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    assigned(&mut member, 1).await;
    records(&mut member, 3).await;
    member.events.seek(&topic, FIRST, Offset::new(1)).await.unwrap();
    assert_eq!(texts(&records(&mut member, 2).await[&FIRST]), ["b", "c"]);
    member.events.seek(&topic, FIRST, Offset::ZERO).await.unwrap();
    assert_eq!(texts(&records(&mut member, 3).await[&FIRST]), ["a", "b", "c"]);
    let error = member.events.seek(&topic, Partition::new(9), Offset::ZERO).await.unwrap_err();
    assert!(matches!(error, Error::NotMember), "{error:?}");
    member.events.leave().await;
}

/// Without joining again.
pub async fn new_partitions_join_a_member(subject: &Subject) {
    let (spec, group) = (spec(1, Cleanup::Delete), group());
    subject.log.ensure_topic(&spec).await.unwrap();
    let mut member = join(subject, &group, &spec.name, Start::Earliest).await;
    assigned(&mut member, 1).await;
    let event = {
        let mut next = pin!(member.events.next());
        assert!(poll!(&mut next).is_pending());
        subject.log.ensure_topic(&TopicSpec { partitions: 2, ..spec.clone() }).await.unwrap();
        next.await.unwrap()
    };
    let MemberEvent::Assigned(new) = event else { panic!("an assignment was due, not {event:?}") };
    assert!(new.iter().any(|assigned| assigned.partition == Partition::new(1)));
    subject.append_texts(&spec.name, Partition::new(1), &["new"]).await;
    assert_eq!(texts(&records(&mut member, 1).await[&Partition::new(1)]), ["new"]);
    member.events.leave().await;
}

/// The member is told from where to where.
pub async fn records_gone_before_a_member_reads_them_are_a_gap(subject: &Subject) {
    let (topic, group) = (subject.topic(1).await, group());
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    assigned(&mut member, 1).await;
    subject.append_texts(&topic, FIRST, &["a"]).await;
    records(&mut member, 1).await;
    member.events.hold(&topic, FIRST);
    subject.append_texts(&topic, FIRST, &["b", "c", "d"]).await;
    subject.log.delete_records(&topic, FIRST, Offset::new(3)).await.unwrap();
    member.events.release(&topic, FIRST);
    let event = member.events.next().await.unwrap();
    let MemberEvent::Gap { from, to, .. } = event else { panic!("a gap was due, not {event:?}") };
    assert_eq!((from, to), (Offset::new(1), Offset::new(3)));
    assert_eq!(texts(&records(&mut member, 1).await[&FIRST]), ["d"]);
    member.events.leave().await;
}

/// At the first record kept, with the committed offset still told.
pub async fn a_committed_offset_that_is_gone_begins_later(subject: &Subject) {
    let (topic, group) = (subject.topic(1).await, group());
    subject.append_texts(&topic, FIRST, &["a", "b", "c"]).await;
    subject.groups.set_committed(&group, commit(&topic, FIRST, 1, "kept")).await.unwrap();
    subject.log.delete_records(&topic, FIRST, Offset::new(2)).await.unwrap();
    let mut member = join(subject, &group, &topic, Start::Latest).await;
    let assigned = assigned(&mut member, 1).await;
    let expected = Committed { offset: Offset::new(1), metadata: "kept".to_owned() };
    assert_eq!(assigned[&FIRST].committed, Some(expected));
    assert_eq!(assigned[&FIRST].position, Offset::new(2));
    assert_eq!(texts(&records(&mut member, 1).await[&FIRST]), ["c"]);
    member.events.leave().await;
}

/// Set, listed, forgotten; refused while somebody reads.
pub async fn offsets_change_by_hand_only_without_a_member(subject: &Subject) {
    let (topic, group) = (subject.topic(1).await, group());
    subject.append_texts(&topic, FIRST, &["a", "b"]).await;
    subject.groups.set_committed(&group, commit(&topic, FIRST, 1, "hand")).await.unwrap();
    assert!(subject.groups.groups().await.unwrap().contains(&group));
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    assigned(&mut member, 1).await;
    let refused = subject.groups.set_committed(&group, commit(&topic, FIRST, 0, "")).await;
    assert!(matches!(refused, Err(Error::NotSupported(_))), "{refused:?}");
    let refused = subject.groups.forget(&group).await;
    assert!(matches!(refused, Err(Error::NotSupported(_))), "{refused:?}");
    member.events.leave().await;
    subject.groups.forget(&group).await.unwrap();
    assert_eq!(subject.groups.committed(&group, &topic).await.unwrap(), BTreeMap::new());
    assert!(!subject.groups.groups().await.unwrap().contains(&group));
}

/// Its commits are refused rather than lost.
pub async fn a_member_that_left_commits_nothing(subject: &Subject) {
    let (topic, group) = (subject.topic(1).await, group());
    subject.append_texts(&topic, FIRST, &["a"]).await;
    let mut member = join(subject, &group, &topic, Start::Earliest).await;
    assigned(&mut member, 1).await;
    let commits = member.commits;
    member.events.leave().await;
    let refused = commits.commit(commit(&topic, FIRST, 1, "late")).await;
    assert!(matches!(refused, Err(Error::NotMember)), "{refused:?}");
    assert_eq!(subject.groups.committed(&group, &topic).await.unwrap(), BTreeMap::new());
}

/// `next` is cancel safe, the assignment included.
pub async fn a_dropped_wait_of_a_member_loses_nothing(subject: &Subject) {
    let (topic, group) = (subject.topic(2).await, group());
    let mut member = join(subject, &group, &topic, Start::Latest).await;
    let (mut is_assigned, mut read) = (false, Vec::new());
    let mut sent = 0_u32;
    while read.len() < 60 {
        if is_assigned && sent < 60 {
            drop(subject.log.append(super::append(&topic, Partition::new(sent % 2), vec![text_record("x")])));
            sent += 1;
        }
        // Dropped at whatever point it has reached.
        let patience = Duration::from_micros(if sent < 60 { 100 } else { 5_000 });
        match tokio::time::timeout(patience, member.events.next()).await.map(Result::unwrap) {
            Ok(MemberEvent::Assigned(_)) => is_assigned = true,
            Ok(MemberEvent::Records { partition, records, .. }) => {
                read.extend(records.into_iter().map(|record| (partition, record.offset)));
            }
            Ok(other) => panic!("nothing else was due: {other:?}"),
            Err(_) => {}
        }
    }
    read.sort_unstable();
    let expected = [FIRST, Partition::new(1)]
        .into_iter()
        .flat_map(|partition| (0..30).map(move |offset| (partition, Offset::new(offset))));
    assert_eq!(read, expected.collect::<Vec<_>>());
    member.events.leave().await;
}

/// Rather than waiting for it to appear.
pub async fn joining_an_unknown_topic_is_refused(subject: &Subject) {
    let unknown = Topic::parse("conformance.no-such-topic").unwrap();
    let subscription = GroupSubscription { topics: vec![unknown], start: Start::Earliest };
    let refused = subject.groups.join(&group(), subscription).await;
    assert!(matches!(refused, Err(Error::UnknownTopic(_))), "{refused:?}");
}
