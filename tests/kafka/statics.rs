//! Members that keep their partitions over a restart, because they come back under the same name in time.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;
use weirgate::event::{GroupName, Partition, Topic};
use weirgate::log::conformance::Subject;
use weirgate::log::{Error, MemberEvent, Membership};
use weirgate::log_kafka::Config;

use crate::broker;
use crate::conformance::{known, open};
use crate::harness::waiting;
use crate::sharing::{group, join, leave, topic};

const PATIENCE: Duration = Duration::from_secs(90);
/// A gateway whose name another took stays away for at least so long.
const REST_MIN: Duration = Duration::from_secs(30);

/// A gateway of this name.
async fn gateway(start: fn() -> Vec<String>, node: &str) -> Subject {
    let brokers = spawn_blocking(start).await.unwrap();
    open(Config { instance: Some(node.to_owned()), ..Config::of(brokers) })
}

async fn join_known(subject: &Subject, group: &GroupName, topic: &Topic) -> Membership {
    known(&*subject.log, topic).await;
    join(subject, group, topic).await
}

/// Serves a member and takes note of what is its own; ends when `is_enough`.
async fn serve(member: &mut Membership, own: &mut BTreeSet<Partition>, is_enough: fn(usize) -> bool) {
    while !is_enough(own.len()) {
        let event = member.events.next().await;
        take(event, member, own).await;
    }
}

async fn take(event: Result<MemberEvent, Error>, member: &mut Membership, own: &mut BTreeSet<Partition>) {
    match event.unwrap() {
        MemberEvent::Assigned(assigned) => own.extend(assigned.iter().map(|one| one.partition)),
        MemberEvent::Revoked(partitions) => {
            partitions.iter().for_each(|(_, partition)| assert!(own.remove(partition)));
            member.events.give_back(&partitions).await;
        }
        other => panic!("nothing else was due: {other:?}"),
    }
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    waiting::in_time(PATIENCE, what, future).await
}

async fn a_restarted_member_has_its_partitions_back_and_nobody_else_notices(start: fn() -> Vec<String>) {
    let (one, other) = (gateway(start, "one").await, gateway(start, "other").await);
    let (topic, group) = (topic(&one).await, group());
    let mut first = join(&one, &group, &topic).await;
    let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
    in_time("the first has all", serve(&mut first, &mut ours, |count| count == 4)).await;
    let mut second = join_known(&other, &group, &topic).await;
    let shared = async {
        while (ours.len(), theirs.len()) != (2, 2) {
            // Both are served throughout, or one would hold up the other.
            tokio::select! {
                event = first.events.next() => take(event, &mut first, &mut ours).await,
                event = second.events.next() => take(event, &mut second, &mut theirs).await,
            }
        }
    };
    in_time("each has two", shared).await;

    let restarted = async {
        leave(first).await;
        drop(one);
        let again = gateway(start, "one").await;
        let mut first = join_known(&again, &group, &topic).await;
        let mut back = BTreeSet::new();
        serve(&mut first, &mut back, |count| count == 2).await;
        (again, first, back)
    };
    let (_again, first, back) = tokio::select! {
        restarted = in_time("it is back", restarted) => restarted,
        event = second.events.next() => panic!("the other one noticed: {event:?}"),
    };
    assert_eq!(back, ours);
    leave(first).await;
    leave(second).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_restart_within_the_session_is_no_rebalance() {
    a_restarted_member_has_its_partitions_back_and_nobody_else_notices(broker::shared).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_restart_within_the_session_is_no_rebalance_on_an_older_broker() {
    a_restarted_member_has_its_partitions_back_and_nobody_else_notices(broker::shared_older).await;
}

/// Waits until a member is told that it is none.
async fn refused(member: &mut Membership) {
    loop {
        match member.events.next().await {
            Ok(MemberEvent::Assigned(_) | MemberEvent::Revoked(_) | MemberEvent::Lost(_)) => {}
            Ok(other) => panic!("nothing else was due: {other:?}"),
            Err(Error::NotMember) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The newer protocol keeps the member that is there.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_second_gateway_of_a_name_waits_until_the_first_is_gone() {
    let (one, other) = (gateway(broker::shared, "twin").await, gateway(broker::shared, "twin").await);
    let (topic, group) = (topic(&one).await, group());
    let mut first = join(&one, &group, &topic).await;
    let mut ours = BTreeSet::new();
    in_time("the first has all", serve(&mut first, &mut ours, |count| count == 4)).await;
    let late = async {
        let mut joins = Vec::new();
        for _ in 0..3 {
            let mut second = join_known(&other, &group, &topic).await;
            joins.push(Instant::now());
            refused(&mut second).await;
            leave(second).await;
        }
        joins
    };
    let joins = tokio::select! {
        joins = in_time("the second is refused", late) => joins,
        event = first.events.next() => panic!("the first noticed: {event:?}"),
    };
    // One second after it was refused, and then two, since it had joined the time before.
    let (first_min, next_min) = (Duration::from_secs(1), Duration::from_secs(2));
    let pauses = [joins[1] - joins[0], joins[2] - joins[1]];
    assert!(pauses[0] >= first_min && pauses[1] >= next_min, "it keeps trying: {pauses:?}");
    leave(first).await;
    let mut second = join_known(&other, &group, &topic).await;
    in_time("the second has all", serve(&mut second, &mut BTreeSet::new(), |count| count == 4)).await;
    leave(second).await;
}

/// The classic protocol gives the place to the newcomer.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_gateway_whose_name_another_took_does_not_take_it_back_at_once() {
    let (one, other) =
        (gateway(broker::shared_older, "twin").await, gateway(broker::shared_older, "twin").await);
    let (topic, group) = (topic(&one).await, group());
    let mut first = join(&one, &group, &topic).await;
    in_time("the first has all", serve(&mut first, &mut BTreeSet::new(), |count| count == 4)).await;
    let mut second = join_known(&other, &group, &topic).await;
    let (mut theirs, began) = (BTreeSet::new(), Instant::now());
    let taken =
        async { tokio::join!(refused(&mut first), serve(&mut second, &mut theirs, |count| count == 4)) };
    in_time("the second has all", taken).await;
    leave(first).await;
    let another = self::group();
    let (back, elsewhere) = tokio::join!(
        async { (in_time("it is back", join(&one, &group, &topic)).await, began.elapsed()) },
        // Nothing else rests.
        async { (in_time("joining elsewhere", join(&one, &another, &topic)).await, began.elapsed()) },
    );
    assert!(back.1 >= REST_MIN && elsewhere.1 < back.1, "back after {:?}, {:?}", back.1, elsewhere.1);
    leave(elsewhere.0).await;
    leave(second).await;
    leave(back.0).await;
}
