//! Commits that come to be applied after their member has lost the group: tested over a store that stands still.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::poll;

use crate::event::{GroupName, Offset};
use crate::log::{
    Append, Appending, Assigned, Commit, Committed, Error, EventLog as _, GroupSubscription, Groups as _,
    MemberEvent, Membership, NewRecord, Start,
};

use super::Engine;
use super::faulty::{FIRST, Fault, create, engine, topic};
use super::storage::FailureKind;

fn group() -> GroupName {
    GroupName::parse("workers").unwrap()
}

async fn join(engine: &Engine) -> Membership {
    let subscription = GroupSubscription { topics: vec![topic()], start: Start::Earliest };
    engine.join(&group(), subscription).await.unwrap()
}

async fn assigned(member: &mut Membership) -> Assigned {
    match member.events.next().await.unwrap() {
        MemberEvent::Assigned(mut assigned) => assigned.remove(0),
        other => panic!("an assignment was due, not {other:?}"),
    }
}

fn commit(offset: u64) -> Vec<Commit> {
    let committed = Committed { offset: Offset::new(offset), metadata: String::new() };
    vec![Commit { topic: topic(), partition: FIRST, committed }]
}

async fn committed(engine: &Engine) -> Option<u64> {
    let all = engine.committed(&group(), &topic()).await.unwrap();
    all.get(&FIRST).map(|committed| committed.offset.number())
}

fn append(engine: &Engine) -> Appending {
    let record = NewRecord { value: Some(Bytes::from_static(b"x")), ..NewRecord::default() };
    engine.append(Append { topic: topic(), partition: FIRST, records: vec![record] })
}

/// Hands something over to the commit thread without waiting for it.
async fn hand_over<T: std::fmt::Debug>(mut future: Pin<&mut impl Future<Output = T>>) {
    let outcome = poll!(&mut future);
    assert!(outcome.is_pending(), "{outcome:?}");
}

#[tokio::test]
async fn a_commit_that_waits_while_its_member_loses_the_group_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    let mut first = join(&engine).await;
    assigned(&mut first).await;
    disk.shut();
    let appending = append(&engine);
    disk.until_waiting();
    let mut late = pin!(first.commits.commit(commit(1)));
    hand_over(late.as_mut()).await;

    let mut second = join(&engine).await;
    let commits = Arc::clone(&second.commits);
    let mut begins = pin!(assigned(&mut second));
    hand_over(begins.as_mut()).await;
    disk.open();
    assert_eq!(begins.await.committed, None);
    let refused = late.await;
    assert!(matches!(refused, Err(Error::NotMember)), "{refused:?}");
    appending.await.unwrap();
    commits.commit(commit(0)).await.unwrap();
    assert_eq!(committed(&engine).await, Some(0));
}

#[tokio::test]
async fn a_member_begins_after_what_the_one_before_is_committing() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    append(&engine).await.unwrap();
    let mut first = join(&engine).await;
    assigned(&mut first).await;
    disk.shut();
    let mut late = pin!(first.commits.commit(commit(1)));
    hand_over(late.as_mut()).await;
    disk.until_waiting();

    let mut second = join(&engine).await;
    let mut begins = pin!(assigned(&mut second));
    hand_over(begins.as_mut()).await;
    // Read after what the member may have asked to read before the commit is through.
    assert_eq!(committed(&engine).await, None);
    disk.open();
    let begun = begins.await;
    assert_eq!(begun.committed.map(|committed| committed.offset), Some(Offset::new(1)));
    assert_eq!(begun.position, Offset::new(1));
    late.await.unwrap();
}

#[tokio::test]
async fn a_commit_behind_the_deletion_of_its_topic_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    append(&engine).await.unwrap();
    let mut member = join(&engine).await;
    assigned(&mut member).await;
    disk.shut();
    let name = topic();
    let mut deleted = pin!(engine.delete_topic(&name));
    hand_over(deleted.as_mut()).await;
    disk.until_waiting();
    let commits = Arc::clone(&member.commits);
    let mut late = pin!(commits.commit(commit(1)));
    hand_over(late.as_mut()).await;
    disk.open();
    deleted.await.unwrap();
    let refused = late.await;
    assert!(matches!(refused, Err(Error::NotMember)), "{refused:?}");

    create(&engine).await;
    assert_eq!(committed(&engine).await, None);
    // Not even a member that has not heard of it yet commits for the new topic of that name.
    let refused = member.commits.commit(commit(1)).await;
    assert!(matches!(refused, Err(Error::NotMember)), "{refused:?}");
    assert!(matches!(member.events.next().await.unwrap(), MemberEvent::Lost(_)));
    assert_eq!(assigned(&mut member).await.position, Offset::ZERO);
    append(&engine).await.unwrap();
    member.commits.commit(commit(1)).await.unwrap();
}

#[tokio::test]
async fn offsets_set_by_hand_are_refused_when_a_member_has_joined_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    append(&engine).await.unwrap();
    disk.shut();
    let appending = append(&engine);
    disk.until_waiting();
    let name = group();
    let mut by_hand = pin!(engine.set_committed(&name, commit(1)));
    hand_over(by_hand.as_mut()).await;
    let mut member = join(&engine).await;
    let mut begins = pin!(assigned(&mut member));
    hand_over(begins.as_mut()).await;
    disk.open();
    assert_eq!(begins.await.committed, None);
    let refused = by_hand.await;
    assert!(matches!(refused, Err(Error::NotSupported(_))), "{refused:?}");
    appending.await.unwrap();
    assert_eq!(committed(&engine).await, None);
}

#[tokio::test]
async fn a_member_of_a_log_that_only_reads_still_begins() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    append(&engine).await.unwrap();
    disk.fail(Fault::Commit(FailureKind::Io));
    assert!(matches!(append(&engine).await, Err(Error::OutcomeUnknown)));
    let mut member = join(&engine).await;
    assert_eq!(assigned(&mut member).await.position, Offset::ZERO);
}
